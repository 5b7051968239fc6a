"""Silence of a symbol: a mute feed is found by what it hid, a quiet market is left alone, and a rare symbol does not flap."""

import pytest

from domain.market.liveness import Liveness, Patience

S = 1_000_000_000
MS = 1_000_000


def steps(live: Liveness, now: int) -> list[tuple[str, str]]:
    return [(step.kind.value, step.symbol) for step in live.look(now)]


def beating(every: int, times: int = 20, symbol: str = "BTC") -> tuple[Liveness, int]:
    live = Liveness()
    for number in range(times):
        live.heard(symbol, number * every)
    return live, (times - 1) * every


@pytest.mark.parametrize(("every", "limit"), [(100 * MS, 2 * S), (S, 3 * S), (10 * S, 30 * S), (400 * S, 600 * S)])
def test_a_symbol_may_be_silent_for_three_of_its_gaps_within_bounds(every: int, limit: int) -> None:  # open but mute
    live, last = beating(every)
    assert live.limit("BTC") == limit
    assert steps(live, last + limit) == []
    assert steps(live, last + limit + 1) == [("stale", "BTC")]
    assert live.is_stale("BTC")
    assert steps(live, last + 2 * limit) == [], "once"


def test_only_the_silent_symbol_is_stale() -> None:
    live, last = beating(100 * MS)
    live.heard("ETH", last + 2 * S)
    assert steps(live, last + 3 * S) == [("stale", "BTC")]


def test_a_quiet_market_shows_the_same_book_and_may_be_quiet_as_long_again() -> None:  # quiet market
    live, last = beating(100 * MS)
    stale = 0
    now = last
    for second in range(3600):
        now = last + second * S
        found = steps(live, now)
        if ("stale", "BTC") in found:
            stale += 1
            live.snapshot("BTC", now + 100 * MS, moved=False)
        assert ("reconnect", "BTC") not in found
    assert stale <= 11, "2, 6, 18, 54, 162, 486 s, then every ten minutes"


def test_a_feed_that_hides_changes_twice_in_a_row_is_replaced() -> None:  # open but mute: resubscribe, then reconnect
    live, last = beating(100 * MS)
    assert steps(live, last + 3 * S) == [("stale", "BTC")]
    live.snapshot("BTC", last + 4 * S, moved=True)
    assert steps(live, last + 4 * S) == [("fresh", "BTC")]
    assert steps(live, last + 7 * S) == [("stale", "BTC")], "a hidden change is no rhythm"
    live.snapshot("BTC", last + 8 * S, moved=True)
    assert steps(live, last + 8 * S) == [("fresh", "BTC"), ("reconnect", "BTC")]


def test_updates_after_a_new_subscription_make_it_well_again() -> None:
    live, last = beating(100 * MS)
    steps(live, last + 3 * S)
    live.snapshot("BTC", last + 4 * S, moved=True)
    live.heard("BTC", last + 4 * S + 100 * MS)
    assert steps(live, last + 5 * S) == [("fresh", "BTC")]
    live.snapshot("BTC", last + 7 * S, moved=True)
    assert steps(live, last + 7 * S) == []


def test_a_rhythm_is_forgotten_after_two_windows() -> None:
    live = Liveness(Patience(window=10 * S))
    live.heard("BTC", 0)
    live.heard("BTC", 5 * S)
    for tenth in range(51, 260):
        live.heard("BTC", tenth * 100 * MS)
    assert live.limit("BTC") == 2 * S


def test_the_first_update_after_a_halt_teaches_no_rhythm_and_a_halt_is_no_fault() -> None:  # halt
    live, last = beating(100 * MS)
    live.halted("BTC")
    assert steps(live, last + 3600 * S) == []
    live.heard("BTC", last + 3600 * S)
    assert live.limit("BTC") == 2 * S
    assert steps(live, last + 3603 * S) == [("stale", "BTC")]


def test_a_symbol_whose_book_is_invalid_is_not_watched_until_its_next_snapshot() -> None:
    live, last = beating(100 * MS)
    live.forget("BTC")
    assert steps(live, last + 60 * S) == []
    live.snapshot("BTC", last + 60 * S, moved=True)
    assert steps(live, last + 63 * S) == [("stale", "BTC")]
