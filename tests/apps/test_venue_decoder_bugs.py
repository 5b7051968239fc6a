"""A decoder that fails: its connection ends, its marks end with it, and the next connection works."""

from domain.market.records import Flag
from domain.market.venues.feed import Frame, FrameKind, RawFrames
from domain.market.venues.kinds import decoder
from tests.apps.test_venue_run import ENDED, OK, Scene
from tests.domain.market.plain_venue import VENUE, opening
from tests.domain.market.test_normalization import BEGIN


def test_a_bug_in_a_decoder_ends_its_connection_and_the_next_one_works() -> None:
    scene = Scene()
    scene.take(*BEGIN)
    scene.ticks()
    scene.take("update btc 8 101 1 102 1", "poison")
    assert [flags for _, _, flags in scene.ticks()] == [ENDED, ENDED]
    assert (scene.run.failures, [wish.kind.value for wish in scene.run.due_wishes()]) == (1, ["reconnect"])
    scene.n = 0
    scene.take(*BEGIN, epoch=2)
    assert (scene.ticks(), scene.run.wishes.open) == ([("BTC", 100, OK), ("ETH", 10, OK)], 0)


def test_the_mark_of_a_book_that_broke_right_before_a_bug_ends_too() -> None:  # marks of that venue end at once
    scene = Scene()
    scene.take(*BEGIN)
    scene.ticks()
    scene.take("update btc 10 102 1 103 1", "poison")
    assert sorted(scene.ticks()) == [("BTC", 100, ENDED), ("ETH", 10, ENDED)]
    scene.clock.move(2)
    scene.run.due_ticks()
    assert scene.ticks() == []


def test_an_empty_book_of_a_new_connection_does_not_bring_the_last_quote_of_the_old_one_back() -> None:
    scene = Scene(decoder)
    begin = (FrameKind.OPEN, opening("ccxt:okx", {"BTC/USDT": "BTCUSDT"}))
    full = (FrameKind.FRAME, '{"symbol":"BTC/USDT","bids":[[100,1]],"asks":[[101,1]]}')
    empty = (FrameKind.FRAME, '{"symbol":"BTC/USDT","bids":[],"asks":[]}')

    def take(epoch: int, n: int, *frames: tuple[FrameKind, str]) -> None:
        found = [Frame(scene.clock.wall, kind, text) for kind, text in frames]
        scene.run.take(RawFrames(venue=VENUE, epoch=epoch, n=n, frames=found))

    take(1, 1, begin, full)
    take(1, 3, (FrameKind.CLOSE, "away"))
    assert [(int(quote.bid), Flag.STALE in quote.flags) for quote in scene.sent] == [(100, False), (100, True)]
    take(2, 1, begin, empty, empty)
    assert len(scene.sent) == 2
    assert list(scene.run.live_quotes()) == []
