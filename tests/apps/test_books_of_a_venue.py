"""One venue in memory: which books leave for exeq and the paper venues, and when."""

from domain.market.conflation import DepthPace
from domain.market.venues.kinds import decoder
from domain.values import Side
from tests.apps.test_venue_run import Scene, opened
from tests.domain.market.plain_venue import opening
from tests.domain.market.venues.spoken import KrakenSpeaker, Market


def books_left(scene: Scene) -> list[str]:
    found, scene.told = scene.told, []
    return found


def test_each_quote_leaves_after_its_book_and_an_ended_one_without() -> None:
    scene = Scene()
    scene.take("open", "snapshot btc 7 100 1 101 2")
    assert books_left(scene) == ["depth.PLAIN.BTCUSDT 7: 1x100 2x101", "ticks.BTCUSDT 100 101"]
    scene.clock.move(0.1)
    scene.take("update btc 8 100 1 102 2")
    assert books_left(scene) == ["depth.PLAIN.BTCUSDT 8: 1x100 2x102", "ticks.BTCUSDT 100 102"]
    scene.take("update btc 9 100 1 103 2")  # too soon: it waits, and leaves with the book of then
    scene.clock.move(0.02)
    scene.run.due_ticks()
    assert books_left(scene) == ["depth.PLAIN.BTCUSDT 9: 1x100 2x103", "ticks.BTCUSDT 100 103"]
    scene.take("update btc 11 100 1 104 2")
    assert books_left(scene) == ["ticks.BTCUSDT 100 103"], "stale: its book is invalid"
    scene.clock.move(5)
    scene.run.due_ticks()
    assert books_left(scene) == []


def test_with_no_levels_wanted_only_quotes_leave() -> None:
    scene = Scene(depth=DepthPace(levels=0))
    scene.take("open", "snapshot btc 7 100 1 101 2", "update btc 8 100 1 102 2")
    scene.clock.move(1)
    scene.run.due_ticks()
    assert books_left(scene) == ["ticks.BTCUSDT 100 102"] * 2, "the second one is the repeat"


def test_every_book_that_leaves_is_the_truth_and_a_change_behind_the_touch_leaves_without_a_quote() -> None:
    scene, levels = Scene(decoder), DepthPace().levels
    market, speaker = Market(1), KrakenSpeaker()
    opened(scene, 1, opening("kraken", {speaker.name: speaker.symbol}))
    scene.take(speaker.snapshot(market, scene.clock.wall).text)
    alone, last = 0, scene.books[-1]
    for _ in range(300):
        scene.clock.move(0.03)
        scene.sent.clear()
        scene.books.clear()
        scene.take(speaker.update(market, market.step(), scene.clock.wall))
        scene.run.due_ticks()
        for book in scene.books:
            assert (list(book.bids), list(book.asks)) == market.view(levels)
        last = scene.books[-1] if scene.books else last
        assert all(last.belongs_to(quote, side) for quote in scene.sent for side in Side)
        alone += bool(scene.books) and not scene.sent
    assert alone > 10
