"""What a venue's behaviour does to its standing, and how tokens come back."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from domain.execution.token_bucket import TokenBucket
from domain.execution.venue_health import BACK_OFF_NS, PENALTY_BPS, REJECTS_IN_A_ROW_MAX, WHOLE, VenueHealth

MS = 1_000_000
S = 1000 * MS


def test_a_venue_that_says_nothing_is_left_alone_each_time_for_longer_until_it_speaks() -> None:
    health = VenueHealth()
    health.silent(0)
    assert (health.backed_off(BACK_OFF_NS - 1), health.backed_off(BACK_OFF_NS)) == (True, False)
    health.silent(5 * S)
    assert health.until_ns == 5 * S + 2 * BACK_OFF_NS
    health.silent(6 * S)
    assert health.until_ns == 5 * S + 2 * BACK_OFF_NS, "it is left alone already"
    health.answered(3 * MS)
    assert not health.backed_off(6 * S)
    health.silent(9 * S)
    assert health.until_ns == 9 * S + BACK_OFF_NS, "it begins again"


def test_the_latency_follows_what_is_seen() -> None:
    health = VenueHealth()
    health.answered(4 * MS)
    assert health.latency_ns == 4 * MS
    for _ in range(100):
        health.answered(20 * MS)
    assert 19 * MS < health.latency_ns <= 20 * MS
    health.answered(-5)
    assert health.latency_ns >= 0, "a clock that went back is no latency"


def test_rejects_cost_in_the_comparison_and_too_many_in_a_row_are_a_pause() -> None:
    health = VenueHealth()
    assert health.penalty_bps == 0
    assert not health.rejected()
    assert health.penalty_bps == PENALTY_BPS / 16
    assert not any(health.rejected() for _ in range(REJECTS_IN_A_ROW_MAX - 2))
    assert health.rejected(), "a program that knows the time leaves it alone"
    health.back_off(S)
    assert health.backed_off(S)
    assert health.penalty_bps < PENALTY_BPS
    for _ in range(200):
        health.answered(MS)
        health.worked()
    assert not health.backed_off(S)
    assert health.penalty_bps < Decimal("0.01")


@given(st.lists(st.sampled_from(["answered", "worked", "rejected", "silent"]), max_size=300))
def test_rates_stay_rates(seen: list[str]) -> None:
    health = VenueHealth()
    for moment, what in enumerate(seen):
        getattr(health, what)(*() if what in ("worked", "rejected") else (moment,))
        assert 0 <= health.reject_rate <= WHOLE
        assert 0 <= health.silence_rate <= WHOLE
        assert 0 <= health.penalty_bps <= 2 * PENALTY_BPS


def test_a_burst_is_taken_at_once_and_then_one_at_a_time() -> None:
    throttle = TokenBucket(10, 3)
    now = 5 * S
    for left in (2, 1, 0):
        assert throttle.ready(now)
        throttle.take(now)
        assert throttle.tokens(now) == left
    assert not throttle.ready(now)
    assert throttle.wait_ns(now) == S // 10
    now += S // 10
    assert throttle.ready(now)
    throttle.take(now)
    assert not throttle.ready(now)
    assert throttle.tokens(now + 10 * S) == 3, "never more than the burst"


@given(st.integers(1, 2000), st.integers(1, 50), st.lists(st.integers(0, 300 * MS), max_size=200))
def test_in_any_span_no_more_is_taken_than_the_burst_and_the_rate_allow(per_sec: int, burst: int, pauses: list[int]) -> None:
    throttle, now, taken = TokenBucket(per_sec, burst), 0, 0
    for pause in pauses:
        now += pause
        if throttle.ready(now):
            throttle.take(now)
            taken += 1
    assert taken <= burst + now // (S // per_sec)
