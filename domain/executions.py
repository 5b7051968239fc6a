"""What exeq knows of every open order: a fold of the journal that says what to route, what to send and what to cancel."""

from collections import OrderedDict
from typing import Final

import msgspec

from domain import events as e
from domain.commands import VenueRequest
from domain.lifecycle import CLOSED
from domain.queue import PriorityQueue

ROUTED_KEPT_MAX: Final = 10_000
"""Route records kept for `/routes`; older ones are in the order's timeline."""

STATE_VERSION: Final = 1
"""To be raised when the same fields of `ExecutionsState` come to mean something else."""


class Waiting(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An order without a route yet, and when the journal queued it; None before that."""

    terms: e.OrderSubmitted
    queued_at: int | None = None


class Working(msgspec.Struct, array_like=True, gc=False):
    """An open order at a venue: its terms, its legs, which of them the venue has answered, and whether a cancel waits for its answer."""

    terms: e.OrderSubmitted
    legs: tuple[e.Leg, ...]
    routed_at: int
    answered: tuple[str, ...] = ()
    cancelling: bool = False


class ExecutionsState(msgspec.Struct, frozen=True, gc=False):
    """Each in the order in which the journal told of it."""

    waiting: tuple[Waiting, ...]
    working: tuple[Working, ...]
    routed: tuple[e.OrderRouted, ...]


class Executions:
    """`to_send`: routes just journaled. `to_cancel`: requests to withdraw. Who sends empties both; who routes empties `queue`."""

    def __init__(self, shard: int = 0) -> None:
        self._shard = shard
        self._waiting: dict[str, Waiting] = {}
        self.queue = PriorityQueue()
        self.working: dict[str, Working] = {}
        self.routed: OrderedDict[str, e.OrderRouted] = OrderedDict()
        self.to_send: list[VenueRequest] = []
        self.to_cancel: list[VenueRequest] = []

    def state(self) -> ExecutionsState:
        """What the journal said so far, to be encoded before the next event. What was taken from the queue waits still for its route."""
        return ExecutionsState(tuple(self._waiting.values()), tuple(self.working.values()), tuple(self.routed.values()))

    def restore(self, state: ExecutionsState) -> None:
        """Go on from there, in a fold that has seen nothing. Nothing of it is to be sent: it may have been."""
        assert not self._waiting, "a state is restored into empty executions"
        assert not self.working, "a state is restored into empty executions"
        self._waiting = {waiting.terms.order_id: waiting for waiting in state.waiting}
        self.working = {working.terms.order_id: working for working in state.working}
        self.routed = OrderedDict((routed.order_id, routed) for routed in state.routed)
        for waiting in state.waiting:
            if waiting.queued_at is not None:
                self.queue.put(waiting.terms, waiting.queued_at)

    def apply(self, event: e.OrderEvent) -> None:
        if event.status in CLOSED:
            self._close(event.order_id)
            return
        match event:
            case e.OrderSubmitted():
                self._waiting[event.order_id] = Waiting(event)
            case e.OrderQueued():
                self._queue(event)
            case e.OrderRouted():
                self._route(event)
            case e.RouteAcknowledged() | e.OrderFilled() | e.RouteClosed():
                self._answer(event.order_id, event.route_id)
            case e.CancelRequested():
                self._cancel(event.order_id)
            case e.CancelRejected():
                self._keep(event.order_id)

    def _queue(self, event: e.OrderQueued) -> None:
        terms = self._waiting.pop(event.order_id).terms
        self._waiting[event.order_id] = Waiting(terms, event.at)  # behind those that were queued before it
        self.queue.put(terms, event.at)

    def _route(self, event: e.OrderRouted) -> None:
        terms = self._waiting.pop(event.order_id).terms
        self.queue.discard(event.order_id)
        self.working[terms.order_id] = Working(terms, event.legs, event.at)
        self.routed[event.order_id] = event
        if len(self.routed) > ROUTED_KEPT_MAX:
            self.routed.popitem(last=False)
        self.to_send.extend(self._request(terms, leg) for leg in event.legs)

    def _answer(self, order_id: str, route_id: str) -> None:
        if (working := self.working.get(order_id)) and route_id not in working.answered:
            working.answered += tuple(leg.route_id for leg in working.legs if leg.route_id == route_id)

    def _cancel(self, order_id: str) -> None:
        if working := self.working.get(order_id):
            working.cancelling = True
            self.to_cancel.extend(self._request(working.terms, leg) for leg in working.legs)

    def _keep(self, order_id: str) -> None:
        if working := self.working.get(order_id):
            working.cancelling = False

    def _close(self, order_id: str) -> None:
        self._waiting.pop(order_id, None)
        self.queue.discard(order_id)
        self.working.pop(order_id, None)

    def _request(self, terms: e.OrderSubmitted, leg: e.Leg) -> VenueRequest:
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
            shard=self._shard,
        )

    def unanswered(self, routed_before: int) -> list[VenueRequest]:
        """Every leg that was routed before a time (ns) and that no venue has said a word about, the oldest first."""
        return [
            self._request(working.terms, leg)
            for working in self.working.values()
            if working.routed_at < routed_before
            for leg in working.legs
            if leg.route_id not in working.answered
        ]

    def uncancelled(self) -> list[VenueRequest]:
        """Every leg whose cancel the venue has neither done nor refused."""
        return [self._request(working.terms, leg) for working in self.working.values() if working.cancelling for leg in working.legs]
