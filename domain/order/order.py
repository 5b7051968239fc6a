"""One order as its events made it. `evolve` changes it and never refuses."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import reduce
from typing import Any, Final

import msgspec

from domain.order import events as e
from domain.order import generations as g
from domain.order.auction import Auction
from domain.order.copier import copier
from domain.order.group import LIST_EVENTS, SOURCE, AnyListEvent, OrderGroup, group_after
from domain.order.lifecycle import CLOSED, State
from domain.order.parts import Asked as Asked
from domain.order.parts import Parked as Parked
from domain.order.parts import Replacing as Replacing
from domain.order.parts import Route as Route
from domain.order.parts import Trade as Trade
from domain.order.parts import changed, counted, parked
from domain.order.trail import Trail
from domain.values import ZERO, OrderType, Side, TimeInForce, average

UNKNOWN_TRADE: Final = "unknown_trade"
"""The reason of quarantine for a bust or correction whose trade has not arrived yet. It is pending with the order until then."""

PARKED_MAX: Final = 100

RISK_CONTROL: Final = "risk_control"
"""The `source` of a cancel caused by a kill switch or a block."""

REDUCE_ONLY: Final = "reduce_only"
"""The `reason` of a cancel by oms because the position that the order was to close is gone."""

TIMES_UP: Final = frozenset({"order_timeout", "expire_at", "session_end"})
"""The reasons for which oms itself cancels an order at its venue; the order then counts as expired."""


class Order(msgspec.Struct, kw_only=True, gc=False):
    """State of one order. Only its decider changes it; `seqs` and `commit` are bookkeeping of the host, not of the order.

    `refused`: rejected before it was ever queued, which is also the result of its submit. `source` and `reason` are what ended it and why;
    while a control (a kill switch, a block) or `reduce_only` cancels it, they name that. `reference` is the price at which risk counts it.
    `asked` holds its first terms, once they were replaced or its stop has trailed. `expiring`: its cancel was requested because its time
    was over. `cancel_wanted`: its cancel was requested and not refused. A doubt in between does not reset it.
    `auction`: see OrderSubmitted; `triggered` then says that it has come.
    `group_id` and `role`: its list, and what it does there. `group`: the state of that list, if this order is its lead. `exclusive` and
    `waits_for`: see OrderSubmitted and OrderTriggered.
    `trail`: of a trailing stop; `stop_price` is its present one, and `best` the best price that it has seen.
    `asked_notional`: the money that its first quantity was made from, if it was; `notional` is what it traded.
    `generation` is the number of the current terms; `generations` are all, once one was asked for: see generations.py.
    `closed_at`: the time of the event that brought it into the closed state that it is in; None while it is open.
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
    auction: Auction | None = None
    priority: int
    created_at: int
    updated_at: int
    post_only: bool = False
    reduce_only: bool = False
    group_id: str = ""
    role: str = ""
    exclusive: bool = False
    asked_notional: Decimal | None = None
    display_quantity: Decimal | None = None
    trail: Trail | None = None
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
    reference: Decimal | None = None
    replaces: int = 0
    replacing: Replacing | None = None
    asked: Asked | None = None
    expiring: bool = False
    cancel_wanted: bool = False
    triggered: bool = False
    parked: tuple[Parked, ...] = ()
    waits_for: tuple[str, ...] = ()
    group: OrderGroup | None = None
    closed_at: int | None = None
    generation: int = 0
    generations: g.Generations = ()
    best: Decimal | None = None
    extended_hours: bool = False
    seqs: tuple[int, ...] = ()
    commit: int = 0

    @property
    def closed(self) -> bool:
        return self.status in CLOSED

    @property
    def waits_for_auction(self) -> bool:
        """Whether the opening or closing that the order is for has not come."""
        return self.auction is not None and not self.triggered

    @property
    def leads(self) -> bool:
        """Whether the order keeps the state of a list."""
        return self.group is not None

    @property
    def leaves_quantity(self) -> Decimal:
        return ZERO if self.closed else max(self.quantity - self.cum_quantity, ZERO)

    @property
    def average_price(self) -> Decimal | None:
        return average(self.notional, self.cum_quantity) if self.cum_quantity else None

    @property
    def live_routes(self) -> tuple[Route, ...]:
        return tuple(r for r in self.routes if r.live)

    @property
    def next_replace_id(self) -> str:
        """The id of the next replace; it follows from the current terms."""
        return self._replace_id(self.replaces + 1)

    def _replace_id(self, number: int) -> str:
        return f"{self.order_id}-r{number}"

    def generation_of(self, replace_id: str) -> int | None:
        """Return the number of the generation that a replace asked for; None if it made none, or if the venue changed the order unasked."""
        return next((each.number for each in self.generations if self._replace_id(each.number) == replace_id), None)

    def terms_of(self, number: int) -> g.Generation | None:
        """Return a generation: the current one as it is now, an older one as it ended. None if the order has had no such generation."""
        known = g.found(self.generations, number)
        if number != self.generation:
            return known
        at, name = (known.at, known.client_order_id) if known else (self.created_at, self.client_order_id)
        numbers, traded = (self.quantity, self.price, self.stop_price), (self.cum_quantity, self.notional)
        return g.Generation(number, at, *numbers, name, None, False, *traded, self.trail, self.best)

    def standing_of(self, number: int) -> g.Standing | None:
        """Return what became of a generation; None if the order has had no such generation."""
        return g.standing(self.generations, number, self.generation, closed=self.closed)

    def elsewhere(self, route_id: str) -> Decimal:
        """Return what the order traded on all other routes, and what these may still trade."""
        own = sum((r.cum_quantity for r in self.routes if r.route_id == route_id), ZERO)
        return self.cum_quantity - own + sum((r.leaves_quantity for r in self.routes if r.route_id != route_id), ZERO)

    def trade(self, venue: str, exec_id: str) -> Trade | None:
        return next((t for t in self.trades if t.exec_id == exec_id and t.venue == venue), None)


