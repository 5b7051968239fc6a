"""Faults that every venue may have, at each of them: crossed books, absurd numbers, clocks, silence, garbage."""

import re
from collections.abc import Callable
from decimal import Decimal

import pytest

from domain.market.quotes import Quote
from domain.market.records import Book, Fact, FactKind, Flag, MarketTrade
from domain.market.venues.feed import Frame, FrameKind, Wish, WishKind
from domain.market.venues.session import CROSSED_HOLD_NS, TRADES_REMEMBERED, UNKNOWN_NAMES_MAX
from tests.domain.market.venues.folds import Told, only, said
from tests.domain.market.venues.spoken import DEPTH, SPEAKERS, START_NS, Change, Market, price_text

HOUR_NS = 3600 * 10**9
SECOND_NS = 10**9
NONE = Decimal(0)


class Scene:
    """A subscribed connection, its venue, and the market behind it. Times are nanoseconds after the subscription."""

    def __init__(self, kind: str, *, ahead_ns: int = 0) -> None:
        self.speaker = SPEAKERS[kind]()
        self.market = Market(3)
        self.ahead_ns = ahead_ns
        self.told = Told(kind, {self.speaker.name: self.speaker.symbol}, DEPTH, opened_at=START_NS)
        self.subscribe()

    def subscribe(self, after: int = 0) -> list[object]:
        frame = self.speaker.snapshot(self.market, START_NS + after)
        return list(self.told.give(frame))

    def frame(self, text: str, after: int) -> list[object]:
        return list(self.told.give(Frame(START_NS + after, FrameKind.FRAME, text)))

    def noise(self, after: int) -> list[object]:
        return self.frame(self.speaker.noise(START_NS + after), after)

    def change(self, *changes: Change, after: int) -> list[object]:
        for side, price, lots in changes:
            levels = self.market.bids if side == "bid" else self.market.asks
            levels[price] = lots
            if not lots:
                del levels[price]
        return self.frame(self.text(list(changes), after), after)

    def text(self, changes: list[Change], after: int) -> str:
        return self.speaker.update(self.market, changes, START_NS + after + self.ahead_ns)

    def shown(self) -> object:
        return self.told.top(self.speaker.symbol, DEPTH)

    def facts(self) -> list[FactKind]:
        return [fact.fact for fact in only(Fact, self.told.all) if fact.fact not in (FactKind.CONNECTED, FactKind.SUBSCRIBED)]


every_venue = pytest.mark.parametrize("kind", SPEAKERS)


@every_venue
@pytest.mark.parametrize("locked", [True, False])
def test_a_crossed_touch_waits_for_its_other_side(kind: str, locked: bool) -> None:
    """Crossed or locked within a venue: hold 250 ms for the other side; then fact + invalid + resync."""
    scene = Scene(kind)
    ask = min(scene.market.asks)
    bid = ask if locked else ask + 3
    given = scene.change(("bid", bid, 5), after=1)
    assert [type(record) for record in given] == [Book]
    assert Flag.CROSSED in only(Book, given)[0].flags
    assert scene.shown() is None
    for price in [price for price in scene.market.asks if price <= bid]:
        given = scene.change(("ask", price, 0), after=CROSSED_HOLD_NS)
    assert only(Quote, given)[0].bid == Decimal(price_text(bid))
    assert scene.shown() == scene.market.view(DEPTH)
    assert scene.facts() == []


@every_venue
def test_a_touch_that_stays_crossed_ends_the_book(kind: str) -> None:
    """Crossed or locked within a venue: hold 250 ms for the other side; then fact + invalid + resync."""
    scene = Scene(kind)
    ask = min(scene.market.asks)
    scene.change(("bid", ask, 5), after=1)
    scene.noise(CROSSED_HOLD_NS)
    assert scene.facts() == []
    given = only(Fact, scene.noise(1 + CROSSED_HOLD_NS))
    assert [fact.fact for fact in given][:2] == [FactKind.CROSSED, FactKind.RESYNC]
    assert given[0].detail == f"bid {price_text(ask)} ask {price_text(ask)}"
    assert [wish.kind for wish in only(Wish, scene.told.all)] == [WishKind.RESYNC]
    del scene.market.asks[ask]
    assert only(Fact, scene.subscribe(2 + CROSSED_HOLD_NS))[0].fact is FactKind.REPAIRED
    assert scene.shown() == scene.market.view(DEPTH)


