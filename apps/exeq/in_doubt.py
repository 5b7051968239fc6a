"""Routes in doubt: the venue is queried, the order is never sent again, and only evidence settles it. Unanswered cancels are repeated.

A route is in doubt if a request is unanswered: the order itself, a cancel or a replace. A venue that is away is shown as away; its
acknowledged orders stay as they are and are reconciled when it is back.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client

from adapters import bus, subjects
from adapters.codec import decoder, encode
from apps.exeq.executor import Command, Executor
from apps.exeq.venue_sessions import VenueSessionMonitor
from domain.order.commands import ConfirmRoute, DoubtRoute, RouteAbsent, VenueRequest
from domain.ports import Unavailable

log = structlog.get_logger()

ANSWER_DEADLINE_S: Final = 2.0
"""Default deadline of a venue for the first report on a route and for the answer to a cancel, if it is no longer configured."""
WHENEVER: Final = 2**63
"""No age limit: silence is measured from when it was noticed, by the loop's time, as journal timestamps come from another clock."""
ASK_EVERY_S: Final = 1.0
LISTEN_AWAY_S: Final = 0.2
"""Pause before the next hello to a venue that missed one: a message may be lost, and the venue should not count as away for too long."""
ASK_AGAIN_MAX_S: Final = 30.0
"""Maximum pause between queries: a route still open is queried after 1, 2, 4 seconds and so on; after a denial without that pause."""
ASK_TIMEOUT_S: Final = 1.0
DENIED_AGAIN_S: Final = ASK_EVERY_S / 2
"""Pause after a denial. One denial is no evidence while the order may be in transit: the pause lets it arrive."""
ASKED_AT_ONCE_MAX: Final = 200
ASKED_TOGETHER_MAX: Final = 50
"""Queries to one venue in flight at once, after it has answered one."""
DOUBTS_AT_ONCE_MAX: Final = 500
NEGATIVES_NEEDED: Final = 3
"""Denials of a route before it counts as absent; venues also know their closed orders."""

WORKS: Final = "working"
TAKEN: Final = "taken"
"""The venue has the order, but has not reported on it."""


class OrderState(msgspec.Struct):
    status: str
    venue_order_id: str = ""


class OrderAnswer(msgspec.Struct):
    """A venue session's reply to a query about one route."""

    known: bool | None = None
    epoch: int = 0
    order: OrderState | None = None
    error: str | None = None


_ANSWER: Final = decoder(OrderAnswer)


