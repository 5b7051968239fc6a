"""Exits: an order that may only reduce is bounded by the position it closes, whatever the other limits are."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.order.lifecycle import State
from domain.risk.limits import SWITCHES
from tests.domain.risk.scene import Scene, check, filled, order

SIDES = st.sampled_from(["buy", "sell"])
ASKED = st.lists(st.tuples(SIDES, st.integers(1, 4000)), min_size=1, max_size=12)


def slow_exits(held: Fraction, asked: list[tuple[str, int]]) -> list[bool]:
    """Which of these may pass: those that close, together with what passed on their side before, no more than is held."""
    closing, passed = {"buy": Fraction(0), "sell": Fraction(0)}, []
    for side, hundredths in asked:
        quantity = Fraction(hundredths, 100)
        passes = closing[side] + quantity <= (held if side == "sell" else -held)
        closing[side] += quantity if passes else 0
        passed.append(passes)
    return passed


@settings(max_examples=60, deadline=None)
@given(st.integers(-5000, 5000), ASKED)
def test_exits_pass_as_far_as_the_position_reaches_and_no_limit_of_size_holds_them_back(held: int, asked: list[tuple[str, int]]) -> None:
    """Every limit that can be set to nothing is nothing; there is no price history, and the account is below its margin."""
    nothing = {
        name: Decimal(0) for name in ("order_notional_max", "order_quantity_max", "position_notional_max", "concentration_max", "var_max")
    }
    scene = Scene(enabled=frozenset(SWITCHES), buying_power_initial=Decimal(0), **nothing)
    if held:
        side = "buy" if held > 0 else "sell"
        quantity = str(abs(Decimal(held).scaleb(-2)))
        scene.apply(filled(order("alice", "o", side, quantity, "LENDABLE", "@100"), quantity, "100", "0", State.FILLED))
    expected = slow_exits(Fraction(held, 100), asked)
    for number, ((side, hundredths), passes) in enumerate(zip(asked, expected, strict=True)):
        scene.ask("alice", f"x{number}", side, str(Decimal(hundredths).scaleb(-2)), "LENDABLE", "@100", "reduce")
        assert scene.decision is not None
        assert scene.decision.approved is passes
        assert passes or (scene.decision.denial and scene.decision.denial.code == "reduce_only")


def test_the_size_of_an_exit_is_not_limited_and_that_of_a_plain_order_that_shrinks_is() -> None:
    check("""
limits order_notional_max=1000 order_quantity_max=15 concentration_max=0.01
recorded alice o1 buy 20 PENNY @100
fill o1 20 @100
alice o2 sell 11 PENNY @100
> order_size_limit 1100 1000 USD
alice o3 sell 11 PENNY @100 reduce
> approved
  reduce_only 11 20
  short_restriction 11 20
alice o4 sell 10 PENNY @100 reduce
> reduce_only 21 20 shares
alice o5 sell 9 PENNY @100 reduce
> approved
""")


@pytest.mark.parametrize("held", ["buy", "sell"])
def test_an_exit_may_not_go_through_zero(held: str) -> None:
    out = "sell" if held == "buy" else "buy"
    check(f"""
recorded alice o1 {held} 10 LENDABLE @100
fill o1 10 @100
alice o2 {out} 10.00001 LENDABLE @100 reduce
> reduce_only 10.00001 10 shares
alice o3 {held} 1 LENDABLE @100 reduce
> reduce_only 1 0 shares
alice o4 {out} 10 LENDABLE @100 reduce
> approved
""")
