"""Routes what is queued and sends what was routed. A send follows only from an OrderRouted read back from the journal."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog
from nats.aio.client import Client

from adapters import bus
from adapters.codec import decoder, encode
from apps.failpoint import failpoint
from apps.follower import Applied
from apps.outbox import Outbox
from domain.commands import DoubtRoute, RefuseRoute, RouteAbsent, RouteOrder, VenueRequest
from domain.controls import Controls
from domain.events import OrderEvent, OrderSubmitted
from domain.executions import Executions
from domain.ports import Clock, Unavailable
from domain.quotes import Market
from domain.routing import Routing, Venue, route

log = structlog.get_logger()

ASK_TIMEOUT_S: Final = 5.0
ASK_AGAIN_S: Final = 0.2
CAUGHT_UP_EVERY_S: Final = 0.02
ASKS_MAX: Final = 8
"""Lists of commands under way at oms at once."""

Command = RouteOrder | RefuseRoute | DoubtRoute | RouteAbsent


class Answer(msgspec.Struct):
    """What oms says to one command."""

    ok: bool
    code: str | None = None
    seq: int | None = None
    state: str | None = None


_ANSWERS: Final = decoder(list[Answer])


class Bounds(msgspec.Struct, frozen=True):
    policy: str
    batch_max: int
    quote_age_max_ns: int


class Executor:
    """The fold (Executions) and what is done about it. Nothing is routed or sent before the journal has been read to its end."""

    def __init__(
        self, client: Client, outbox: Outbox, market: Market, controls: Controls, venues: Mapping[str, Venue], clock: Clock, bounds: Bounds
    ) -> None:
        self._client = client
        self._outbox = outbox
        self._market = market
        self._controls = controls
        self._venues = venues
        self._clock = clock
        self._bounds = bounds
        self._asked: dict[str, Command] = {}
        self._asks = asyncio.Semaphore(ASKS_MAX)
        self._work = asyncio.Event()
        self.executions = Executions()
        self.caught_up: Callable[[], bool] = lambda: False
        self.is_past: Callable[[int], bool] = lambda seq: True
        self.sends = 0
        self.withheld = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.failed: Callable[[str], None] = lambda reason: None

    def apply(self, commits: Applied[OrderEvent]) -> None:
        """New facts. What was routed before this process began is not sent: it may have been."""
        for seq, commit in commits:
            for event in commit.events:
                self.executions.apply(event)
            if self.is_past(seq):
                self.executions.to_send.clear()
                self.executions.to_cancel.clear()
        self._send()
        if len(self.executions.queue):
            self._work.set()

    def _send(self) -> None:
        """On the wire at last: what the journal says was routed, unless it was forbidden since."""
        for request in self._taken(self.executions.to_send):
            if self._controls.blocked(request.symbol):
                self._withhold(request)
            else:
                self.sends += 1
                failpoint("before_send")
                self._put("new", request)
        for request in self._taken(self.executions.to_cancel):
            self.cancel(request)

    def cancel(self, request: VenueRequest) -> None:
        """Unlike a new order this may be said twice: a venue that has cancelled, or never had the order, changes nothing."""
        self._put("cancel", request)

    @staticmethod
    def _taken(requests: list[VenueRequest]) -> Iterable[VenueRequest]:
        taken = list(requests)
        requests.clear()
        return taken

    def _put(self, verb: str, request: VenueRequest) -> None:
        self._outbox.put(f"orders.{request.account}.{verb}", encode(msgspec.structs.replace(request, sent_at=self._clock.now_ns())))

    def _withhold(self, request: VenueRequest) -> None:
        self.withheld += 1
        log.warning("not sent: the symbol is blocked", order_id=request.order_id, symbol=request.symbol)
        self.ask_soon([RefuseRoute(order_id=request.order_id, reason="symbol_blocked", route_id=request.route_id)])

    async def run(self) -> None:
        """Route what is queued, in lists, for ever. What was in the queue before the journal was read to its end waits until then."""
        while True:
            if not self.caught_up():
                await asyncio.sleep(CAUGHT_UP_EVERY_S)
            elif commands := self._next():
                self.ask_soon(commands)
                await asyncio.sleep(0)
            else:
                self._work.clear()
                await self._work.wait()

    def _next(self) -> list[Command]:
        """The next list of routing decisions, by priority."""
        commands: list[Command] = []
        since = self._clock.now_ns() - self._bounds.quote_age_max_ns
        while len(commands) < self._bounds.batch_max and (order := self.executions.queue.take()):
            if order.order_id not in self._asked:
                commands.append(self._decide(order, since))
        return commands

    def _decide(self, order: OrderSubmitted, since: int) -> Command:
        if self._controls.blocked(order.symbol):
            return RefuseRoute(order_id=order.order_id, reason="symbol_blocked")
        routing = self._routing(order, since)
        if routing is None:
            return RefuseRoute(order_id=order.order_id, reason="no_venue")
        return RouteOrder(order_id=order.order_id, legs=routing.legs, policy=routing.policy, candidates=routing.candidates)

    def _routing(self, order: OrderSubmitted, since: int) -> Routing | None:
        quotes = self._market.quotes(order.symbol, since)
        return route(order, f"{order.order_id}-1", self._venues.values(), quotes, self._bounds.policy)

    def ask_soon(self, commands: Sequence[Command]) -> None:
        """Have oms record these, in the background, until it has answered."""
        if not commands:
            return
        self._asked.update((command.order_id, command) for command in commands)
        task = asyncio.create_task(self._ask(commands))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed(f"routing failed: {error!r}")

    async def _ask(self, commands: Sequence[Command]) -> None:
        """Have oms record the decisions. Asked again until it answers: a route id is recorded once however often it is asked for."""
        body = encode(commands)
        while True:
            try:
                async with self._asks:
                    answers: list[Answer] = _ANSWERS.decode(await bus.request(self._client, "oms.commands.0", body, ASK_TIMEOUT_S))
                break
            except (Unavailable, ValueError) as trouble:
                log.warning("oms did not record routes, asking again", orders=len(commands), reason=str(trouble))
                await asyncio.sleep(ASK_AGAIN_S)
        if len(answers) != len(commands):
            raise AssertionError(f"oms gave {len(answers)} answers to {len(commands)} commands: {answers[:1]}")
        retry = [command for command, answer in zip(commands, answers, strict=True) if self._settled(command, answer)]
        if retry:
            await asyncio.sleep(ASK_AGAIN_S)
            self.ask_soon(retry)

    def _settled(self, command: Command, answer: Answer) -> bool:
        """Forget the command, unless oms could not decide: then True, to ask again.

        It will find what it does not find now: the order is in the journal, so its memory is behind (a commit landed late).
        """
        if answer.ok or answer.code == "illegal_transition":
            self._asked.pop(command.order_id, None)
            return False
        return True

    def stats(self) -> dict[str, Any]:
        return {
            "queued": len(self.executions.queue),
            "deciding": len(self._asked),
            "working": len(self.executions.working),
            "sends": self.sends,
            "withheld": self.withheld,
        }
