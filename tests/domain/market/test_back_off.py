"""The pause before the next attempt to connect."""

import pytest

from domain.market.back_off import FIRST_NS, LONGEST_NS, pause_ns

SEEDS = [f"BINANCE {number}" for number in range(200)]


@pytest.mark.parametrize(
    ("failures", "least", "most"),
    [
        (1, FIRST_NS, 2 * FIRST_NS),
        (2, 2 * FIRST_NS, 4 * FIRST_NS),
        (5, 16 * FIRST_NS, 32 * FIRST_NS),
        (7, LONGEST_NS // 2, LONGEST_NS),
        (1_000_000, LONGEST_NS // 2, LONGEST_NS),
    ],
)
def test_the_pause_doubles_with_each_failure_up_to_the_longest(failures: int, least: int, most: int) -> None:
    pauses = {pause_ns(failures, seed) for seed in SEEDS}
    assert least <= min(pauses) <= max(pauses) <= most
    assert len(pauses) > 100, "clients spread out"


def test_the_same_seed_gives_the_same_pause() -> None:
    assert pause_ns(3, "KRAKEN") == pause_ns(3, "KRAKEN")
    assert pause_ns(3, "KRAKEN") != pause_ns(3, "BINANCE")
