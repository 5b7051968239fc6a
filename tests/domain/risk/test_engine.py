"""Risk, scene by scene: what is reserved, what the journal makes of it, and what happens when something is wrong."""

import asyncio
from decimal import Decimal

import pytest

from domain.order import events as e
from domain.order.lifecycle import State
from domain.risk import checks
from domain.risk.checks import CHECKS, switched_on
from domain.risk.exposure import Holding
from domain.risk.limits import SWITCHES, Limits
from domain.risk.projection import UnknownInstrument
from domain.values import Side
from tests.domain.risk.scene import SECOND, Scene, busted, check, filled, new_risk, order

CODES = [
    "killed",
    "symbol_blocked",
    "account_suspended",
    "rate_limit",
    "duplicate_order",
    "repeated_order",
    "max_open_orders",
    "no_reference_price",
    "reduce_only",
    "price_collar",
    "order_size_limit",
    "order_size_limit",
    "position_limit",
    "short_restriction",
    "concentration_limit",
    "buying_power",
    "no_price_history",
    "var_limit",
]


def test_the_checks_stand_in_their_declared_order() -> None:
    assert [one.code for one in CHECKS] == CODES


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_check_that_is_not_enabled_is_not_made(switch: str) -> None:
    everything = switched_on(Limits(enabled=frozenset(SWITCHES)))
    without = switched_on(Limits(enabled=frozenset(SWITCHES) - {switch}))
    assert [one for one in everything if one.switch != switch] == list(without)
    assert len(without) < len(everything)


def test_an_order_that_breaks_every_limit_is_refused_for_the_first() -> None:
    scene = "limits order_notional_max=1 position_notional_max=1 concentration_max=0 buying_power_initial=0\nquote BTCUSDT 100 100\n"
    check(scene + "alice o1 sell 5 BTCUSDT @100\n> order_size_limit 500 1 USD\n  order_size_limit 500 1")
    check(scene + "block BTCUSDT\nalice o1 sell 5 BTCUSDT @100\n> symbol_blocked")


@pytest.mark.parametrize(
    ("limits", "refused", "passes"),
    [
        ("order_notional_max=1000", "buy 1001 PENNY @1", "buy 1000 PENNY @1"),
        ("order_quantity_max=1000", "buy 1000.01 PENNY @1", "buy 1000 PENNY @1"),
        ("position_notional_max=1000", "buy 1000.01 PENNY @1", "buy 1000 PENNY @1"),
        ("concentration_max=0.01", "buy 1000.01 PENNY @1", "buy 1000 PENNY @1"),
        ("buying_power_initial=5000", "buy 1250.01 PENNY @1", "buy 1250 PENNY @1"),
        ("enabled=buying_power buying_power_initial=500", "buy 1000.01 PENNY @1", "buy 1000 PENNY @1"),
    ],
)
def test_a_limit_is_met_exactly_and_not_a_cent_beyond(limits: str, refused: str, passes: str) -> None:
    scene = Scene()
    scene.run(f"limits {limits}\nalice o1 {refused}")
    assert scene.decision is not None
    assert not scene.decision.approved
    scene.run(f"alice o2 {passes}\n> approved")


def test_an_order_that_only_reduces_passes_though_everything_is_spent() -> None:
    check("""
quote BTCUSDT 100 100
alice o1 buy 200 BTCUSDT @100
fill o1 200 @100 fee=79000
= alice equity 21000
alice o2 buy 1 BTCUSDT @100
> concentration_limit 20100 5250 USD
alice o3 sell 150 BTCUSDT @100
> approved
alice o4 sell 51 BTCUSDT @100
> short_restriction 201 200 shares
alice o5 sell 50 BTCUSDT market
> approved
""")


def test_buying_back_a_short_only_reduces() -> None:
    check("""
quote LENDABLE 10 10
alice o1 sell 1000 LENDABLE @10
fill o1 1000 @10 fee=95000
= alice equity 5000
alice o2 buy 600 LENDABLE @12
> approved
alice o3 buy 400 LENDABLE @200
> approved
= alice worst_case_exposure 10000, reservations 0
alice o4 buy 200 LENDABLE @10
> concentration_limit 14866.666666666667 1250 USD
""")


