"""Message rates and repeated orders: integers of time, bounded memory, and nothing kept without a limit that needs it."""

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from domain.instruments import Denial
from domain.market.quotes import Quote
from domain.risk.controls import Controls
from domain.risk.decision_record import CheckResult, DecisionRecord, PriceUsed, read, record_line
from domain.risk.engine import Risk
from domain.risk.limits import Limits
from domain.risk.order_rate import SAME_KEPT_MAX, OrderRate
from tests.domain.risk.scene import CURRENCIES, SECOND, Scene, instrument, new_risk, order


@given(st.lists(st.integers(0, 2 * SECOND), max_size=60), st.integers(1, 20))
def test_never_more_than_twice_the_rate_pass_in_any_second(waits: list[int], rate: int) -> None:
    """As many as the rate at once, then one for each part of a second: so at most the rate and one burst in a window of a second."""
    order_rate, now, passed = OrderRate(), 0, list[int]()
    for wait in waits:
        now += wait // 10
        if order_rate.in_a_second(rate, now) <= rate:
            order_rate.asked(rate, now)
            passed.append(now)
    for begin in passed:
        assert sum(begin <= at < begin + SECOND for at in passed) <= 2 * rate


def test_different_orders_without_end_do_not_fill_the_memory() -> None:
    risk = new_risk(repeated_orders_max=1, buying_power_initial=Decimal(10**9), enabled=frozenset[str]())
    for number in range(3 * SAME_KEPT_MAX):
        assert risk.decide(order("alice", f"o{number}", "buy", "1", "PENNY", f"@{1 + number}"), SECOND).approved
    assert len(risk._order_rates["alice"]._same) == SAME_KEPT_MAX


def test_no_rates_are_kept_without_a_limit_that_needs_them() -> None:
    risk = new_risk()
    assert risk.decide(order("alice", "o1", "buy", "1", "PENNY", "@1"), SECOND).approved
    assert not risk._order_rates


def test_a_client_that_runs_in_a_loop_is_stopped_for_good_and_others_are_not() -> None:  # FAILURES 71
    scene = Scene(repeated_orders_max=10)
    answers = [scene.risk.decide(order("loop", f"o{n}", "buy", "1", "PENNY", "@1"), SECOND + n * SECOND).approved for n in range(1000)]
    assert (answers[:10], any(answers[10:])) == ([True] * 10, False)
    scene.run("ask other x1 buy 1 PENNY @1\n> approved\nask loop x2 sell 1 LENDABLE @1\n> approved")


def test_a_flood_of_one_account_costs_the_others_nothing() -> None:  # FAILURES 70
    risk = new_risk(order_rate_max=100)
    flood = [risk.decide(order("flood", f"f{n}", "buy", "0.01", "PENNY", "@1"), SECOND + n * 1000) for n in range(5000)]
    assert sum(decision.approved for decision in flood) == 100
    assert {decision.denial.code for decision in flood if decision.denial} == {"rate_limit"}
    assert risk.decide(order("calm", "c1", "buy", "0.01", "PENNY", "@1"), SECOND).approved


def test_dry_checks_do_not_count() -> None:
    risk = new_risk(order_rate_max=1, repeated_orders_max=1, duplicate_window_ns=SECOND)
    terms = order("alice", "", "buy", "1", "PENNY", "@1")
    assert all(risk.dry(terms, SECOND).approved for _ in range(5))


def test_repeats_far_apart_begin_again() -> None:
    order_rate, limits, terms = OrderRate(), Limits(repeated_orders_max=2), order("a", "o", "buy", "1", "PENNY", "@1")
    for number in range(6):
        now = number * 61 * SECOND
        assert order_rate.repeats(terms, limits, now) == 1
        order_rate.passed(terms, limits, now)


# The record.


def test_a_record_is_read_back_as_it_was_written() -> None:
    checks = (("var_limit", Decimal("62.123456"), Decimal(50000)), ("PRICE", Decimal("1E-8"), Decimal("1E+3")))
    found = read(record_line(checks, (("mid", Decimal("45000.005"), 120), ("touch", Decimal(1), 0)), "2026-11-21"))
    assert found == DecisionRecord(
        tuple(CheckResult(*check) for check in checks),
        (PriceUsed("mid", Decimal("45000.005"), 120), PriceUsed("touch", Decimal(1), 0)),
        "2026-11-21",
    )
    assert found.checks[0].headroom == Decimal("49937.876544")
    assert read(record_line(checks[:1], (), "")) == DecisionRecord((CheckResult(*checks[0]),))
    assert read("") == DecisionRecord()


def test_an_instruments_own_collar_rules_over_the_general_one() -> None:
    tight = {"PENNY": msgspec.structs.replace(instrument("PENNY"), collar_pct=Decimal(1)), "EURO": instrument("EURO", "EUR")}
    risk = Risk(Limits(enabled=frozenset(), price_collar=None), tight, CURRENCIES, Controls())
    for symbol in tight:
        quote = Quote(symbol=symbol, venue="A", bid=Decimal(99), bid_size=Decimal(1), ask=Decimal(101), ask_size=Decimal(1), at=0)
        risk.marks.update(quote, SECOND)
    answers = {price: risk.dry(order("alice", "", "buy", "1", "PENNY", f"@{price}"), SECOND).denial for price in ("101", "101.01")}
    assert (answers["101"], answers["101.01"]) == (None, Denial("price_collar", "1.01", "1", "USD"))
    assert risk.dry(order("alice", "", "buy", "1", "EURO", "@1000"), SECOND).approved
    assert risk.dry(order("alice", "", "buy", "1", "PENNY", "@200"), 60 * SECOND).approved, "a mid that is not fresh holds nothing"


def test_every_decision_says_what_was_measured_and_by_which_prices() -> None:
    scene = Scene(price_collar=Decimal("0.2"), enabled=frozenset({"order_size_limit", "var_limit"}))
    scene.run("closes BTCUSDT 100 90 99\nquote BTCUSDT 99 101\nwait 2\nask alice o1 buy 1 BTCUSDT market\n> approved reference=102.01")
    assert scene.decision is not None
    found = read(scene.decision.checks)
    assert [check.name for check in found.checks] == ["order_size_limit", "order_size_limit", "var_limit"]
    assert found.prices == (PriceUsed("touch", Decimal(101), 2000), PriceUsed("mid", Decimal(100), 2000))
    assert found.closes_to == "1970-01-03"
    scene.run("ask alice o2 buy 1 BTCUSDT @1000\n> price_collar 900 20 USD")
    assert [check.name for check in read(scene.decision.checks).checks] == ["price_collar"]
