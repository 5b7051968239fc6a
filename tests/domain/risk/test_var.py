"""Value at risk against numpy on real closes, to the cent; and which closes are good enough to measure by."""

import csv
import random
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.market.close_file import BadCloses, day_text, read_closes
from domain.market.file_times import day_of
from domain.market.price_history import SIMULATED, DailyClose, History, history_of
from domain.risk.controls import Controls
from domain.risk.decision_record import read as read_record
from domain.risk.engine import Risk
from domain.risk.limits import VAR_LIMIT, Limits
from domain.risk.var import Method, Var
from domain.values import divide
from tests.domain.risk.scene import Scene, instrument

FILE = Path(__file__).parents[2] / "data" / "daily_closes.csv"
CONFIDENCE = Decimal("0.99")
QUANTILE = Decimal(f"{NormalDist().inv_cdf(0.99):.12f}")
CENT = 0.005
MICROS = 10**6
STOCKS = ("AAPL", "AIG", "BAC", "EEM", "GOOG", "IBM", "IWM", "QQQ", "SPY", "USO")
SYMBOLS = {symbol: instrument(symbol) for symbol in (*STOCKS, "BTCUSD")}


@cache
def real_closes() -> list[DailyClose]:
    with FILE.open(newline="") as lines:
        return read_closes(lines, SYMBOLS, "test", day_of("2026-01-01"))


def history_until(day: int, symbols: tuple[str, ...], returns: int) -> History:
    closes = [close for close in real_closes() if close.day <= day and close.symbol in symbols]
    return history_of(closes, symbols, day, returns=returns, age_max_days=7)


@cache
def floats() -> dict[str, dict[str, float]]:
    """The file, read by nothing of ours."""
    prices: dict[str, dict[str, float]] = {}
    with FILE.open(newline="") as lines:
        for row in csv.DictReader(lines):
            prices.setdefault(row["symbol"], {})[row["date"]] = float(row["close"])
    return prices


def numpy_returns(day: str, symbols: tuple[str, ...], returns: int) -> dict[str, Any]:
    """On the days that all have in common, in floats."""
    prices = {symbol: floats()[symbol] for symbol in symbols}
    common = [date for date in sorted(set.intersection(*(set(of) for of in prices.values()))) if date <= day][-returns - 1 :]
    series = {symbol: np.array([of[date] for date in common]) for symbol, of in prices.items()}
    return {symbol: closes[1:] / closes[:-1] - 1 for symbol, closes in series.items()}


def numpy_var(returns: Mapping[str, Any], reaches: Mapping[str, tuple[float, float]], parametric: bool) -> float:
    """`reaches`: what each symbol is worth when all buys fill, and when all sells do."""
    if parametric:
        signed = {symbol: long if long >= -short else short for symbol, (long, short) in reaches.items()}
        results = sum(value * returns[symbol] for symbol, value in signed.items())
        return max(float(np.std(results, ddof=1)) * 2.3263478740408408, 0.0)
    losses = sum(np.maximum(-long * returns[symbol], -short * returns[symbol]) for symbol, (long, short) in reaches.items())
    return max(float(np.quantile(losses, 0.99, method="inverted_cdf")), 0.0)


@pytest.mark.parametrize("parametric", [False, True])
@pytest.mark.parametrize("returns", [30, 120])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_portfolios_of_several_symbols_agree_with_numpy_to_the_cent(seed: int, returns: int, parametric: bool) -> None:
    """Positions long and short, orders open on either side, over any days of two real years."""
    chance = random.Random(seed)
    symbols = tuple(sorted(chance.sample(STOCKS, chance.randint(1, 8))))
    day = chance.randint(day_of("2014-03-01"), day_of("2014-12-31"))
    method = Method(CONFIDENCE, QUANTILE if parametric else None)
    scene = Scene()
    limits = Limits(enabled=frozenset({VAR_LIMIT}), var_max=Decimal(10**9), var_method=method, short_accounts=frozenset({"alice"}))
    scene.risk = Risk(limits, SYMBOLS, {"USD": Decimal(1)}, Controls())
    scene.risk.learn(history_until(day, symbols, returns))
    reaches = {symbol: _traded(scene, chance, symbol) for symbol in symbols}
    account = scene.risk.exposure.look("alice")
    assert account.unmeasured == 0
    expected = numpy_var(numpy_returns(day_text(day), symbols, returns), reaches, parametric)
    assert abs(float(account.value_at_risk()) - expected) < CENT
    assert scene.decision is not None
    found = next(check.found for check in read_record(scene.decision.checks).checks if check.name == VAR_LIMIT)
    scene.risk.exposure.accounts["alice"].measure(Var(history_until(day, symbols, returns), method))
    assert found == account.value_at_risk(), "what a check found is what the account then has"


