"""Ready-made commands and reports: what a scene does not say has one fixed value here."""

from decimal import Decimal

from domain.instruments import Denial
from domain.order import commands as c
from domain.order.events import Leg
from domain.values import Liquidity, OrderType, Side, order_id_of

ACCOUNT, CLIENT_ID, SYMBOL = "alice", "a-1", "BTCUSDT"
ORDER_ID = order_id_of(ACCOUNT, CLIENT_ID)
NOW = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


def terms(quantity: str = "10", price: str | None = "50", *, side: str = "buy", order_type: str = "limit") -> c.Terms:
    return c.Terms(
        order_id=ORDER_ID,
        account=ACCOUNT,
        client_order_id=CLIENT_ID,
        symbol=SYMBOL,
        side=Side(side),
        order_type=OrderType(order_type),
        quantity=Decimal(quantity),
        price=None if price is None else Decimal(price),
    )


def approved(order_id: str = ORDER_ID) -> c.RiskDecision:
    return c.RiskDecision(order_id=order_id, limits_version=3, checks="order_size_limit 500 100000")


def denied(code: str, order_id: str = ORDER_ID) -> c.RiskDecision:
    checks = f"{code} 150000 100000"
    return c.RiskDecision(
        order_id=order_id, limits_version=3, denial=Denial(code, found="150000", limit="100000", unit="USD"), checks=checks
    )


def submit(asked: c.Terms, decision: c.RiskDecision | None = None) -> c.SubmitOrder:
    return c.SubmitOrder(order_id=asked.order_id, terms=asked, decision=decision or approved(asked.order_id))


def cancel(source: str = "client", reason: str = "requested") -> c.CancelOrder:
    return c.CancelOrder(order_id=ORDER_ID, source=source, reason=reason)


def route(*legs: tuple[str, str, str]) -> c.RouteOrder:
    """Legs as (route_id, venue, quantity)."""
    return c.RouteOrder(order_id=ORDER_ID, legs=tuple(Leg(r, v, Decimal(q)) for r, v, q in legs), policy="best_price")


def report(
    kind: str,
    *,
    route_id: str = "R1",
    venue: str = "PAPER_A",
    report_seq: int = 1,
    exec_id: str = "",
    quantity: str | None = None,
    price: str | None = None,
    fee: str | None = None,
    venue_order_id: str = "",
    reason: str = "",
    side: str = "buy",
    symbol: str = SYMBOL,
    account: str = ACCOUNT,
    stop_price: str | None = None,
    replace_id: str = "",
    ref_exec_id: str = "",
) -> c.VenueReport:
    return c.VenueReport(
        report=c.ReportKind(kind),
        order_id=ORDER_ID,
        route_id=route_id,
        venue=venue,
        report_seq=report_seq,
        at=NOW,
        account=account,
        symbol=symbol,
        side=Side(side),
        venue_order_id=venue_order_id,
        exec_id=exec_id,
        quantity=None if quantity is None else Decimal(quantity),
        price=None if price is None else Decimal(price),
        fee=None if fee is None else Decimal(fee),
        liquidity=Liquidity.TAKER,
        reason=reason,
        stop_price=None if stop_price is None else Decimal(stop_price),
        replace_id=replace_id,
        ref_exec_id=ref_exec_id,
    )


def fill(exec_id: str, quantity: str, price: str, *, report_seq: int = 1, **rest: str) -> c.VenueReport:
    return report("fill", exec_id=exec_id, quantity=quantity, price=price, report_seq=report_seq, **rest)
