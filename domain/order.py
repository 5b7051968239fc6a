"""One order as its events made it. `evolve` changes it and never refuses."""

from collections.abc import Iterable
from decimal import Decimal
from functools import reduce, singledispatch

import msgspec

from domain import events as e
from domain.lifecycle import CLOSED, State
from domain.values import ZERO, OrderType, Side, TimeInForce, divide


class Route(msgspec.Struct, frozen=True, gc=False):
    """A leg at a venue. `live` while the venue may still trade it; `ended` when the venue said that it will not."""

    route_id: str
    venue: str
    quantity: Decimal
    cum_quantity: Decimal = ZERO
    venue_order_id: str = ""
    ended: bool = False

    @property
    def live(self) -> bool:
        return not self.ended and self.cum_quantity < self.quantity

    @property
    def leaves_quantity(self) -> Decimal:
        return self.quantity - self.cum_quantity if self.live else ZERO


class Trade(msgspec.Struct, frozen=True, gc=False):
    venue: str
    exec_id: str
    route_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    busted: bool = False


class Order(msgspec.Struct, kw_only=True, gc=False):
    """State of one order. Only its actor changes it; `seqs` and `commit` are the host's book-keeping, not the order's.

    `refused`: rejected before it was ever queued, which is what its submit was answered. `source` says who ended it.
    """

    order_id: str
    account: str
    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    time_in_force: TimeInForce
    expire_at: int | None
    priority: int
    created_at: int
    updated_at: int
    status: State = State.NEW
    version: int = 0
    cum_quantity: Decimal = ZERO
    notional: Decimal = ZERO
    fees: Decimal = ZERO
    source: str | None = None
    reason: str | None = None
    found: str | None = None
    limit: str | None = None
    unit: str | None = None
    refused: bool = False
    overfill: bool = False
    routes: tuple[Route, ...] = ()
    trades: tuple[Trade, ...] = ()
    seqs: tuple[int, ...] = ()
    commit: int = 0

    @property
    def closed(self) -> bool:
        return self.status in CLOSED

    @property
    def leaves_quantity(self) -> Decimal:
        return ZERO if self.closed else max(self.quantity - self.cum_quantity, ZERO)

    @property
    def average_price(self) -> Decimal | None:
        return divide(self.notional, self.cum_quantity) if self.cum_quantity else None

    @property
    def live_routes(self) -> tuple[Route, ...]:
        return tuple(r for r in self.routes if r.live)

    def trade(self, venue: str, exec_id: str) -> Trade | None:
        return next((t for t in self.trades if t.exec_id == exec_id and t.venue == venue), None)


def born(event: e.OrderSubmitted) -> Order:
    return Order(
        order_id=event.order_id,
        account=event.account,
        client_order_id=event.client_order_id,
        symbol=event.symbol,
        side=event.side,
        order_type=event.order_type,
        quantity=event.quantity,
        price=event.price,
        stop_price=event.stop_price,
        time_in_force=event.time_in_force,
        expire_at=event.expire_at,
        priority=event.priority,
        created_at=event.at,
        updated_at=event.at,
        status=event.status,
        version=1,
    )


def evolve(order: Order | None, event: e.OrderEvent) -> Order:
    """The order after the event. Changes `order` in place and returns it; the first event makes it."""
    if type(event) is e.OrderSubmitted:
        return born(event)
    assert order is not None, f"{type(event).__name__} before OrderSubmitted for {event.order_id}"
    order.status = event.status
    order.version += 1
    order.updated_at = event.at
    _apply(event, order)
    return order


def evolved(events: Iterable[e.OrderEvent]) -> Order | None:
    """An order from all its events."""
    return reduce(evolve, events, None)


@singledispatch
def _apply(event: e.Fact, order: Order) -> None:
    """Most events change nothing but status, version and time."""


@_apply.register
def _(event: e.OrderRouted, order: Order) -> None:
    order.routes += tuple(Route(leg.route_id, leg.venue, leg.quantity) for leg in event.legs)


@_apply.register
def _(event: e.RouteAcknowledged, order: Order) -> None:
    _change_route(order, event.route_id, venue_order_id=event.venue_order_id)


@_apply.register
def _(event: e.RouteClosed, order: Order) -> None:
    _change_route(order, event.route_id, ended=True)


@_apply.register
def _(event: e.OrderFilled, order: Order) -> None:
    order.trades += (Trade(event.venue, event.exec_id, event.route_id, event.quantity, event.price, event.fee),)
    order.overfill = order.overfill or event.overfill
    _recount(order)


@_apply.register
def _(event: e.TradeBusted, order: Order) -> None:
    order.trades = tuple(
        msgspec.structs.replace(t, busted=True) if (t.venue, t.exec_id) == (event.venue, event.exec_id) else t for t in order.trades
    )
    _recount(order)


@_apply.register
def _(event: e.OrderRejected, order: Order) -> None:
    order.source, order.reason = event.source, event.reason
    order.found, order.limit, order.unit = event.found, event.limit, event.unit
    order.refused = order.version == 2  # the fact right behind OrderSubmitted
    _close_routes(order)


@_apply.register(e.OrderCancelled)
@_apply.register(e.OrderExpired)
def _(event: e.OrderCancelled | e.OrderExpired, order: Order) -> None:
    order.source, order.reason = event.source, event.reason
    _close_routes(order)


def _recount(order: Order) -> None:
    """cum, notional and fees are sums over the live trades, never kept apart from them."""
    live = [t for t in order.trades if not t.busted]
    order.cum_quantity = sum((t.quantity for t in live), ZERO)
    order.notional = sum((t.quantity * t.price for t in live), ZERO)
    order.fees = sum((t.fee for t in live), ZERO)
    order.routes = tuple(_recounted(r, live) for r in order.routes)


def _recounted(route: Route, live: list[Trade]) -> Route:
    cum = sum((t.quantity for t in live if t.route_id == route.route_id), ZERO)
    return route if cum == route.cum_quantity else msgspec.structs.replace(route, cum_quantity=cum)


def _change_route(order: Order, route_id: str, **changes: object) -> None:
    order.routes = tuple(msgspec.structs.replace(r, **changes) if r.route_id == route_id else r for r in order.routes)


def _close_routes(order: Order) -> None:
    order.routes = tuple(msgspec.structs.replace(r, ended=True) for r in order.routes)
