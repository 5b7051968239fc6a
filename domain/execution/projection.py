"""The state of every open order in exeq: a fold of the journal that determines what to route, what to send and what to cancel."""

from collections import OrderedDict
from collections.abc import Container, Iterator
from decimal import Decimal
from typing import Final

import msgspec

from domain.execution.held_orders import HeldOrders
from domain.execution.queue import PriorityQueue
from domain.execution.venue_health import VenueHealth
from domain.order import events as e
from domain.order.algo import Parent
from domain.order.commands import VenueRequest
from domain.order.lifecycle import CLOSED, State
from domain.order.parent_fold import Parents
from domain.values import OrderType, TimeInForce

ROUTED_KEPT_MAX: Final = 10_000
"""Route records kept for `/routes`; older ones are in the order's timeline."""

STATE_VERSION: Final = 2
"""To be raised when the fields of `ExecutionsState` stay and their meaning changes."""
OLDER_SHAPES: Final = (
    "2-ce7639106e9c099c7764984c40b17e50",
    "2-b6e40e7fd9621657b28897953973b22d",
    "2-c6a424703ad3255f42015a1a5fb75660",
    "2-f57ab318a5a586dbecce87cb6d336c1a",
)
"""Before parents; before auctions and trails; before replaces had names and orders had lists; and 0.1.0: an OrderRouted had no unit or
epoch. Defaults stand for them.
"""