@every_venue
@pytest.mark.parametrize("absurd", ["0", "-1", "1e400", "NaN", "1" * 31, "0.0000000000001"])
def test_an_absurd_number_is_refused_and_ends_the_book(kind: str, absurd: str) -> None:
    """Absurd print (zero, negative, 1e400, NaN, more digits than allowed): refused as record, fact; never a mark."""
    scene = Scene(kind)
    price = price_text(max(scene.market.bids) + 1)
    text = scene.text([("bid", max(scene.market.bids) + 1, 5)], 1)
    if kind == "kraken":  # its own book was not changed, so that its message lacks the level
        scene.market.bids[max(scene.market.bids) + 1] = 5
        text = scene.text([], 1)
    assert price in text
    given = scene.frame(text.replace(price, absurd), 1)
    assert only(Quote, given) == []
    assert only(Book, given) == []
    facts = [fact.fact for fact in only(Fact, given)]
    assert facts[0] in (FactKind.REJECTED_RECORD, FactKind.REJECTED_FRAME)
    assert facts[1:] == [FactKind.GAP, FactKind.RESYNC]
    assert scene.shown() is None


@every_venue
@pytest.mark.parametrize("absurd", ["0.0", "-45000.0", "1e400", "1" * 31])
def test_an_absurd_trade_is_refused_and_the_book_stays(kind: str, absurd: str) -> None:
    """Absurd print: kept in raw, refused as record, fact; never a mark."""
    scene = Scene(kind)
    given = scene.frame(scene.speaker.trade(8, START_NS).replace("45000.0", absurd), 1)
    assert [type(record) for record in given] == [Fact]
    assert said(only(Fact, given)) == [f"fact rejected_record {scene.speaker.symbol} (trade 8: price)"]
    assert scene.shown() == scene.market.view(DEPTH)


@every_venue
def test_new_fields_are_ignored(kind: str) -> None:
    """New field: the frame is read."""
    scene = Scene(kind)
    scene.market.bids[max(scene.market.bids) + 1] = 5
    text = scene.text([("bid", max(scene.market.bids), 5)], 1)
    scene.frame(re.sub(r"\{(?!\})", '{"brand_new":[{"x":null}],', text), 1)
    assert scene.shown() == scene.market.view(DEPTH)
    assert scene.facts() == []


@every_venue
def test_an_unknown_symbol_is_a_fact_once_and_never_a_guess(kind: str) -> None:
    scene = Scene(kind)
    for number in (1, 2):
        trade = scene.speaker.trade(number, START_NS).replace(scene.speaker.name, "DOGE-X")
        given = scene.frame(trade, number)
        assert said(only(Fact, given)) == (["fact unknown_symbol (DOGE-X)"] if number == 1 else [])
        assert only(MarketTrade, given) == []
    for number in range(2 * UNKNOWN_NAMES_MAX):
        scene.frame(scene.speaker.trade(number, START_NS).replace(scene.speaker.name, f"X{number}"), 3)
    assert scene.facts().count(FactKind.UNKNOWN_SYMBOL) == UNKNOWN_NAMES_MAX
    assert scene.told.decoder.dropped["unknown_name"] == 2 + 2 * UNKNOWN_NAMES_MAX
    assert scene.shown() == scene.market.view(DEPTH)


@every_venue
def test_the_memory_of_trades_has_a_bound(kind: str) -> None:
    """Duplicate trade after reconnect: one row, as far as the memory goes."""
    scene = Scene(kind)
    for number in range(TRADES_REMEMBERED + 1):
        assert len(only(MarketTrade, scene.frame(scene.speaker.trade(number, START_NS), 1))) == 1
    assert only(MarketTrade, scene.frame(scene.speaker.trade(1, START_NS), 1)) == []
    assert len(only(MarketTrade, scene.frame(scene.speaker.trade(0, START_NS), 1))) == 1


