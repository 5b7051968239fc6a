"""Very many orders, as a journal tells of them: most stay open, some trade, some end. The same every time."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Final

from domain.order import events as e
from domain.order.lifecycle import State
from domain.values import ZERO, Liquidity, OrderType, Side, order_id_of

SYMBOLS: Final = ("BTCUSDT", "PENNY", "EURO", "LENDABLE")
ACCOUNTS: Final = 100
EACH_COMMIT: Final = 200
"""Orders that are born, routed, acknowledged together."""
AT: Final = 1_700_000_000_000_000_000
CHECKS: Final = "order_size_limit 501 100000,position_limit 5010 1000000,buying_power 250 99749"
ONE_IN_TRADES: Final = 10
ONE_IN_ENDS: Final = 40


def submitted(number: int) -> e.OrderSubmitted:
    account = f"account-{number % ACCOUNTS}"
    client_order_id = f"client-{number}"
    return e.OrderSubmitted(
        order_id=order_id_of(account, client_order_id),
        at=AT + number,
        status=State.NEW,
        account=account,
        client_order_id=client_order_id,
        symbol=SYMBOLS[number // ACCOUNTS % len(SYMBOLS)],
        side=Side.SELL if number % 3 == 0 else Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal(10 + number % 7),
        price=Decimal(4900 + number % 200).scaleb(-2),
    )


def crowd(orders: int) -> Iterator[tuple[e.OrderEvent, ...]]:
    """Commits: a flock is born, then routed, then acknowledged; then some of it trade and some end."""
    numbers = iter(range(orders))
    while flock := [submitted(number) for number in islice(numbers, EACH_COMMIT)]:
        yield tuple(event for terms in flock for event in _accepted(terms))
        yield tuple(_routed(terms) for terms in flock)
        yield tuple(_acknowledged(terms) for terms in flock)
        yield tuple(_filled(terms) for terms in flock[::ONE_IN_TRADES])
        yield tuple(_cancelled(terms) for terms in flock[::ONE_IN_ENDS])


def _accepted(terms: e.OrderSubmitted) -> tuple[e.OrderEvent, ...]:
    order_id, at = terms.order_id, terms.at
    return (
        terms,
        e.OrderRiskChecked(order_id=order_id, at=at, status=State.RISK_CHECKED, limits_version=1, checks=CHECKS, reference=terms.price),
        e.OrderQueued(order_id=order_id, at=at, status=State.QUEUED),
    )


def _routed(terms: e.OrderSubmitted) -> e.OrderRouted:
    leg = e.Leg(f"{terms.order_id}-1", "PAPER_A", terms.quantity)
    seen = e.Candidate("PAPER_A", terms.price, terms.price, Decimal(3), terms.price)
    return e.OrderRouted(
        order_id=terms.order_id, at=terms.at, status=State.ROUTED, legs=(leg,), policy="lowest_cost", candidates=(seen, seen)
    )


def _acknowledged(terms: e.OrderSubmitted) -> e.RouteAcknowledged:
    return e.RouteAcknowledged(
        order_id=terms.order_id,
        at=terms.at,
        status=State.ROUTED,
        route_id=f"{terms.order_id}-1",
        venue="PAPER_A",
        venue_order_id=f"V-{terms.at - AT}",
        report_seq=2 * (terms.at - AT) + 1,
    )


def _filled(terms: e.OrderSubmitted) -> e.OrderFilled:
    return e.OrderFilled(
        order_id=terms.order_id,
        at=terms.at,
        status=State.PARTIALLY_FILLED,
        account=terms.account,
        client_order_id=terms.client_order_id,
        symbol=terms.symbol,
        side=terms.side,
        quantity=Decimal("0.25"),
        price=terms.price or ZERO,
        fee=Decimal("0.0049"),
        liquidity=Liquidity.MAKER,
        exec_id=f"X-{terms.at - AT}",
        venue="PAPER_A",
        route_id=f"{terms.order_id}-1",
        report_seq=2 * (terms.at - AT) + 2,
    )


def _cancelled(terms: e.OrderSubmitted) -> e.OrderCancelled:
    return e.OrderCancelled(order_id=terms.order_id, at=terms.at, status=State.CANCELLED, source="client", reason="requested")