class Waiting(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An order without a route, when the journal queued it (None before that), and the venues of its earlier routes."""

    terms: e.OrderSubmitted
    queued_at: int | None = None
    tried: tuple[str, ...] = ()


class Working(msgspec.Struct, array_like=True, gc=False):
    """An open order at a venue: its terms, its routes, which of them the venue has answered, and the requests that wait for an answer."""

    terms: e.OrderSubmitted
    legs: tuple[e.Leg, ...]
    routed_at: int
    answered: tuple[str, ...] = ()
    cancelling: bool = False
    tried: tuple[str, ...] = ()
    replacing: e.ReplaceRequested | None = None
    in_doubt: bool = False


class ExecutionsState(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The folded state; each tuple is in journal order. `aside`: triggered stops that wait for the other exit of their list.

    `best`: the best prices that the journal has of trailing stops, by order. `parents`: those that have not ended, with their `children`.
    """

    waiting: tuple[Waiting, ...]
    working: tuple[Working, ...]
    routed: tuple[e.OrderRouted, ...]
    aside: tuple[str, ...] = ()
    best: tuple[tuple[str, Decimal], ...] = ()
    parents: tuple[Parent, ...] = ()
    children: tuple[tuple[str, str], ...] = ()


class Executions:
    """The fold of execution.

    `to_send`: routes just journaled, with the unit and epoch they name. `to_cancel`, `to_replace`: requests for them.
    The sender empties these lists; the router empties `queue`.
    """

    def __init__(self, shard: int = 0, *, holds_stops: bool = False, health: dict[str, VenueHealth] | None = None) -> None:
        """`health`: of the venues, if the folds of several shards share it."""
        self._shard = shard
        self.held = HeldOrders(holds_stops=holds_stops)
        self._aside: dict[str, None] = {}
        """Triggered stops that are not routed before OrderReleased."""
        self._waiting: dict[str, Waiting] = {}
        self.queue = PriorityQueue()
        self.working: dict[str, Working] = {}
        self.routed: OrderedDict[str, e.OrderRouted] = OrderedDict()
        self.to_send: list[VenueRequest] = []
        self.to_cancel: list[VenueRequest] = []
        self.health: dict[str, VenueHealth] = {} if health is None else health
        self.refusing: set[str] = set()
        """Venues that rejected too many orders in a row, by the latest events. The router empties it."""
        self.to_replace: list[VenueRequest] = []
        self.parents = Parents()
        """The parents that have not ended."""

    def state(self) -> ExecutionsState:
        """Return the state to be encoded before the next event. An order taken from the queue is still waiting for its route."""
        waiting, working, routed = tuple(self._waiting.values()), tuple(self.working.values()), tuple(self.routed.values())
        return ExecutionsState(waiting, working, routed, tuple(self._aside), tuple(self.held.best.items()), *self.parents.state())

    def restore(self, state: ExecutionsState) -> None:
        """Continue from a state, in an empty fold. Nothing of it is sent: it may have been sent before."""
        assert not self._waiting, "a state is restored into empty executions"
        assert not self.working, "a state is restored into empty executions"
        self._waiting = {waiting.terms.order_id: waiting for waiting in state.waiting}
        self.working = {working.terms.order_id: working for working in state.working}
        self.routed = OrderedDict((routed.order_id, routed) for routed in state.routed)
        self._aside = dict.fromkeys(state.aside)
        self.held.best = dict(state.best)
        self.parents.restore(state.parents, state.children)
        for waiting in state.waiting:
            self.queue_again(waiting.terms.order_id)

    def apply(self, event: e.OrderEvent) -> None:
        if self.parents.concerns(event):
            self.parents.follow(event)
        if event.status in CLOSED:
            self._close(event)
            return
        match event:
            case e.OrderSubmitted():
                self._waiting[event.order_id] = Waiting(event)
            case e.OrderQueued():
                self._queue(event)
            case e.OrderTriggered():
                self._trigger(event)
            case e.StopTrailed():
                self._trail(event)
            case e.OrderReleased():
                self._release(event.order_id)
            case e.OrderRouted():
                self._route(event)
            case e.RouteAcknowledged() | e.OrderFilled() | e.RouteClosed():
                if working := self.working.get(event.order_id):
                    working.in_doubt = event.status is State.IN_DOUBT
                    if self._answer(working, event) and not isinstance(event, e.RouteClosed):
                        self._ask_at_last(working, event.route_id)
            case e.CancelRequested():
                self._cancel(event.order_id)
            case e.CancelRejected():
                self._keep(event.order_id)
            case e.OrderInDoubt() if working := self.working.get(event.order_id):
                working.in_doubt = True
            case e.ReplaceRequested():
                self._replace(event)
            case e.OrderReplaced():
                self._replaced(event)
            case e.ReplaceRejected() if working := self.working.get(event.order_id):
                working.replacing = None

    def tried(self, order_id: str) -> tuple[str, ...]:
        """Return the venues of the order's earlier routes, one for each route."""
        waiting = self._waiting.get(order_id)
        return waiting.tried if waiting else ()

    def _queue(self, event: e.OrderQueued) -> None:
        """Queue the order for the first time, or again after a venue refused it and others are left."""
        if working := self.working.pop(event.order_id, None):
            waiting = Waiting(working.terms, event.at, working.tried + tuple(leg.venue for leg in working.legs))
        else:
            waiting = Waiting(self._waiting.pop(event.order_id).terms, event.at)
        self._waiting[event.order_id] = waiting  # behind those that were queued before it
        self._put(waiting.terms, event.at)

    def _put(self, terms: e.OrderSubmitted, queued_at: int) -> None:
        if terms.order_id in self._aside:
            return
        if not self.held.put(terms):
            self.queue.put(terms, queued_at)

    def _trail(self, event: e.StopTrailed) -> None:
        if waiting := self._waiting.get(event.order_id):
            terms = msgspec.structs.replace(waiting.terms, stop_price=event.stop_price)
            self._waiting[event.order_id] = msgspec.structs.replace(waiting, terms=terms)
            self.held.best[event.order_id] = event.best
            self.queue_again(event.order_id)

    def _trigger(self, event: e.OrderTriggered) -> None:
        """Turn the stop into a market or limit order; it keeps its place in the queue."""
        if waiting := self._waiting.get(event.order_id):
            self.held.wake(waiting.terms)
            price = waiting.terms.price if event.limit_price is None else event.limit_price
            kind = OrderType.MARKET if price is None else OrderType.LIMIT
            terms = msgspec.structs.replace(waiting.terms, order_type=kind, price=price, stop_price=None)
            self._waiting[event.order_id] = Waiting(terms, waiting.queued_at, waiting.tried)
            if event.waits_for:
                self._aside[event.order_id] = None
            self.queue_again(event.order_id)

    def _release(self, order_id: str) -> None:
        """Queue an order whose wait is over. One for an opening or closing is a day order from now on: no venue has auctions."""
        self._aside.pop(order_id, None)
        waiting = self._waiting.get(order_id)
        if waiting and waiting.terms.auction is not None:
            self.held.wake(waiting.terms)
            terms = msgspec.structs.replace(waiting.terms, auction=None, time_in_force=TimeInForce.DAY)
            self._waiting[order_id] = Waiting(terms, waiting.queued_at, waiting.tried)
        self.queue_again(order_id)

    def _route(self, event: e.OrderRouted) -> None:
        waiting = self._waiting.pop(event.order_id)
        terms = waiting.terms
        self.queue.discard(event.order_id)
        self.held.wake(terms)
        self.working[terms.order_id] = Working(terms, event.legs, event.at, tried=waiting.tried)
        self.routed[event.order_id] = event
        if len(self.routed) > ROUTED_KEPT_MAX:
            self.routed.popitem(last=False)
        self.to_send.extend(self._request(terms, leg, event.unit, event.epoch) for leg in event.legs)

    def _answer(self, working: Working, event: e.RouteAcknowledged | e.OrderFilled | e.RouteClosed | e.OrderRejected) -> bool:
        """Record the first report for a route, which measures its venue's latency. Return True if it was the first."""
        route_id = event.route_id
        if route_id is None or route_id in working.answered or all(leg.route_id != route_id for leg in working.legs):
            return False
        working.answered += (route_id,)
        if event.venue is not None:
            health = self.health_of(event.venue)
            self.refusing.discard(event.venue)
            health.answered(event.at - working.routed_at)
            if isinstance(event, e.RouteAcknowledged | e.OrderFilled):
                health.worked()
            elif health.rejected():
                self.refusing.add(event.venue)
        return True

    def _ask_at_last(self, working: Working, route_id: str) -> None:
        """Send what waited for the venue's first report: a cancel again, because it may have come too early, or a replace."""
        if working.cancelling:
            self.to_cancel.extend(self._request(working.terms, leg) for leg in working.legs if leg.route_id == route_id)
        elif (asked := working.replacing) is not None and asked.leg.route_id == route_id:
            self._ask_for_terms(working)

    def health_of(self, venue: str) -> VenueHealth:
        health = self.health.get(venue)
        if health is None:
            health = self.health[venue] = VenueHealth()
        return health

    def _cancel(self, order_id: str) -> None:
        if working := self.working.get(order_id):
            working.cancelling = True
            working.in_doubt = False
            self.to_cancel.extend(self._request(working.terms, leg) for leg in working.legs)

    def _keep(self, order_id: str) -> None:
        """Keep the order: its cancel was refused. A replace that waited for the cancel is due again."""
        if working := self.working.get(order_id):
            working.cancelling = False
            self._ask_for_terms(working)

    def _replace(self, event: e.ReplaceRequested) -> None:
        """Hold the replace until the venue's first report for the route: before it there may be nothing to replace."""
        if working := self.working.get(event.order_id):
            working.replacing = event
            self._ask_for_terms(working)

    def _ask_for_terms(self, working: Working) -> None:
        if (asked := working.replacing) is not None and _is_due(working, asked):
            self.to_replace.append(self._replacement(working.terms, asked))

    def _replaced(self, event: e.OrderReplaced) -> None:
        """Apply new terms. A queued order keeps its place; a route chosen for its old terms will be refused."""
        changed: dict[str, object] = {"quantity": event.quantity, "price": event.price, "stop_price": event.stop_price}
        if waiting := self._waiting.get(event.order_id):
            changed["stop_price"] = _still_stop(waiting.terms, event)
            if event.trail is not None:
                changed["trail"] = event.trail
            terms = msgspec.structs.replace(waiting.terms, **changed)
            self._waiting[event.order_id] = msgspec.structs.replace(waiting, terms=terms)
            self.queue.change(terms)
            self.queue_again(event.order_id)
        elif working := self.working.get(event.order_id):
            changed["stop_price"] = _still_stop(working.terms, event)
            working.terms = msgspec.structs.replace(working.terms, **changed)
            if (asked := working.replacing) is not None and asked.replace_id == event.replace_id:
                working.legs = tuple(asked.leg if leg.route_id == asked.leg.route_id else leg for leg in working.legs)
            working.replacing = None

    def queue_again(self, order_id: str) -> None:
        """Queue an order again that was taken from the queue and still waits for its route."""
        waiting = self._waiting.get(order_id)
        if waiting is not None and waiting.queued_at is not None:
            self._put(waiting.terms, waiting.queued_at)

    def _close(self, event: e.OrderEvent) -> None:
        if waiting := self._waiting.pop(event.order_id, None):
            self.held.wake(waiting.terms)
        self.queue.discard(event.order_id)
        self._aside.pop(event.order_id, None)
        working = self.working.pop(event.order_id, None)
        if working and (isinstance(event, e.OrderFilled) or (isinstance(event, e.OrderRejected) and event.source == "venue")):
            self._answer(working, event)

    def _request(self, terms: e.OrderSubmitted, leg: e.Leg, unit: str = "", epoch: int = 0) -> VenueRequest:
        return VenueRequest(
            order_id=terms.order_id,
            route_id=leg.route_id,
            venue=leg.venue,
            account=terms.account,
            symbol=terms.symbol,
            side=terms.side,
            type=terms.order_type,
            quantity=leg.quantity,
            price=terms.price,
            stop_price=terms.stop_price,
            time_in_force=terms.time_in_force,
            expire_at=terms.expire_at,
            post_only=terms.post_only,
            reduce_only=terms.reduce_only,
            shard=self._shard,
            unit=unit,
            epoch=epoch,
            display_quantity=terms.display_quantity,
        )

    def _replacement(self, terms: e.OrderSubmitted, asked: e.ReplaceRequested) -> VenueRequest:
        request = self._request(terms, asked.leg)
        return msgspec.structs.replace(request, price=asked.price, stop_price=_still_stop(terms, asked), replace_id=asked.replace_id)

    def unanswered(self, routed_before: int) -> list[VenueRequest]:
        """Return every route without any report that was routed before a time (ns), oldest first."""
        return [
            self._request(working.terms, leg)
            for working in self.working.values()
            if working.routed_at < routed_before
            for leg in working.legs
            if leg.route_id not in working.answered
        ]

    def awaited(self, venues: Container[str]) -> Iterator[VenueRequest]:
        """Return every route at these venues that waits for a reply: to the order, a cancel, or a replace.

        Resting orders are not included.
        """
        return (
            self._request(working.terms, leg)
            for working in self.working.values()
            for leg in working.legs
            if leg.venue in venues and _awaits(working, leg.route_id)
        )

    def stranded(self, venues: Container[str]) -> Iterator[VenueRequest]:
        """Return every route at a venue not in `venues`, of the orders that are not in doubt."""
        return (
            self._request(working.terms, leg)
            for working in self.working.values()
            if not working.in_doubt
            for leg in working.legs
            if leg.venue not in venues
        )

    def doubtful(self) -> Iterator[VenueRequest]:
        """Return every route of the orders that are in doubt."""
        return (self._request(working.terms, leg) for working in self.working.values() if working.in_doubt for leg in working.legs)

    def doubtful_count(self) -> int:
        return sum(working.in_doubt for working in self.working.values())

    def is_doubtful(self, order_id: str) -> bool:
        return (working := self.working.get(order_id)) is not None and working.in_doubt

    def is_cancelling(self, order_id: str) -> bool:
        return (working := self.working.get(order_id)) is not None and working.cancelling

    def uncancelled(self) -> list[VenueRequest]:
        """Return every route whose cancel the venue has neither confirmed nor refused."""
        return [self._request(working.terms, leg) for working in self.working.values() if working.cancelling for leg in working.legs]

    def unreplaced(self) -> list[VenueRequest]:
        """Return every replace that was sent and is neither done nor refused. Resending changes nothing: the venue knows its id."""
        return [
            self._replacement(working.terms, asked)
            for working in self.working.values()
            if (asked := working.replacing) is not None and _is_due(working, asked)
        ]


def _is_due(working: Working, asked: e.ReplaceRequested) -> bool:
    """Return whether the replace may be sent: after the venue's first report for the route, and not while a cancel is open, which wins."""
    return not working.cancelling and asked.leg.route_id in working.answered


def _still_stop(terms: e.OrderSubmitted, changed: e.OrderReplaced | e.ReplaceRequested) -> Decimal | None:
    """Return the new stop price; None if the stop has triggered."""
    return None if terms.stop_price is None else changed.stop_price


def _awaits(working: Working, route_id: str) -> bool:
    replacing = working.replacing is not None and working.replacing.leg.route_id == route_id
    return working.cancelling or replacing or route_id not in working.answered