@every_venue
def test_a_clock_that_is_ahead_is_a_fact_once_for_each_change(kind: str) -> None:
    """Venue clock ahead or behind: offset estimated by the smallest (received - at) of a minute; fact beyond 1 s."""
    scene = Scene(kind)
    skews = []
    for second in range(700):
        ahead = (0, 5 * SECOND_NS, 5 * SECOND_NS, -3 * SECOND_NS, 0, 0)[second // 120]
        at = START_NS + second * SECOND_NS
        given = scene.frame(scene.speaker.trade(second, at + ahead), second * SECOND_NS)
        skews += [fact.detail for fact in only(Fact, given) if fact.fact is FactKind.SKEW]
    assert skews == ["received - at: -5000 ms", "received - at: 3000 ms", "received - at: 0 ms"]


@every_venue
def test_a_book_that_is_invalid_has_one_wish_until_it_is_whole(kind: str) -> None:
    """One resync is in flight. Repeats are those of `domain.market.wishes`, which has a clock."""
    scene = Scene(kind)
    symbol = scene.speaker.symbol
    first = scene.told.decoder.invalidate(symbol, "a hole in the frames", START_NS + 1, 5)
    assert said(first) == [
        f"fact gap {symbol} (a hole in the frames)",
        f"fact resync {symbol} (a hole in the frames)",
        f"wish resync {symbol}",
    ]
    assert scene.shown() is None
    assert scene.told.decoder.invalidate(symbol, "again", START_NS + 2, 5) == []
    assert only(Wish, scene.noise(HOUR_NS)) == []
    assert only(Fact, scene.subscribe(HOUR_NS + 1))[0].fact is FactKind.REPAIRED
    assert only(Wish, scene.noise(2 * HOUR_NS)) == []


@every_venue
def test_a_book_that_breaks_again_has_one_wish_each_time(kind: str) -> None:
    scene = Scene(kind)
    for number in range(1, 4):
        given = [scene.told.decoder.invalidate(scene.speaker.symbol, "broken", START_NS + number, number) for _ in range(3)]
        assert [len(only(Wish, records)) for records in given] == [1, 0, 0]
        assert only(Wish, scene.subscribe(number)) == []
        assert scene.shown() == scene.market.view(DEPTH)


@every_venue
def test_a_book_is_ended_from_outside_by_a_named_fact(kind: str) -> None:
    """Open but mute: stale per symbol."""
    scene = Scene(kind)
    assert said(scene.told.decoder.invalidate(scene.speaker.symbol, "stale", START_NS + 1, 5))[0] == f"fact stale {scene.speaker.symbol}"
    assert scene.told.decoder.invalidate("NO/SUCH", "stale", START_NS + 1, 5) == []
    assert scene.told.decoder.book("NO/SUCH", 5) is None


@every_venue
def test_a_connection_that_ends_ends_its_books_without_a_wish(kind: str) -> None:
    scene = Scene(kind)
    given = scene.told.give(Frame(START_NS + 1, FrameKind.CLOSE, "code 1006"))
    assert said(given) == ["fact disconnected (code 1006)"]
    assert scene.shown() is None
    assert only(Wish, scene.noise(HOUR_NS)) == []


@every_venue
def test_our_clock_may_be_set_back(kind: str) -> None:
    """Our clock steps: nothing waits for a time that will not come soon."""
    scene = Scene(kind)
    scene.change(("bid", min(scene.market.asks) + 1, 5), after=1)
    scene.noise(-HOUR_NS)
    assert FactKind.CROSSED in [fact.fact for fact in only(Fact, scene.noise(CROSSED_HOLD_NS - HOUR_NS))]


@every_venue
def test_a_side_without_levels_shows_size_zero(kind: str) -> None:
    scene = Scene(kind)
    last = only(Quote, scene.told.all)[-1]
    for price in list(scene.market.asks):
        given = scene.change(("ask", price, 0), after=1)
    quote = only(Quote, given)[-1]
    assert (quote.bid, quote.bid_size, quote.ask_size) == (last.bid, last.bid_size, NONE)
    assert quote.ask >= quote.bid
    assert scene.shown() == scene.market.view(DEPTH)
    for price in list(scene.market.bids):
        given = scene.change(("bid", price, 0), after=2)
    quote = only(Quote, given)[-1]
    assert (quote.bid_size, quote.ask_size) == (NONE, NONE)
    assert quote.ask >= quote.bid > 0


NASTY: list[Callable[[str], str]] = [
    lambda text: "",
    lambda text: "null",
    lambda text: "[" * 100_000,
    lambda text: "\ud800",
    lambda text: text[: len(text) // 2],
    lambda text: text + text,
    lambda text: text.replace(":", ":" + "9" * 5000, 1),
    lambda text: '{"channel":{},"e":[],"data":7}',
    lambda text: re.sub(r"\d+", "9" * 400, text),
    lambda text: re.sub(r"\d+", "-1", text),
    lambda text: re.sub(r'"[^"]*"', "null", text),
    lambda text: re.sub(r"20\d\d-", "20x6-", re.sub(r'"(E|T|lastUpdateId)":', r'"\1":-', text)),  # an invalid time
]


@every_venue
@pytest.mark.parametrize("number", range(len(NASTY)))
def test_garbage_is_a_fact_and_never_raises(kind: str, number: int) -> None:
    """Malformed frame: skipped and counted."""
    scene = Scene(kind)
    nasty = NASTY[number]
    for frame in (FrameKind.FRAME, FrameKind.REST):
        for text in (
            scene.text(scene.market.step(), 1),
            scene.speaker.trade(1, START_NS),
            scene.speaker.snapshot(scene.market, START_NS).text,
        ):
            given = scene.told.give(Frame(START_NS + 1, frame, nasty(text)))
            assert only(Quote, given) == []
            assert only(MarketTrade, given) == []
    assert scene.facts()
