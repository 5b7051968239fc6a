"""Analytic rows: order events, controls, facts and quotes of one second, as columns. Every row is a pure function of one message."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from domain.archive.ports import ArchiveRow
from domain.market.quotes import Quote
from domain.market.records import Fact
from domain.order.events import OrderEvent
from domain.position.rows import detail
from domain.risk.controls import ControlEvent

ORDER_EVENTS: Final = "order_events"
CONTROLS: Final = "controls"
MARKET_FACTS: Final = "market_facts"
QUOTES_1S: Final = "quotes_1s"
SECOND_NS: Final = 1_000_000_000

_JSON: Final = msgspec.json.Encoder(decimal_format="string")


class EventTableRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of `order_events`. Text is empty and a number None where the event has no such field; `detail` is all of its own fields."""

    shard: int
    n: int
    i: int
    at: int
    order_id: str
    type: str
    status: str
    account: str = ""
    symbol: str = ""
    side: str = ""
    client_order_id: str = ""
    order_type: str = ""
    time_in_force: str = ""
    quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    fee: Decimal | None = None
    venue: str = ""
    exec_id: str = ""
    liquidity: str = ""
    source: str = ""
    reason: str = ""
    found: str = ""
    limit: str = ""
    by: str = ""
    detail: str = ""


class ControlTableRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of `controls`."""

    n: int
    i: int
    at: int
    type: str
    who: str
    reason: str
    detail: str


class FactTableRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of `market_facts`: record `i` of the message (epoch, n) of a venue."""

    venue: str
    epoch: int
    n: int
    i: int
    at: int
    fact: str
    symbol: str
    first: int
    last: int
    detail: str


class QuoteTableRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of `quotes_1s`: the last quote of a second (nanoseconds UTC, of receipt). A row received later replaces an earlier one."""

    second: int
    venue: str
    symbol: str
    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal
    at: int
    received: int


_PLAIN: Final = frozenset(EventTableRow.__struct_fields__) - {"shard", "n", "i", "type", "detail"}


def order_event_rows(part: str, shard: int, n: int, events: Sequence[OrderEvent]) -> list[ArchiveRow]:
    """Return the rows of one commit of orders."""
    return [ArchiveRow(ORDER_EVENTS, part, 0, n, i, _event(shard, n, i, event)) for i, event in enumerate(events)]


def _event(shard: int, n: int, i: int, event: OrderEvent) -> EventTableRow:
    found = {name: value for name in event.__struct_fields__ if name in _PLAIN and (value := getattr(event, name)) is not None}
    return EventTableRow(shard=shard, n=n, i=i, type=type(event).__name__, detail=detail(event), **found)


def control_rows(part: str, n: int, events: Sequence[ControlEvent]) -> list[ArchiveRow]:
    """Return the rows of one commit of controls."""
    return [ArchiveRow(CONTROLS, part, 0, n, i, _control(n, i, event)) for i, event in enumerate(events)]


def _control(n: int, i: int, event: ControlEvent) -> ControlTableRow:
    return ControlTableRow(
        n=n, i=i, at=event.at, type=type(event).__name__, who=event.who, reason=event.reason, detail=_JSON.encode(event).decode()
    )


def fact_rows(part: str, epoch: int, n: int, facts: Sequence[Fact]) -> list[ArchiveRow]:
    """Return the rows of one message of facts."""
    return [ArchiveRow(MARKET_FACTS, part, epoch, n, i, _fact(epoch, n, i, fact)) for i, fact in enumerate(facts)]


def _fact(epoch: int, n: int, i: int, fact: Fact) -> FactTableRow:
    return FactTableRow(
        venue=fact.venue,
        epoch=epoch,
        n=n,
        i=i,
        at=fact.at,
        fact=str(fact.fact),
        symbol=fact.symbol,
        first=fact.from_,
        last=fact.to,
        detail=fact.detail,
    )


def quote_rows(part: str, epoch: int, n: int, quotes: Iterable[Quote]) -> list[ArchiveRow]:
    """Return the last quote of each second and symbol of one message. Other messages may have later ones of the same second."""
    last: dict[tuple[str, int], tuple[int, Quote]] = {}
    for i, quote in enumerate(quotes):
        last[quote.symbol, (quote.received or quote.at) // SECOND_NS] = i, quote
    return [ArchiveRow(QUOTES_1S, part, epoch, n, i, _quote(second, quote)) for (_, second), (i, quote) in last.items()]


def _quote(second: int, quote: Quote) -> QuoteTableRow:
    return QuoteTableRow(
        second=second * SECOND_NS,
        venue=quote.venue,
        symbol=quote.symbol,
        bid=quote.bid,
        bid_size=quote.bid_size,
        ask=quote.ask,
        ask_size=quote.ask_size,
        at=quote.at,
        received=quote.received or quote.at,
    )