created: Final[Callable[[e.OrderSubmitted], Order]] = copier(
    Order,
    (name for name in Order.__struct_fields__ if name in e.OrderSubmitted.__struct_fields__ and name != "notional"),
    "event",
    asked_notional="event.notional",
    created_at="event.at",
    updated_at="event.at",
    version="1",
)
"""Creates the order from its first event."""


def evolve(order: Order | None, event: e.OrderEvent) -> Order:
    """Return the order after the event. Changes `order` in place; the first event creates it."""
    if type(event) is e.OrderSubmitted:
        return created(event)
    assert order is not None, f"{type(event).__name__} before OrderSubmitted for {event.order_id}"
    if order.status is not event.status:
        order.status = event.status
        order.closed_at = event.at if event.status in CLOSED else None
    order.version += 1
    order.updated_at = event.at
    if (change := _CHANGES.get(type(event))) is not None:
        change(event, order)
    return order


def evolved(events: Iterable[e.OrderEvent]) -> Order | None:
    """Build an order from all its events."""
    return reduce(evolve, events, None)


def _checked(event: e.OrderRiskChecked, order: Order) -> None:
    order.reference = order.price if event.reference is None else event.reference


def _queued(event: e.OrderQueued, order: Order) -> None:
    if event.route_id is not None:
        _change_route(order, event.route_id, ended=True)


def _triggered(event: e.OrderTriggered, order: Order) -> None:
    order.triggered = True
    order.waits_for = event.waits_for
    if event.stop_price is not None:
        _trailed(event, order)
        order.price = event.limit_price


def _trailed(event: e.StopTrailed | e.OrderTriggered, order: Order) -> None:
    """Move a trailing stop. The first terms are kept for the comparison with a repeated submit."""
    if order.asked is None:
        order.asked = _numbers(order)
    order.stop_price, order.best = event.stop_price, event.best


def _numbers(order: Order) -> Asked:
    return Asked(order.quantity, order.price, order.stop_price, order.trail)


def _released(event: e.OrderReleased, order: Order) -> None:
    order.waits_for = ()
    order.triggered = order.triggered or order.auction is not None


def _of_list(event: AnyListEvent, order: Order) -> None:
    order.group = group_after(order.group, event)


def _routed(event: e.OrderRouted, order: Order) -> None:
    order.routes += tuple(Route(leg.route_id, leg.venue, leg.quantity) for leg in event.legs)


def _acknowledged(event: e.RouteAcknowledged, order: Order) -> None:
    _change_route(order, event.route_id, venue_order_id=event.venue_order_id)


def _route_closed(event: e.RouteClosed, order: Order) -> None:
    _change_route(order, event.route_id, ended=True)


def _filled(event: e.OrderFilled, order: Order) -> None:
    order.trades += (Trade(event.venue, event.exec_id, event.route_id, event.quantity, event.price, event.fee),)
    order.overfill = order.overfill or event.overfill
    if order.status is State.FILLED:
        order.source = order.reason = None
    _recount(order)


def _busted(event: e.TradeBusted, order: Order) -> None:
    order.trades = tuple(
        msgspec.structs.replace(t, busted=True) if (t.venue, t.exec_id) == (event.venue, event.exec_id) else t for t in order.trades
    )
    order.parked = tuple(p for p in order.parked if (p.venue, p.exec_id) != (event.venue, event.exec_id))
    _recount(order)


def _quarantined(event: e.ReportQuarantined, order: Order) -> None:
    if event.reason == UNKNOWN_TRADE and len(order.parked) < PARKED_MAX:
        order.parked += (parked(event.venue, event.report),)


def _cancel_requested(event: e.CancelRequested, order: Order) -> None:
    order.cancel_wanted = True
    order.expiring = event.source == "oms" and event.reason in TIMES_UP
    order.source, order.reason = (event.source, event.reason) if _names_its_cause(event) else (None, None)


def _names_its_cause(event: e.CancelRequested) -> bool:
    """Return whether the event names the cause of the cancel, whatever reason the venue reports."""
    return event.source in (RISK_CONTROL, SOURCE) or (event.source == "oms" and event.reason == REDUCE_ONLY)


