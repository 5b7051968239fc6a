"""Events for the stores' contracts: what a scene does not say has one fixed value here."""

from collections.abc import Sequence
from decimal import Decimal

from domain.order import events as e
from domain.order.lifecycle import State
from domain.position.rows import EventRow
from domain.values import Liquidity, OrderType, Side

AT = 1_700_000_000_123_456_789


def submitted(order_id: str, account: str = "alice", symbol: str = "BTCUSDT", at: int = AT) -> e.OrderSubmitted:
    return e.OrderSubmitted(
        order_id=order_id,
        at=at,
        status=State.NEW,
        account=account,
        client_order_id=f"client-{order_id}",
        symbol=symbol,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal(10),
        price=Decimal(50),
    )


def queued(order_id: str, at: int = AT) -> e.OrderQueued:
    return e.OrderQueued(order_id=order_id, at=at, status=State.QUEUED)


def filled(
    exec_id: str,
    quantity: str = "1",
    price: str = "50",
    *,
    order_id: str = "O1",
    account: str = "alice",
    symbol: str = "BTCUSDT",
    side: str = "buy",
    venue: str = "PAPER_A",
    fee: str = "0.1",
    status: State = State.PARTIALLY_FILLED,
    at: int = AT,
) -> e.OrderFilled:
    return e.OrderFilled(
        order_id=order_id,
        at=at,
        status=status,
        account=account,
        client_order_id=f"client-{order_id}",
        symbol=symbol,
        side=Side(side),
        quantity=Decimal(quantity),
        price=Decimal(price),
        fee=Decimal(fee),
        liquidity=Liquidity.TAKER,
        exec_id=exec_id,
        venue=venue,
        route_id="R1",
        report_seq=1,
    )


def busted(trade: e.OrderFilled, at: int = AT) -> e.TradeBusted:
    return e.TradeBusted(
        order_id=trade.order_id,
        at=at,
        status=State.ROUTED,
        account=trade.account,
        symbol=trade.symbol,
        side=trade.side,
        quantity=trade.quantity,
        price=trade.price,
        fee=trade.fee,
        exec_id=trade.exec_id,
        venue=trade.venue,
        report_seq=2,
    )


def rows(seq: int, *events: e.OrderEvent) -> list[EventRow]:
    """One commit's rows."""
    return [EventRow(event=event, seq=seq, index=index) for index, event in enumerate(events)]


def commits(*events: Sequence[e.OrderEvent]) -> list[EventRow]:
    """Commits numbered from 1."""
    return [row for seq, of_commit in enumerate(events, 1) for row in rows(seq, *of_commit)]
