"""Documents for search: one an order with its timeline inside; one each for notices, controls and facts. Pure folds of messages."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from domain.archive.ports import ArchiveRow
from domain.market.records import Fact
from domain.narrative import told
from domain.order import events as e
from domain.order.events import OrderEvent
from domain.order.order import Order, evolve
from domain.position.rows import detail
from domain.risk.controls import ControlEvent
from domain.values import rfc3339

ORDERS: Final = "orders"
NOTICES: Final = "notices"
CONTROLS: Final = "controls"
MARKET_FACTS: Final = "market-facts"

TIMELINE_MAX: Final = 500
"""The newest lines of an order's timeline that its document keeps; the journal has all."""
NOTICED: Final = (e.TransitionRefused, e.ReportQuarantined, e.JournalAccepted, e.ShardTaken, e.ShardReleased)
"""Events that are documents of their own: they may belong to no order that is known."""

_JSON: Final = msgspec.json.Encoder(decimal_format="string")
_STATE: Final = msgspec.json.Encoder(decimal_format="number")
_ORDER: Final = msgspec.json.Decoder(Order)


class OrderChange(msgspec.Struct, frozen=True, gc=False):
    """The events of one order in one commit, with their places in it."""

    order_id: str
    n: int
    events: tuple[tuple[int, OrderEvent], ...]


class TimelineLine(msgspec.Struct, frozen=True, gc=False):
    """One event of a timeline: its place in the journal, its sentence, and its own fields as JSON."""

    n: int
    i: int
    at: str
    type: str
    status: str
    told: str
    detail: str


class OrderRecord(msgspec.Struct, frozen=True, gc=False):
    """An order after the commit `n`, with the newest lines of its timeline. `events` counts all of them."""

    order: Order
    n: int
    events: int
    timeline: tuple[TimelineLine, ...]


def change_rows(part: str, shard: int, n: int, events: Sequence[OrderEvent]) -> list[ArchiveRow]:
    """Return one row for each order that a commit changes, and one for each event of NOTICED."""
    by_order: dict[str, list[tuple[int, OrderEvent]]] = {}
    rows = []
    for i, event in enumerate(events):
        if event.order_id:
            by_order.setdefault(event.order_id, []).append((i, event))
        if isinstance(event, NOTICED):
            rows.append(ArchiveRow(NOTICES, part, 0, n, i, _notice(shard, n, i, event)))
    for order_id, some in by_order.items():
        rows.append(ArchiveRow(ORDERS, part, 0, n, some[0][0], OrderChange(order_id, n, tuple(some))))
    return rows


def changed(record: OrderRecord | None, change: OrderChange) -> OrderRecord | None:
    """Return the record after a change; the same one if it has the change already. None: its first event is missing."""
    if record is not None and record.n >= change.n:
        return record
    order = msgspec.structs.replace(record.order) if record else None
    lines = []
    for i, event in change.events:
        if order is None and not isinstance(event, e.OrderSubmitted):
            return None
        order = evolve(order, event)
        lines.append(_line(change.n, i, event))
    assert order is not None
    before = record or OrderRecord(order, 0, 0, ())
    return OrderRecord(order, change.n, before.events + len(lines), (*before.timeline, *lines)[-TIMELINE_MAX:])


def document(record: OrderRecord) -> dict[str, Any]:
    """Return the document of an order. Its numbers are for comparisons; exact ones are in `state`, which is not indexed."""
    order = record.order
    named = {
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "account": order.account,
        "symbol": order.symbol,
        "side": str(order.side),
        "type": str(order.order_type),
        "time_in_force": str(order.time_in_force),
        "status": str(order.status),
        "reason": order.reason,
        "source": order.source,
    }
    lists = {
        "venues": sorted({route.venue for route in order.routes}),
        "venue_order_ids": [route.venue_order_id for route in order.routes if route.venue_order_id],
        "exec_ids": [trade.exec_id for trade in order.trades],
    }
    numbers = {name: getattr(order, name) for name in ("quantity", "price", "stop_price", "cum_quantity", "average_price", "fees")}
    names = [each.client_order_id for each in order.generations if each.number and each.client_order_id]
    words = [
        *filter(None, named.values()),
        *names,
        *(word for words in lists.values() for word in words),
        *(line.told for line in record.timeline),
    ]
    return {
        **named,
        **lists,
        **numbers,
        "created_at": rfc3339(order.created_at),
        "updated_at": rfc3339(order.updated_at),
        "n": record.n,
        "events": record.events,
        "words": words,
        "timeline": [msgspec.structs.asdict(line) for line in record.timeline],
        "state": _STATE.encode(order).decode(),
    }


def record_of(source: dict[str, Any]) -> OrderRecord:
    """Return the record that a document was made from."""
    lines = tuple(TimelineLine(**line) for line in source["timeline"])
    return OrderRecord(order_of(source), source["n"], source["events"], lines)


def order_of(source: dict[str, Any]) -> Order:
    """Return the exact order of a document."""
    return _ORDER.decode(source["state"])


def control_documents(part: str, n: int, events: Sequence[ControlEvent]) -> list[ArchiveRow]:
    """Return one row for each control."""
    return [ArchiveRow(CONTROLS, part, 0, n, i, _control(n, i, event)) for i, event in enumerate(events)]


def fact_documents(part: str, epoch: int, n: int, facts: Sequence[Fact]) -> list[ArchiveRow]:
    """Return one row for each fact of a market."""
    return [ArchiveRow(MARKET_FACTS, part, epoch, n, i, _fact(epoch, n, i, fact)) for i, fact in enumerate(facts)]


def _line(n: int, i: int, event: OrderEvent) -> TimelineLine:
    return TimelineLine(n, i, rfc3339(event.at), type(event).__name__, str(event.status), told(event), detail(event))


def _notice(shard: int, n: int, i: int, event: OrderEvent) -> dict[str, Any]:
    return {
        "id": f"{shard}-{n}-{i}",
        "at": rfc3339(event.at),
        "type": type(event).__name__,
        "order_id": event.order_id,
        "text": told(event),
        "detail": detail(event),
    }


def _control(n: int, i: int, event: ControlEvent) -> dict[str, Any]:
    text = f"{type(event).__name__} by {event.who}: {event.reason}"
    detail_of = _JSON.encode(event).decode()
    return {
        "id": f"controls-{n}-{i}",
        "at": rfc3339(event.at),
        "type": type(event).__name__,
        "who": event.who,
        "text": text,
        "detail": detail_of,
    }


def _fact(epoch: int, n: int, i: int, fact: Fact) -> dict[str, Any]:
    # facts of no frame all have the n 0: what tells them apart is what they say
    of_frame = str(n) if n else f"{fact.at}-{fact.symbol}-{fact.fact}"
    return {
        "id": f"{fact.venue}-{epoch}-{of_frame}-{i}",
        "at": rfc3339(fact.at),
        "type": str(fact.fact),
        "venue": fact.venue,
        "symbol": fact.symbol,
        "text": f"{fact.venue} {fact.symbol} {fact.fact} {fact.detail}".strip(),
        "detail": _JSON.encode(fact).decode(),
    }
