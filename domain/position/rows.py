"""The rows of events in the tables that other programs read: `fills` and `order_events`."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache
from typing import Final

import msgspec

from domain.order import events as e
from domain.order.events import OrderEvent
from domain.order.lifecycle import CLOSED
from domain.values import plain

Owner = tuple[str, str]
"""The account and the symbol of an order."""

COMMON: Final = frozenset({"order_id", "at", "status", "account", "symbol"})
"""Fields that are columns of `order_events`; the others go into its `detail`."""
BUST_SUFFIX: Final = ":bust"
OPEN_ORDERS_MAX: Final = 1_000_000

_JSON: Final = msgspec.json.Encoder(decimal_format="number")


class EventRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event with its place in the journal, to be written into the tables."""

    event: OrderEvent
    seq: int
    index: int


class FillRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of `fills`; its fields are the columns in order. `timestamp` is the event's time, nanoseconds UTC.

    A bust is a row of its own: the trade's id with BUST_SUFFIX, quantity and fee negated, so that sums over the table are correct.
    """

    timestamp: int
    exec_id: str
    order_id: str
    client_order_id: str | None
    account: str
    symbol: str
    side: str
    venue: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    liquidity: str | None
    seq: int


class OrderEventRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of `order_events`. `index` distinguishes the events of one commit; `detail` is JSON of all fields without a column."""

    timestamp: int
    order_id: str
    account: str | None
    symbol: str | None
    type: str
    status: str
    seq: int
    index: int
    detail: str


def fill_row(row: EventRow) -> FillRow | None:
    """Return the row of a trade or of its bust; None for every other event."""
    event = row.event
    if not isinstance(event, (e.OrderFilled, e.TradeBusted)):
        return None
    filled = type(event) is e.OrderFilled
    return FillRow(
        timestamp=event.at,
        exec_id=event.exec_id if filled else event.exec_id + BUST_SUFFIX,
        order_id=event.order_id,
        client_order_id=event.client_order_id if isinstance(event, e.OrderFilled) else None,
        account=event.account,
        symbol=event.symbol,
        side=str(event.side),
        venue=event.venue,
        quantity=event.quantity if filled else -event.quantity,
        price=event.price,
        fee=event.fee if filled else -event.fee,
        liquidity=str(event.liquidity) if isinstance(event, e.OrderFilled) else None,
        seq=row.seq,
    )


def order_event_row(row: EventRow, owner: Owner | None) -> OrderEventRow:
    """Return the row of an event. `owner` is the order's account and symbol, which most events do not carry."""
    event = row.event
    account, symbol = owner or (None, None)
    return OrderEventRow(
        timestamp=event.at,
        order_id=event.order_id,
        account=account,
        symbol=symbol,
        type=type(event).__name__,
        status=str(event.status),
        seq=row.seq,
        index=row.index,
        detail=detail(event),
    )


def detail(event: e.OrderEvent) -> str:
    """Return the event's own fields as JSON, absent ones left out, numbers exact and without exponents."""
    own = {name: value for name in _own_fields(type(event)) if (value := getattr(event, name)) is not None}
    if own.get("by") == "":
        del own["by"]  # rows of older journals stay as they were
    text = _JSON.encode(own)
    if b"E-" in text or b"E+" in text:  # an exponent, or by chance a part of a text
        text = _JSON.encode(_plainly(msgspec.to_builtins(own, builtin_types=(Decimal,))))
    return text.decode()


@cache
def _own_fields(kind: type[e.Event]) -> tuple[str, ...]:
    return tuple(name for name in kind.__struct_fields__ if name not in COMMON)


class Owners:
    """The account and symbol of each open order, learnt from the events that carry them, dropped once the order is closed and stored."""

    def __init__(self, orders_max: int = OPEN_ORDERS_MAX) -> None:
        self._orders_max = orders_max
        self._by_order: dict[str, Owner] = {}
        self._same: dict[Owner, Owner] = {}

    def learn(self, order_id: str, owner: Owner) -> None:
        self._by_order[order_id] = self._same.setdefault(owner, owner)

    def missing(self, rows: Iterable[EventRow]) -> list[str]:
        """Learn from the rows, and return the orders that are still unknown, to be queried from the table."""
        unknown: dict[str, None] = {}
        for row in rows:
            event = row.event
            if isinstance(event, (e.OrderSubmitted, e.OrderFilled, e.TradeBusted)):
                self.learn(event.order_id, (event.account, event.symbol))
            elif event.order_id not in self._by_order:
                unknown[event.order_id] = None
        return [order_id for order_id in unknown if order_id not in self._by_order]

    def of(self, order_id: str) -> Owner | None:
        return self._by_order.get(order_id)

    def stored(self, rows: Iterable[EventRow]) -> None:
        """Keep only open orders. Beyond the bound the oldest are dropped, and queried again with their next event."""
        for row in rows:
            if row.event.status in CLOSED:
                self._by_order.pop(row.event.order_id, None)
        while len(self._by_order) > self._orders_max:
            del self._by_order[next(iter(self._by_order))]


def table_rows(rows: Sequence[EventRow], owners: Owners) -> tuple[list[FillRow], list[OrderEventRow]]:
    """Return the rows of both tables; `owners` must know every order."""
    fills = [fill for row in rows if (fill := fill_row(row)) is not None]
    return fills, [order_event_row(row, owners.of(row.event.order_id)) for row in rows]


def _plainly(value: object) -> object:
    if isinstance(value, Decimal):
        return msgspec.Raw(plain(value).encode())
    if isinstance(value, dict):
        return {key: _plainly(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plainly(item) for item in value]
    return value