def _traded(scene: Scene, chance: random.Random, symbol: str) -> tuple[float, float]:
    """A position at a mark, and an order on one side that adds to it. The reaches, in floats."""
    mark, held, more = chance.randint(1000, 90_000) / 100, chance.randint(1, 500), chance.randint(1, 300)
    side = chance.choice(("buy", "sell"))
    scene.ask("alice", f"{symbol}-1", side, str(held), symbol, f"@{mark}")
    scene.record("alice", f"{symbol}-1", side, str(held), symbol, f"@{mark}")
    scene.fill(f"{symbol}-1", str(held), f"@{mark}")
    scene.ask("alice", f"{symbol}-2", side, str(more), symbol, f"@{mark}")
    scene.record("alice", f"{symbol}-2", side, str(more), symbol, f"@{mark}")
    sign = 1 if side == "buy" else -1
    edge, inner = sign * (held + more) * mark, sign * held * mark
    return (edge, inner) if sign > 0 else (inner, edge)


def test_a_days_worst_of_thirty_is_the_largest_of_thirty_and_the_second_of_two_hundred() -> None:
    for returns, rank in ((30, 30), (99, 99), (100, 99), (200, 198)):
        day = day_of("2014-12-31")
        losses = sorted(-numpy_returns(day_text(day), ("SPY",), returns)["SPY"] * 1000)
        (var,) = Var(history_until(day, ("SPY",), returns), Method(CONFIDENCE)).groups
        found = var.measure(var.shift(var.moves["SPY"], (0, 0), (1000 * MICROS, -1000 * MICROS)))
        assert abs(float(found) - losses[rank - 1]) < CENT


def test_a_billion_is_measured_exactly_and_what_would_overflow_is_an_error() -> None:
    closes = [DailyClose(day, "PENNY", Decimal(price), "test") for day, price in enumerate((100, 90, 99))]
    (var,) = Var(history_of(closes, ["PENNY"], 3, returns=2, age_max_days=7), Method(CONFIDENCE)).groups
    assert abs(var.measure(var.shift(var.moves["PENNY"], (0, 0), (10**9 * MICROS, 0))) - 10**8) < Decimal("0.005")
    assert var.notional_max > Decimal(10**10)
    scene = Scene(enabled=frozenset({VAR_LIMIT}), var_max=Decimal(10**15))
    scene.run("closes PENNY 100 90 99")
    with pytest.raises(OverflowError, match="not measured beyond"):
        scene.ask("alice", "o1", "buy", "1000000", "PENNY", "@900000")
    assert not scene.risk.exposure.reservations


def test_a_newer_history_counts_all_accounts_again() -> None:
    scene = Scene(enabled=frozenset({VAR_LIMIT}))
    scene.run("closes PENNY 100 90 99\nalice o1 buy 10 PENNY @100\nfill o1 10 @100\nalice o2 buy 5 PENNY @100\n= alice var 150")
    scene.closes_told = []
    scene.run("closes PENNY 100 80 99\n= alice var 300\ncancel o2\n= alice var 200")


# Which closes are good enough.


def closes_of(symbol: str, days: range, source: str = "test") -> list[DailyClose]:
    return [DailyClose(day, symbol, Decimal(100), source) for day in days]


def told(closes: list[DailyClose], today: int = 100, returns: int = 30) -> History:
    return history_of(closes, ("A", "B", "C"), today, returns=returns, age_max_days=7)


def test_what_is_missing_old_or_short_is_unusable_and_says_why() -> None:
    found = told([*closes_of("A", range(62, 93)), *closes_of("B", range(70, 100))])
    assert (found.unusable, found.series) == ({"A": "old", "B": "short", "C": "missing"}, {})
    found = told([*closes_of("A", range(63, 94)), *closes_of("B", range(69, 100))], returns=5)
    assert sorted(found.series) == ["A", "B"]


def test_a_close_in_another_unit_harms_its_symbol_alone() -> None:
    cents = [*closes_of("B", range(40, 99)), DailyClose(99, "B", Decimal(10_000), "test")]
    found = told([*closes_of("A", range(40, 100)), *cents])
    assert (sorted(found.series), found.unusable["B"]) == (["A"], "jump")


def test_made_up_closes_count_until_there_are_enough_real_ones() -> None:
    made_up = closes_of("A", range(40, 100), SIMULATED)
    assert told(made_up).simulated == {"A": 0}
    few = told([*made_up, *closes_of("A", range(69, 99))])
    assert (few.simulated, few.series["A"].days[-1]) == ({"A": 30}, 99), "thirty real ones are one too few: nothing has changed"
    enough = told([*made_up, *closes_of("A", range(68, 99))])
    assert (enough.simulated, enough.series["A"].days[-1]) == ({}, 98)


