"""Routes queued orders and sends routed ones. An order is sent only after its OrderRouted is read back from the journal."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
import structlog

from apps.connections.venue_lists import SentRequest, Verb
from apps.exeq.kill_switch import ExeqKillSwitch
from apps.exeq.oms_commands import OmsCommands
from apps.exeq.ownership import Ownership
from apps.exeq.router import Router
from apps.journal.subscription import Applied
from apps.runtime.failpoint import failpoint
from domain.execution.projection import Executions
from domain.execution.queue import Rank
from domain.execution.routing import NoRoute, Routing
from domain.order.algo_commands import EndAlgo, SpawnChild
from domain.order.commands import (
    CancelOrder,
    CommandAnswer,
    ConfirmRoute,
    DoubtRoute,
    RefuseRoute,
    ReleaseHeld,
    RouteAbsent,
    RouteOrder,
    TrailStop,
    TriggerOrder,
    VenueRequest,
)
from domain.order.events import OrderEvent, OrderSubmitted, ShardTaken
from domain.ports import Clock, Unavailable

log = structlog.get_logger()

ASK_TIMEOUT_S: Final = 5.0
ASK_AGAIN_S: Final = 0.2
CAUGHT_UP_EVERY_S: Final = 0.02
ASKS_MAX: Final = 8
"""Lists of commands in flight to oms at once."""
TOKEN_WAIT_MAX_S: Final = 1.0
HOLD_S: Final = 0.5
"""Pause before an order that no venue can take is decided again."""
LOOKED_AT_MAX: Final = 1024
"""Orders decided in one pass; those behind them in the queue wait even if they could be routed."""

OfAlgo = SpawnChild | EndAlgo | CancelOrder
"""What is decided again from the parent's state, whatever oms has answered."""
Command = RouteOrder | TriggerOrder | TrailStop | ReleaseHeld | RefuseRoute | DoubtRoute | ConfirmRoute | RouteAbsent | OfAlgo


