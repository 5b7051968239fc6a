"""Quotes for the core: each change, at most so often, always the last one; repeated while valid; ended at once and flagged."""

from decimal import Decimal

from domain.market.conflation import ChangedBooks, Conflation, TickPace
from domain.market.quotes import Quote
from domain.market.records import Flag

MS = 1_000_000
PACE = TickPace(interval=20 * MS, repeat=1000 * MS)


def quote(bid: int, symbol: str = "BTCUSDT", seq: int = 0) -> Quote:
    one = Decimal(1)
    return Quote(symbol=symbol, venue="BINANCE", bid=Decimal(bid), bid_size=one, ask=Decimal(bid + 1), ask_size=one, at=1, seq=seq)


def sent(of: Conflation, at_ms: int) -> list[int]:
    return [int(each.bid) for each in of.due(at_ms * MS)]


def test_a_change_leaves_at_once_and_a_burst_leaves_its_last_one() -> None:  # burst of ten times
    ticks = Conflation(PACE)
    assert ticks.offer(quote(100), 0) is not None
    assert [ticks.offer(quote(101 + number), number * MS) for number in range(10)] == [None] * 10
    assert (sent(ticks, 19), sent(ticks, 20), sent(ticks, 40)) == ([], [110], [])
    assert ticks.conflated == 9
    assert ticks.offer(quote(120), 60 * MS) is not None


def test_an_unchanged_touch_is_not_sent_until_it_is_repeated_about_once_a_second() -> None:
    ticks = Conflation(PACE)
    ticks.offer(quote(100), 0)
    assert [ticks.offer(quote(100, seq=number), number * 100 * MS) for number in range(1, 7)] == [None] * 6
    (repeated,) = ticks.due(800 * MS)
    assert repeated.seq == 6
    assert (sent(ticks, 1200), sent(ticks, 1600)) == ([], [100])


def test_what_ends_is_sent_at_once_with_its_last_prices_and_not_repeated() -> None:
    ticks = Conflation(PACE)
    ticks.offer(quote(100), 0)
    ticks.offer(quote(101), MS)
    ended = ticks.end("BTCUSDT", 2 * MS)
    assert ended is not None
    assert (ended.bid, ended.flags) == (Decimal(101), (Flag.STALE,))
    assert (ticks.end("BTCUSDT", 3 * MS), ticks.end("ETHUSDT", 3 * MS)) == (None, None)
    assert (sent(ticks, 50), sent(ticks, 5000)) == ([], [])
    assert ticks.offer(quote(101), 5001 * MS) is not None, "the same touch is news again"


def test_symbols_do_not_wait_for_each_other() -> None:
    ticks = Conflation(PACE)
    assert [ticks.offer(quote(100, symbol), 0) is not None for symbol in ("A", "B", "A")] == [True, True, False]


def test_a_book_that_changes_behind_its_touch_leaves_at_its_own_pace_and_not_again() -> None:
    books = ChangedBooks(100 * MS)
    books.changed(["BTCUSDT", "ETHUSDT"])
    assert books.due(0) == ["BTCUSDT", "ETHUSDT"]
    books.sent("BTCUSDT", 0)
    assert books.due(0) == ["ETHUSDT"]
    books.changed({"BTCUSDT": True})
    books.sent("ETHUSDT", 0)
    assert (books.due(99 * MS), books.due(100 * MS)) == ([], ["BTCUSDT"])
    books.sent("BTCUSDT", 100 * MS)
    assert books.due(10_000 * MS) == []