class InDoubtRoutes:
    """Handles missing answers. Reports arrive through oms's sessions; here a route is settled as absent or confirmed as working."""

    def __init__(self, client: Client, executor: Executor, shard: int = 0) -> None:
        self._client = client
        self._executor = executor
        self._shard = shard
        self._venues = executor.router.venues
        self._listening = VenueSessionMonitor(client, self._venues, executor.ownership, shard)
        self._silent_since: dict[str, float] = {}
        self._uncancelled_since: dict[str, float] = {}
        self._unreplaced_since: dict[str, float] = {}
        self._negatives: dict[str, int] = {}
        self._doubted: set[str] = set()
        self._uncancellable: set[str] = set()
        self._gone: set[str] = set()
        self._next_ask: dict[str, tuple[float, float]] = {}
        self._working: dict[str, str] = {}
        self._trouble: dict[str, str] = {}
        self.on_back: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """Run both loops. They end together, so that a restart of this task runs each of them once."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._listen_on())
            loops.create_task(self._look_on())

    async def _listen_on(self) -> None:
        while True:
            await asyncio.sleep(LISTEN_AWAY_S if self._listening.missed else ASK_EVERY_S)
            if self._executor.caught_up():
                await self._listen()

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(ASK_EVERY_S)
            if self._executor.caught_up():
                self._strand()
                self._cancel_again()
                self._replace_again()
                while await self._round():
                    pass

    async def _listen(self) -> None:
        """Put unanswered requests of a venue that went away in doubt; query a venue that came back at once."""
        gone, back = await self._listening.listen()
        self._executor.router.disconnected = set(self._listening.away)
        if gone:
            self._doubt(self._executor.executions.awaited(gone))
        if back:
            self._next_ask.clear()
            self.on_back()

    def _doubt(self, requests: Iterable[VenueRequest], reason: str = "disconnected") -> None:
        commands: list[Command] = [DoubtRoute(order_id=r.order_id, route_id=r.route_id, reason=reason, anyway=True) for r in requests]
        for begin in range(0, len(commands), DOUBTS_AT_ONCE_MAX):
            self._executor.ask_soon(commands[begin : begin + DOUBTS_AT_ONCE_MAX])

    def _strand(self) -> None:
        """Put routes at venues removed from venues.yaml in doubt: they get no answers, and only an operator can settle them."""
        stranded = list(self._executor.executions.stranded(self._venues))
        if names := {request.venue for request in stranded} - self._gone:
            self._gone |= names
            log.error("orders are at venues that are not in venues.yaml: settle them, or restore the venues", venues=sorted(names))
        self._doubt(stranded, "venue_removed")

    def _cancel_again(self) -> None:
        """Repeat unanswered cancels: a lost one leaves no trace. An unsequenced venue does not answer cancels: its order goes in doubt."""
        self._uncancelled_since, overdue = self._overdue(self._uncancelled_since, self._executor.executions.uncancelled())
        self._uncancellable &= self._uncancelled_since.keys()
        for request in overdue:
            if not self._plain(request):
                del self._uncancelled_since[request.route_id]
                self._executor.cancel(request)
            elif request.route_id not in self._uncancellable:
                self._uncancellable.add(request.route_id)
                self._doubt([request], "cancel_not_answered")

    def _replace_again(self) -> None:
        self._unreplaced_since, overdue = self._overdue(self._unreplaced_since, self._executor.executions.unreplaced())
        for request in overdue:
            del self._unreplaced_since[request.route_id]
            self._executor.replace(request)

    async def _round(self) -> bool:
        """Query the venues about routes that are due. Return True when more are due."""
        executions = self._executor.executions
        self._silent_since, silent = self._overdue(self._silent_since, executions.unanswered(WHENEVER))
        open_ = {request.route_id: request for request in (*silent, *executions.doubtful())}
        self._forget(open_)
        self._executor.router.silent({r.venue for r in silent if r.route_id not in self._doubted})
        now = asyncio.get_running_loop().time()
        due = [request for request in open_.values() if self._next_ask.get(request.route_id, (0.0, 0.0))[0] <= now]
        by_venue: dict[str, list[VenueRequest]] = {}
        for request in due[:ASKED_AT_ONCE_MAX]:
            by_venue.setdefault(request.venue, []).append(request)
        await asyncio.gather(*(self._ask_venue(requests) for requests in by_venue.values()))
        return len(due) > ASKED_AT_ONCE_MAX

    def _forget(self, open_: dict[str, VenueRequest]) -> None:
        """Drop the records of settled routes."""
        waiting = open_.keys() | self._silent_since.keys()
        self._doubted &= waiting
        for kept in (self._negatives, self._next_ask, self._working, self._trouble):
            for route_id in kept.keys() - waiting:
                del kept[route_id]

    async def _ask_venue(self, requests: Sequence[VenueRequest]) -> None:
        """Query about one route, then, if answered, the others together. A venue that does not answer is skipped for this round."""
        answers, begin = requests[0].venue in self._venues and not self._plain(requests[0]), 0
        while group := requests[begin : begin + (ASKED_TOGETHER_MAX if begin else 1)]:
            known = await asyncio.gather(*map(self._known, group)) if answers else [None] * len(group)
            answers = any(word is not None for word in known)
            asked = list(zip(group, known, strict=True))
            self._executor.ask_soon([command for request, word in asked for command in self._conclusion(request, word)])
            for request, word in asked:
                self._ask_later(request, word)
            begin += len(group)

    def _ask_later(self, request: VenueRequest, known: bool | None) -> None:
        """Schedule the next query: soon while denials are counted, else with a doubled pause."""
        denied = known is False and self._negatives.get(request.route_id, 0) < NEGATIVES_NEEDED
        _, pause = self._next_ask.get(request.route_id, (0.0, 0.0))
        pause = 0.0 if denied else min(max(2 * pause, ASK_EVERY_S), ASK_AGAIN_MAX_S)
        self._next_ask[request.route_id] = asyncio.get_running_loop().time() + (pause or DENIED_AGAIN_S), pause

    async def _known(self, request: VenueRequest) -> bool | None:
        """Query whether the venue knows the route; None without a usable answer."""
        owned = self._executor.ownership
        question = encode({"kind": "order", "route_id": request.route_id, "unit": owned.unit, "epoch": owned.epoch or 0})
        self._trouble.pop(request.route_id, None)
        self._working.pop(request.route_id, None)
        try:
            reply = await bus.request(self._client, subjects.session(request.venue, self._shard), question, ASK_TIMEOUT_S)
            answer: OrderAnswer = _ANSWER.decode(reply)
        except Unavailable:
            return None
        except ValueError:
            self._trouble[request.route_id] = "unreadable_answer"
            return None
        owned.met(answer.epoch)
        if answer.order is not None and answer.order.status == TAKEN:
            self._trouble[request.route_id] = "not_answered"
        if answer.order is not None and answer.order.status == WORKS:
            self._working[request.route_id] = answer.order.venue_order_id
        return answer.known

    def _conclusion(self, request: VenueRequest, known: bool | None) -> list[Command]:
        """Return the commands that follow from an answer. The doubt is repeated each time, as a cancel refused as unknown ends it."""
        order_id, route_id, executions = request.order_id, request.route_id, self._executor.executions
        if known:
            self._negatives.pop(route_id, None)
            if (why := self._trouble.get(route_id)) is not None:
                return [self._doubtful(request, why)]
            if (number := self._working.get(route_id)) is None or not executions.is_doubtful(order_id):
                return []
            return [
                ConfirmRoute(order_id=order_id, route_id=route_id, venue_order_id=number, cancelling=executions.is_cancelling(order_id))
            ]
        reason = self._trouble.get(route_id, "no_answer") if known is None else "unknown_at_venue"
        commands: list[Command] = [self._doubtful(request, reason)]
        if known is False:
            denied = self._negatives[route_id] = self._negatives.get(route_id, 0) + 1
            if denied >= NEGATIVES_NEEDED:
                commands.append(RouteAbsent(order_id=order_id, route_id=route_id, evidence=f"{request.venue} denied it {denied} times"))
        return commands

    def _doubtful(self, request: VenueRequest, reason: str) -> DoubtRoute:
        if request.route_id not in self._doubted:
            self._doubted.add(request.route_id)
            log.warning("route in doubt", order_id=request.order_id, route_id=request.route_id, venue=request.venue, reason=reason)
        return DoubtRoute(order_id=request.order_id, route_id=request.route_id, reason=reason)

    def _plain(self, request: VenueRequest) -> bool:
        venue = self._venues.get(request.venue)
        return venue is not None and venue.plain

    def _overdue(self, since: dict[str, float], requests: Iterable[VenueRequest]) -> tuple[dict[str, float], list[VenueRequest]]:
        """Return when each request was first seen waiting, and the requests that have exceeded their venue's deadline."""
        now = asyncio.get_running_loop().time()
        waiting = {request.route_id: request for request in requests}
        since = {route_id: since.get(route_id, now) for route_id in waiting}
        return since, [request for route_id, request in waiting.items() if now - since[route_id] >= self._deadline_s(request.venue)]

    def _deadline_s(self, name: str) -> float:
        venue = self._venues.get(name)
        return venue.answer_deadline_ns / 1e9 if venue is not None else ANSWER_DEADLINE_S

    @property
    def in_doubt(self) -> int:
        return self._executor.executions.doubtful_count()

    def stats(self) -> dict[str, object]:
        return {
            "in_doubt": self.in_doubt,
            "asked_about": len(self._next_ask),
            "away": sorted(self._listening.away),
        }