class Executor:
    """Acts on the fold of the journal (Executions). Nothing is routed or sent before the journal has been read to its end."""

    def __init__(
        self,
        oms: OmsCommands,
        send: Callable[[Sequence[SentRequest]], None],
        switch: ExeqKillSwitch,
        clock: Clock,
        executions: Executions,
        router: Router,
        batch_max: int,
        ownership: Ownership,
        *,
        caught_up: Callable[[], bool],
        is_past: Callable[[int], bool],
        failed: Callable[[str], None],
    ) -> None:
        """`send` puts requests on the wire before it returns. `is_past`: whether a sequence was in the journal before this process began
        to read. `failed` ends the process."""
        self._oms = oms
        self._send_all = send
        self._switch = switch
        self._clock = clock
        self._batch_max = batch_max
        self.ownership = ownership
        self._asked: dict[str, Command] = {}
        self._missed: set[str] = set()
        """Orders whose turn came while a command for them was still in flight to oms."""
        self._asks = asyncio.Semaphore(ASKS_MAX)
        self._work = asyncio.Event()
        self.executions = executions
        self.router = router
        self.caught_up = caught_up
        self._is_past = is_past
        self._failed = failed
        self.sends = 0
        self.withheld = 0
        self.others = 0
        """Routes of another epoch, which this process must not send."""
        self.held = 0
        self._set_aside: list[tuple[Rank, OrderSubmitted]] = []
        self._look_again_s: float | None = None
        self._stranded: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def apply(self, commits: Applied[OrderEvent]) -> None:
        """Apply new events. Routes from before this process started are not sent: they may have been sent already."""
        for seq, commit in commits:
            for event in commit.events:
                if type(event) is ShardTaken:
                    self.ownership.heard(event, commit.n)
                else:
                    self.executions.apply(event)
            if self._is_past(seq):
                self.executions.to_send.clear()
                self.executions.to_cancel.clear()
                self.executions.to_replace.clear()
                self.executions.refusing.clear()
        self.router.back_off(self.executions.refusing)
        self._send()
        if len(self.executions.queue):
            self._work.set()

    def _send(self) -> None:
        """Send what was routed, unless a control forbids it by now. New orders wait while the controls are not known.

        A route of another epoch is not sent: another exeq, or an earlier process, may have sent it. The venue is queried about it.
        Cancels do not wait, except the cancel of a route that itself waits: the venue would receive it before the order.
        """
        if not self.ownership.active():
            self._work.set()
            return
        if (self.executions.to_send or self.executions.to_replace) and not self._switch.known():
            self._work.set()
            unsent = {request.route_id for request in self.executions.to_send}
            cancels = list(self._taken(self.executions.to_cancel))
            self.executions.to_cancel += [request for request in cancels if request.route_id in unsent]
            self._put([("cancel", request) for request in cancels if request.route_id not in unsent])
            return
        requests = [*self._permitted()]
        requests += [("cancel", request) for request in self._taken(self.executions.to_cancel)]
        requests += [("replace", request) for request in self._taken(self.executions.to_replace) if self._may_replace(request)]
        self._put(requests)

    def _permitted(self) -> Iterator[tuple[Verb, VenueRequest]]:
        """Yield the new orders that may be sent now."""
        for request in self._taken(self.executions.to_send):
            if request.epoch != self.ownership.epoch:
                self.others += 1
            elif reason := self._switch.forbids(request.account, request.symbol, request.venue):
                self._withhold(request, reason)
            else:
                self.sends += 1
                failpoint("before_send")
                yield "new", request

    def cancel(self, request: VenueRequest) -> None:
        """Send a cancel. Unlike a new order it may be sent twice: a repeated cancel, or one of an unknown order, changes nothing."""
        self._put([("cancel", request)])

    def replace(self, request: VenueRequest) -> None:
        """Send a replace. It may be sent twice: a venue recognises a replace by its id."""
        if self._may_replace(request):
            self._put([("replace", request)])

    def _may_replace(self, request: VenueRequest) -> bool:
        """Return whether a replace may be sent. A forbidden one is withheld: its order is being cancelled."""
        forbidden = self._switch.forbids(request.account, request.symbol, request.venue)
        self.withheld += forbidden is not None
        return forbidden is None

    @staticmethod
    def _taken(requests: list[VenueRequest]) -> Iterable[VenueRequest]:
        taken = list(requests)
        requests.clear()
        return taken

    def _put(self, requests: Sequence[tuple[Verb, VenueRequest]]) -> None:
        owned = self.ownership
        if not (requests and owned.active()):
            return  # the exeq that owns the shard sends it again or queries the venue
        stamp = {"unit": owned.unit, "epoch": owned.epoch, "sent_at": self._clock.now_ns()}
        self._send_all([SentRequest(verb, msgspec.structs.replace(request, **stamp)) for verb, request in requests])

    def _withhold(self, request: VenueRequest, reason: str) -> None:
        self.withheld += 1
        log.warning(
            "not sent", reason=reason, order_id=request.order_id, account=request.account, symbol=request.symbol, venue=request.venue
        )
        self.ask_soon([RefuseRoute(order_id=request.order_id, reason=reason, route_id=request.route_id)])

    async def run(self) -> None:
        """Route queued orders, in lists. Orders wait until the journal has been read to its end and the controls are known."""
        while True:
            if not self.known():
                await asyncio.sleep(CAUGHT_UP_EVERY_S)
                continue
            self._send()
            if commands := self._next():
                self.ask_soon(commands)
                await asyncio.sleep(0)
            else:
                await self._wait()

    async def _wait(self) -> None:
        """Wait until an order is queued or, while orders are held, until a token or a venue may be available again."""
        self._work.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._look_again_s):
                await self._work.wait()

    def _next(self) -> list[Command]:
        """Return the next list of routing decisions, by priority. A held order keeps its place; orders behind it may be routed."""
        commands: list[Command] = []
        self._look_again_s = None
        queue, looked_at = self.executions.queue, 0
        while len(commands) < self._batch_max and looked_at < LOOKED_AT_MAX and (ranked := queue.take_ranked()):
            looked_at += 1
            order = ranked[1]
            if order.order_id in self._asked:
                self._missed.add(order.order_id)
                continue
            command = self._decide(order)
            if command is None:
                self._set_aside.append(ranked)
            else:
                commands.append(command)
        self.held = len(self._set_aside)
        if self._stranded:
            aside = {order.order_id for _, order in self._set_aside}
            self._stranded = {order_id: since for order_id, since in self._stranded.items() if order_id in aside or order_id in queue}
        while self._set_aside:
            queue.put_back(*self._set_aside.pop())
        return commands

    def _decide(self, order: OrderSubmitted) -> Command | None:
        """Decide one order; None when it waits in the queue."""
        if reason := self._switch.forbids(order.account, order.symbol):
            return RefuseRoute(order_id=order.order_id, reason=reason)
        found = self.router.decide(order)
        if not isinstance(found, NoRoute):
            return RouteOrder(order_id=order.order_id, legs=found.legs, policy=found.policy, candidates=found.candidates)
        if found.waits:
            self._look_again(min(self.router.token_in_s(), TOKEN_WAIT_MAX_S))
            return None
        if self.router.rules.hold or (found.away and self._may_come_back(order.order_id)):
            self._look_again(HOLD_S)
            return None
        return RefuseRoute(order_id=order.order_id, reason=found.reason, detail=found.detail)

    def preview(self, order: OrderSubmitted) -> Routing | NoRoute:
        """Return what would be decided if this order were next in the queue, and change nothing.

        `waits` then says whether it would keep its place in the queue, for a token or for a venue, instead of being refused.
        """
        if reason := self._switch.forbids(order.account, order.symbol):
            return NoRoute(reason)
        found, rules = self.router.decide(order, take=False), self.router.rules
        if isinstance(found, Routing):
            return found
        return msgspec.structs.replace(found, waits=found.waits or rules.hold or (found.away and rules.away_wait_ns > 0))

    def known(self) -> bool:
        """Return whether orders are routed now: the journal has been read to its end, and the controls are known."""
        return self.caught_up() and self._switch.known()

    def _may_come_back(self, order_id: str) -> bool:
        """Return whether the order may still wait: `away_wait_ns` since it was first seen without a venue are not over."""
        now = self._clock.monotonic_ns()
        return now - self._stranded.setdefault(order_id, now) < self.router.rules.away_wait_ns

    def _look_again(self, wait_s: float) -> None:
        self._look_again_s = wait_s if self._look_again_s is None else min(wait_s, self._look_again_s)

    def asks(self, order_id: str) -> bool:
        """Return whether a command for this order is in flight to oms."""
        return order_id in self._asked

    def ask_soon(self, commands: Sequence[Command]) -> None:
        """Send these commands to oms in the background, until it has answered."""
        if not commands:
            return
        self._asked.update((command.order_id, command) for command in commands)
        task = asyncio.create_task(self._ask(commands))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(f"routing failed: {error!r}")

    async def _ask(self, commands: Sequence[Command]) -> None:
        """Send the commands until oms answers. Repeating is safe: oms records a route id only once."""
        while True:
            if self.ownership.stands_by:
                self._forget(commands)
                return
            signed = self.ownership.signed(commands)
            try:
                async with self._asks:
                    answers = await self._oms.ask(signed, ASK_TIMEOUT_S)
                break
            except Unavailable as trouble:
                log.warning("oms did not record routes, retrying", orders=len(commands), reason=str(trouble))
                await asyncio.sleep(ASK_AGAIN_S)
        if len(answers) != len(commands):
            raise AssertionError(f"oms returned {len(answers)} answers to {len(commands)} commands: {answers[:1]}")
        retry = [command for command, answer in zip(commands, answers, strict=True) if self._settled(command, answer)]
        if retry:
            await asyncio.sleep(ASK_AGAIN_S)
            self.ask_soon(retry)

    def _forget(self, commands: Sequence[Command]) -> None:
        """Drop commands of a shard that another process has now. An order that is still queued is decided when the shard comes back."""
        for command in commands:
            self._asked.pop(command.order_id, None)
            self._missed.discard(command.order_id)
            self.executions.queue_again(command.order_id)

    def _settled(self, command: Command, answer: CommandAnswer) -> bool:
        """Forget a decided command. Return True when oms could not decide it and it must be repeated.

        A repeat of `order_not_found` succeeds later: the order is in the journal, so oms's memory is only behind.
        """
        if isinstance(command, SpawnChild):
            failpoint("after_slice")
        if answer.ok or answer.code == "illegal_transition" or isinstance(command, OfAlgo):
            self._asked.pop(command.order_id, None)
            missed = command.order_id in self._missed
            if missed or (not answer.ok and isinstance(command, RouteOrder)):
                self._missed.discard(command.order_id)
                asyncio.get_running_loop().call_later(ASK_AGAIN_S, self._queue_again, command.order_id)
            return False
        return True

    def _queue_again(self, order_id: str) -> None:
        """Queue an order again whose terms or state changed while its command was in flight. A routed order stays routed."""
        self.executions.queue_again(order_id)
        self._work.set()

    def stats(self) -> dict[str, Any]:
        return {
            "queued": len(self.executions.queue),
            "deciding": len(self._asked),
            "working": len(self.executions.working),
            "sends": self.sends,
            "withheld": self.withheld,
            "epoch": self.ownership.epoch,
            "others": self.others,
            "held": self.held,
        }