def test_a_take_profit_far_from_the_market_reserves_nothing() -> None:
    check("""
quote BTCUSDT 100 100
alice o1 buy 10 BTCUSDT @100
fill o1 10 @100
alice o2 sell 10 BTCUSDT @900
> approved
= alice reservations 0, buying_power 99500
""")


def test_a_position_without_a_quote_is_valued_at_its_last_trade() -> None:
    check("""
bob o1 buy 10 PENNY @100
fill o1 10 @90
= bob equity 100000, gross_exposure 900
quote PENNY 95 97
= bob equity 100060, gross_exposure 960
wait 3600
= bob equity 100060, gross_exposure 960
""")


def test_the_market_order_of_a_stale_venue_uses_the_fresh_one() -> None:
    scene = Scene()
    scene.run("quote BTCUSDT 100 101\nwait 11\nask alice o1 buy 1 BTCUSDT market\n> no_reference_price")
    scene.run("quote BTCUSDT 200 201\nask alice o2 buy 1 BTCUSDT market\n> approved reference=203.01")


def test_a_rejection_by_anyone_releases_the_reservation_once() -> None:  # FAILURES 16, 33
    scene = Scene()
    scene.run("ask alice o1 buy 10 PENNY @100\n= alice reservations 500")
    rejected = e.OrderRejected(order_id="o1", at=0, status=State.REJECTED, source="risk", reason="risk_timeout")
    scene.apply(rejected)
    scene.run("= alice reservations 0, open_reservations 0")
    scene.apply(rejected)
    scene.run("= alice reservations 0, worst_case_exposure 0")


@pytest.mark.parametrize("kind", [e.OrderExpired, e.OrderCancelled])
def test_an_expiry_or_a_cancel_releases_what_is_open_once(kind: type[e.OrderExpired | e.OrderCancelled]) -> None:
    scene = Scene()
    scene.run("alice o1 buy 10 PENNY @100\nalice o2 buy 2 PENNY @100\n= alice reservations 600")
    status = State.EXPIRED if kind is e.OrderExpired else State.CANCELLED
    for _ in range(2):
        scene.apply(kind(order_id="o1", at=0, status=status, source="venue", reason="day"))
        scene.run("= alice reservations 100, worst_case_exposure 200, open_orders 1")


def test_a_late_approval_does_not_outlive_its_time() -> None:  # FAILURES 16, 17
    scene = Scene()
    scene.apply(e.OrderRejected(order_id="o1", at=0, status=State.REJECTED, source="risk", reason="risk_timeout"))
    scene.run("ask alice o1 buy 10 PENNY @100\nwait 2\ngive back\n= alice reservations 500\nwait 1\ngive back\n= alice reservations 0")


def test_asking_again_holds_the_reservation_from_then_on() -> None:
    scene = Scene()
    scene.run("ask alice o1 buy 10 PENNY @100\nwait 2\nask alice o1 buy 10 PENNY @100\nwait 1\ngive back\n= alice reservations 500")


def test_only_what_is_old_is_given_back() -> None:
    scene = Scene()
    scene.run("ask alice o1 buy 10 PENNY @100\nwait 2\nask alice o2 buy 10 PENNY @100\nwait 1\n")
    assert scene.risk.exposure.release_before(scene.now - 2 * SECOND) == ["o1"]
    scene.run("= alice reservations 500")


def test_a_dry_check_reserves_nothing_and_keeps_no_account() -> None:
    risk = new_risk()
    terms = order("absent", "", "buy", "10", "PENNY", "@100")
    assert risk.dry(terms, SECOND).approved
    assert risk.exposure.accounts == {}
    assert risk.exposure.reservations == {}


def test_the_same_decision_is_given_while_it_is_held() -> None:  # FAILURES 3
    risk = new_risk()
    terms = order("alice", "o1", "buy", "10", "PENNY", "@100")
    first = risk.decide(terms, SECOND)
    assert risk.decide(terms, SECOND) is first