def _cancel_rejected(event: e.CancelRejected, order: Order) -> None:
    order.expiring = order.cancel_wanted = False
    order.source = order.reason = None


def _replace_requested(event: e.ReplaceRequested, order: Order) -> None:
    order.replaces += 1
    order.replacing = Replacing(event.replace_id, event.quantity, event.price, event.stop_price, event.reference)
    _generation_asked(event, order)


def _generation_asked(event: e.ReplaceRequested | e.OrderReplaced, order: Order) -> None:
    current = order.terms_of(order.generation)
    assert current is not None, "an order has current terms"
    trail = (event.trail if isinstance(event, e.OrderReplaced) else None) or order.trail
    wanted = g.Generation(order.replaces, event.at, event.quantity, event.price, event.stop_price, event.client_order_id, trail=trail)
    order.generations = g.asked(order.generations, current, wanted)


def _replace_rejected(event: e.ReplaceRejected, order: Order) -> None:
    order.replacing = None
    if (number := order.generation_of(event.replace_id)) is not None:
        order.generations = g.refused(order.generations, number, event.at)


def _replaced(event: e.OrderReplaced, order: Order) -> None:
    """Apply the new terms. The route gets the order's quantity less what was traded elsewhere."""
    if order.asked is None:
        order.asked = _numbers(order)
    if event.route_id is None:
        asked = order.replacing
        if asked is None or asked.replace_id != event.replace_id:  # a replace that a venue was asked for is counted already
            order.replaces += 1
            _generation_asked(event, order)
    else:
        _change_route(order, event.route_id, quantity=event.quantity - order.elsewhere(event.route_id))
    _generation_accepted(event, order)
    order.quantity, order.price, order.stop_price = event.quantity, event.price, event.stop_price
    order.trail = event.trail or order.trail
    order.reference, order.replacing = event.reference, None


def _generation_accepted(event: e.OrderReplaced, order: Order) -> None:
    """End the current generation. One that is pending and not meant is refused: the venue reported other terms."""
    pending, number = order.replacing, order.generation_of(event.replace_id)
    if pending is not None and pending.replace_id != event.replace_id and (passed := order.generation_of(pending.replace_id)) is not None:
        order.generations = g.refused(order.generations, passed, event.at)
    wanted, current = g.found(order.generations, -1 if number is None else number), order.terms_of(order.generation)
    if number is None or number == order.generation or wanted is None or current is None:
        return
    ended = msgspec.structs.replace(current, ended_at=event.at)
    begun = g.Generation(number, wanted.at, event.quantity, event.price, event.stop_price, wanted.client_order_id, trail=wanted.trail)
    order.generations, order.generation = g.accepted(order.generations, ended, begun), number


def _rejected(event: e.OrderRejected, order: Order) -> None:
    order.source, order.reason = event.source, event.reason
    order.found, order.limit, order.unit = event.found, event.limit, event.unit
    order.refused = order.version == 2  # the event right after OrderSubmitted
    _close_routes(order)


def _ended(event: e.OrderCancelled | e.OrderExpired, order: Order) -> None:
    order.source, order.reason = event.source, event.reason
    _close_routes(order)


def _recount(order: Order) -> None:
    """Recompute cum, notional and fees as sums over the live trades; they are never kept separately."""
    live = [t for t in order.trades if not t.busted]
    cum = notional = fees = ZERO
    for trade in live:
        cum += trade.quantity
        notional += trade.quantity * trade.price
        fees += trade.fee
    order.cum_quantity, order.notional, order.fees = cum, notional, fees
    order.routes = counted(order.routes, live)


def _change_route(order: Order, route_id: str, **changes: object) -> None:
    order.routes = changed(order.routes, route_id, changes)


def _close_routes(order: Order) -> None:
    order.routes = tuple(msgspec.structs.replace(r, ended=True) for r in order.routes)


_CHANGES: Final[dict[type[e.Event], Callable[[Any, Order], None]]] = {
    e.OrderRiskChecked: _checked,
    e.OrderQueued: _queued,
    e.OrderTriggered: _triggered,
    e.StopTrailed: _trailed,
    e.OrderReleased: _released,
    e.OrderRouted: _routed,
    e.RouteAcknowledged: _acknowledged,
    e.RouteClosed: _route_closed,
    e.OrderFilled: _filled,
    e.TradeBusted: _busted,
    e.ReportQuarantined: _quarantined,
    e.CancelRequested: _cancel_requested,
    e.CancelRejected: _cancel_rejected,
    e.ReplaceRequested: _replace_requested,
    e.ReplaceRejected: _replace_rejected,
    e.OrderReplaced: _replaced,
    e.OrderRejected: _rejected,
    e.OrderCancelled: _ended,
    e.OrderExpired: _ended,
    **dict.fromkeys(LIST_EVENTS, _of_list),
}
"""What an event changes besides status, version and time; most change nothing else."""
