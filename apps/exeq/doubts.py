"""Routes that no venue answered: asked about, never sent again; only evidence settles them. Cancels without an answer are said again."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client

from adapters import bus
from adapters.codec import decoder, encode
from apps.exeq.executor import Command, Executor
from domain.commands import DoubtRoute, RouteAbsent, VenueRequest
from domain.ports import Unavailable

log = structlog.get_logger()

ANSWER_DEADLINE_S: Final = 2.0
"""How long a venue may take to say a first word about a route, or to answer a cancel, before it is asked (told) again."""
WHENEVER: Final = 2**63
"""Silence is measured from when it was noticed, by the loop's time: the stamps in the journal come from another clock."""
ASK_EVERY_S: Final = 1.0
ASK_TIMEOUT_S: Final = 1.0
ASKED_AT_ONCE_MAX: Final = 200
NEGATIVES_NEEDED: Final = 3
"""A venue that lists closed orders too must deny the route this often before it counts as absent."""


class OrderAnswer(msgspec.Struct):
    """What a venue's session says to a question about one route."""

    known: bool | None = None
    error: str | None = None


_ANSWER: Final = decoder(OrderAnswer)


class Doubts:
    """Looks after silence. What a venue does know comes through oms's session with it; here only the absence is settled."""

    def __init__(self, client: Client, executor: Executor, shard: int = 0) -> None:
        self._client = client
        self._executor = executor
        self._shard = shard
        self._silent_since: dict[str, float] = {}
        self._uncancelled_since: dict[str, float] = {}
        self._unreplaced_since: dict[str, float] = {}
        self._negatives: dict[str, int] = {}
        self._doubted: set[str] = set()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(ASK_EVERY_S)
            if self._executor.caught_up():
                self._cancel_again()
                self._replace_again()
                await self._round()

    def _cancel_again(self) -> None:
        """A cancel that was lost on its way leaves no trace: an order would wait for its end for ever."""
        self._uncancelled_since, overdue = _overdue(self._uncancelled_since, self._executor.executions.uncancelled())
        for request in overdue:
            del self._uncancelled_since[request.route_id]
            self._executor.cancel(request)

    def _replace_again(self) -> None:
        self._unreplaced_since, overdue = _overdue(self._unreplaced_since, self._executor.executions.unreplaced())
        for request in overdue:
            del self._unreplaced_since[request.route_id]
            self._executor.replace(request)

    async def _round(self) -> None:
        self._silent_since, silent = _overdue(self._silent_since, self._executor.executions.unanswered(WHENEVER))
        self._negatives = {route_id: count for route_id, count in self._negatives.items() if route_id in self._silent_since}
        self._doubted &= self._silent_since.keys()
        by_venue: dict[str, list[VenueRequest]] = {}
        for request in silent[:ASKED_AT_ONCE_MAX]:
            by_venue.setdefault(request.venue, []).append(request)
        await asyncio.gather(*(self._ask_venue(requests) for requests in by_venue.values()))

    async def _ask_venue(self, requests: Sequence[VenueRequest]) -> None:
        """One after the other; a venue that says nothing once is not asked again in this round."""
        answers = True
        for request in requests:
            known = await self._known(request) if answers else None
            answers = known is not None
            self._executor.ask_soon(self._conclusion(request, known))

    async def _known(self, request: VenueRequest) -> bool | None:
        """Does the venue know the route? None when it does not say."""
        question = encode({"kind": "order", "route_id": request.route_id})
        try:
            reply = await bus.request(self._client, f"venue.{request.venue}.session.{self._shard}", question, ASK_TIMEOUT_S)
            answer: OrderAnswer = _ANSWER.decode(reply)
        except (Unavailable, ValueError):
            return None
        return answer.known

    def _conclusion(self, request: VenueRequest, known: bool | None) -> list[Command]:
        """Said every time: a cancel that the venue refused as unknown has taken the order out of its doubt again."""
        if known:
            self._negatives.pop(request.route_id, None)
            return []
        reason = "no_answer" if known is None else "unknown_at_venue"
        if request.route_id not in self._doubted:
            self._doubted.add(request.route_id)
            log.warning("route in doubt", order_id=request.order_id, route_id=request.route_id, venue=request.venue, reason=reason)
        commands: list[Command] = [DoubtRoute(order_id=request.order_id, route_id=request.route_id, reason=reason)]
        if known is False:
            denied = self._negatives[request.route_id] = self._negatives.get(request.route_id, 0) + 1
            if denied >= NEGATIVES_NEEDED:
                evidence = f"{request.venue} denied it {denied} times"
                commands.append(RouteAbsent(order_id=request.order_id, route_id=request.route_id, evidence=evidence))
        return commands

    def stats(self) -> dict[str, int]:
        return {"in_doubt": len(self._doubted)}


def _overdue(since: dict[str, float], requests: Iterable[VenueRequest]) -> tuple[dict[str, float], list[VenueRequest]]:
    """When each of these was first seen to wait, and those that have waited too long."""
    now = asyncio.get_running_loop().time()
    waiting = {request.route_id: request for request in requests}
    since = {route_id: since.get(route_id, now) for route_id in waiting}
    return since, [request for route_id, request in waiting.items() if now - since[route_id] >= ANSWER_DEADLINE_S]