@pytest.mark.parametrize("status", [State.FILLED, State.PARTIALLY_FILLED, State.CANCELLED])
def test_a_fill_of_an_unknown_order_moves_the_position(status: State) -> None:  # FAILURES 29
    scene = Scene()
    stranger = order("alice", "ghost", "buy", "3", "PENNY", "@100")
    scene.apply(filled(stranger, "3", "100", "0", status))
    scene.run("= alice gross_exposure 300, reservations 0, worst_case_exposure 300")


def test_a_bust_that_opens_a_forgotten_order_counts_it_as_open_again() -> None:
    check("""
alice o1 buy 10 PENNY @100
fill o1 10 @98 fee=2
= alice equity 99998, margin_in_use 490, reservations 0
bust o1 4 @98 fee=2
= alice equity 100000, margin_in_use 294, reservations 196
cancel o1
= alice margin_in_use 294, reservations 0
""")


def test_a_bust_of_an_order_that_was_cancelled_opens_nothing() -> None:
    scene = Scene()
    scene.run("alice o1 buy 10 PENNY @100\nfill o1 4 @100\ncancel o1\n= alice gross_exposure 400, reservations 0")
    scene.apply(busted(order("alice", "o1", "buy", "10", "PENNY", "@100"), "4", "100", "0", State.CANCELLED))
    scene.run("= alice gross_exposure 0, reservations 0")


def test_an_order_in_doubt_counts_until_there_is_evidence() -> None:  # FAILURES 34
    scene = Scene()
    scene.run("alice o1 buy 10 PENNY @100")
    scene.apply(e.OrderInDoubt(order_id="o1", at=0, status=State.IN_DOUBT, route_id="R1", venue="PAPER_A", reason="no answer"))
    scene.run("wait 60\ngive back\n= alice reservations 500")
    scene.apply(e.OrderRejected(order_id="o1", at=0, status=State.REJECTED, source="exeq", reason="never_arrived"))
    scene.run("= alice reservations 0")


def test_an_overfill_counts_in_full_and_leaves_nothing_open() -> None:  # FAILURES 30
    check("alice o1 buy 10 PENNY @100\nfill o1 11 @100\n= alice gross_exposure 1100, reservations 0")


def test_a_symbol_that_the_catalogue_lost_stops_the_fold() -> None:
    stranger = order("alice", "o1", "buy", "3", "GONE", "@100")
    with pytest.raises(UnknownInstrument, match="GONE"):
        Scene().apply(filled(stranger, "3", "100", "0", State.FILLED))


def test_an_error_inside_a_check_leaves_nothing_half_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(case: checks.Case) -> checks.Measured:
        raise ArithmeticError("a bug")

    risk = new_risk()
    monkeypatch.setattr(risk, "_checks", (*CHECKS[:-2], checks.Check("broken", None, None, broken)))
    with pytest.raises(ArithmeticError):
        risk.decide(order("alice", "o1", "buy", "10", "PENNY", "@100"), SECOND)
    assert risk.exposure.reservations == {}
    assert risk.exposure.accounts == {}


def test_a_sum_that_does_not_fit_leaves_the_account_as_it_was() -> None:
    risk = new_risk()
    assert risk.decide(order("alice", "o1", "buy", "10", "PENNY", "@100"), SECOND).approved
    account = risk.exposure.account("alice")
    with pytest.raises(ArithmeticError):
        account.open("BTCUSDT", Side.BUY, Decimal(1), Decimal("1e110"))
    assert account.worst == 1000
    assert account.holding("BTCUSDT") == Holding("BTCUSDT")


async def test_of_thirty_two_at_once_exactly_ten_pass_a_limit_that_fits_ten() -> None:  # FAILURES 18
    risk = new_risk(order_quantity_max=Decimal(100), position_notional_max=Decimal(10_000))

    async def client(number: int) -> bool:
        await asyncio.sleep(0)
        return risk.decide(order("alice", f"o{number}", "buy", "10", "PENNY", "@100"), SECOND).approved

    for _ in range(20):
        answers = await asyncio.gather(*(client(number) for number in range(32)))
        assert sum(answers) == 10
        assert risk.exposure.look("alice").worst == 10_000
        risk.exposure.release_before(SECOND + 1)