def test_real_closes_that_became_old_are_not_replaced_by_made_up_ones() -> None:
    """A feed that stopped must not become a calm market without a word."""
    found = told([*closes_of("A", range(40, 100), SIMULATED), *closes_of("A", range(50, 90))])
    assert (found.unusable["A"], found.series) == ("old", {})


def test_few_real_closes_without_a_simulated_market_are_short_as_none_are_missing() -> None:
    assert told(closes_of("A", range(90, 100))).unusable["A"] == "short"
    assert told([*closes_of("A", range(20, 80), SIMULATED), *closes_of("A", range(90, 100))]).unusable["A"] == "short"


def priced(days: range, first: int, source: str) -> list[DailyClose]:
    """Closes that rise by one a day."""
    return [DailyClose(day, "A", Decimal(first + place), source) for place, day in enumerate(days)]


def test_simulated_closes_end_where_real_ones_begin_without_a_step_between_the_two_markets() -> None:
    made_up, real = priced(range(40, 95), 100, SIMULATED), priced(range(95, 100), 50_000, "bars:KRAKEN")
    found = told([*made_up, *real])
    series = found.series["A"]
    assert (found.simulated, series.days) == ({"A": 5}, tuple(range(69, 100)))
    assert series.prices[-5:] == tuple(map(Decimal, range(50_000, 50_005))), "each real close counts from its first day"
    assert series.prices[-6] == Decimal(50_000), "the last simulated one is where the first real one is"
    expected = [divide(Decimal(now), Decimal(before)) for before, now in pairwise(range(129, 155))]
    returns = [divide(now, before) for before, now in pairwise(series.prices[:26])]
    assert all(abs(one - other) <= Decimal("1e-12") for one, other in zip(returns, expected, strict=True)), "and their returns stay"
    # when the real ones are enough, the simulated ones are not used any more
    assert told([*made_up, *priced(range(69, 100), 50_000, "bars:KRAKEN")]).simulated == {}


def test_simulated_closes_that_go_on_beyond_the_real_ones_are_used_alone() -> None:
    found = told([*priced(range(40, 90), 100, SIMULATED), *priced(range(90, 95), 50_000, "x"), *priced(range(95, 100), 155, SIMULATED)])
    assert (found.simulated, max(found.series["A"].prices)) == ({"A": 5}, Decimal(159))


def test_prices_that_may_be_negative_are_joined_by_difference() -> None:
    closes = [*priced(range(40, 95), -30, SIMULATED), *priced(range(95, 100), -5, "bars:X")]
    found = history_of(closes, ("A",), 100, returns=30, age_max_days=7, by_difference=frozenset({"A"}))
    assert found.series["A"].prices == (*map(Decimal, range(-30, -4)), *map(Decimal, range(-5, 0)))


# Files of closes.


def read(text: str) -> list[DailyClose]:
    return read_closes(text.splitlines(keepends=True), SYMBOLS, "test", day_of("2020-01-01"))


def test_a_file_of_closes_is_read_exactly() -> None:
    found = read("date,symbol,close\n2014-12-31,SPY,205.540000000001\n\n2014-12-30,SPY,1\n")
    assert found == [DailyClose(16435, "SPY", Decimal("205.540000000001"), "test"), DailyClose(16434, "SPY", Decimal(1), "test")]
    assert len(real_closes()) == 5630


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("", "line 1: the file is empty"),
        ("date,symbol,close\n", "line 1: there are no closes"),
        ("symbol,day,close\n", "line 1: the columns must be date,symbol,close; there is no column 'date'"),
        ("date,symbol,close\n2014-12-31,SPY\n", "line 2: 2 fields where 3 are needed"),
        ("date,symbol,close\n2014-13-31,SPY,1\n", "line 2: '2014-13-31' is not a date"),
        ("date,symbol,close\n2020-01-01,SPY,1\n", "line 2: 2020-01-01 is not a day that is over"),
        ("date,symbol,close\n2014-12-31,NOPE,1\n", "line 2: unknown symbol 'NOPE'"),
        ("date,symbol,close\n2014-12-31,SPY,0\n", "line 2: close '0' is not a decimal number above zero"),
        ("date,symbol,close\n2014-12-31,SPY,1e50\n", "line 2: close '1e50' is not"),
        ("date,symbol,close\n2014-12-31,SPY,NaN\n", "line 2: close 'NaN' is not"),
        ("date,symbol,close\n2014-12-31,SPY,1\n2014-12-31,SPY,2\n", "line 3: SPY has a close of 2014-12-31 already"),
        ('date,symbol,close\n2014-12-31,"SPY\n', "line 2: unexpected end of data"),
    ],
)
def test_a_wrong_line_is_named(text: str, trouble: str) -> None:
    with pytest.raises(BadCloses, match=f"^{trouble}".replace("(", r"\(")):
        read(text)
