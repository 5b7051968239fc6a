"""The risk call: orders gathered for a moment, one request for all of them, and no answer is a refusal."""

import asyncio
from functools import partial
from typing import Final, Protocol

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus, subjects
from adapters.codec import decoder, encode
from domain.instruments import Denial
from domain.order.commands import RiskReply, Terms
from domain.ports import Unavailable

log = structlog.get_logger()

BATCHES_OUT_MAX: Final = 2
"""Requests under way at once. While they are, orders gather here, where waiting does not eat the budget, and go as one larger request."""
SENDING_TURNS: Final = 2
GRACE_TURNS: Final = 6
"""Turns of the loop given to answers that have arrived but were not read yet, before the budget counts as spent."""

_DECISIONS: Final = decoder(tuple[RiskReply, ...])


class RiskClientBounds(msgspec.Struct, frozen=True):
    budget_s: float = 0.005
    wait_s: float = 0.0005
    batch_max: int = 32


class ProbeAnswer(msgspec.Struct):
    reason: str | None = None


class RiskCheck(Protocol):
    """How oms asks risk: RiskClient between processes, RiskBeside within one."""

    timeouts: int
    errors: int

    async def start(self) -> None: ...

    async def is_open(self, probe: Terms, timeout_s: float) -> bool:
        """Does risk decide? `probe` has no order id, so that it reserves nothing."""

    async def check(self, terms: Terms) -> RiskReply:
        """Risk's decision, or a denial `risk_timeout` or `risk_error` (fail closed); Unavailable when it cannot be asked."""


_PROBE_ANSWER: Final = decoder(ProbeAnswer)


class RiskClient:
    """Asks risk over NATS: a decision of risk, or a denial `risk_timeout` or `risk_error` (fail closed); Unavailable when we cannot ask."""

    def __init__(self, client: Client, bounds: RiskClientBounds) -> None:
        self._client = client
        self._bounds = bounds
        self._inbox = client.new_inbox()
        self._gathered: list[Terms] = []
        self._waiting: dict[str, asyncio.Future[RiskReply]] = {}
        self._batches: dict[str, list[str]] = {}
        self._number = 0
        self._company = False
        """Did the last question hold more than one order? Only then is it worth waiting for company to the next."""
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.timeouts = 0
        self.errors = 0

    async def start(self) -> None:
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_reply)

    async def is_open(self, probe: Terms, timeout_s: float) -> bool:
        try:
            reply = await bus.request(self._client, subjects.CHECK, encode(probe), timeout_s)
            told: ProbeAnswer = _PROBE_ANSWER.decode(reply)
        except (Unavailable, ValueError):
            return False
        return told.reason != "risk_error"

    async def check(self, terms: Terms) -> RiskReply:
        """One order's decision. The host sees to it that an order is asked about only once at a time."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[RiskReply] = loop.create_future()
        self._waiting[terms.order_id] = waiting
        self._gathered.append(terms)
        if len(self._gathered) >= self._bounds.batch_max or self._bounds.wait_s <= 0:
            self._flush()
        elif self._timer is None and len(self._batches) < BATCHES_OUT_MAX:
            self._timer = loop.call_later(self._bounds.wait_s if self._company else 0, self._flush)
        return await waiting

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if len(self._batches) >= BATCHES_OUT_MAX:
            return
        batch, self._gathered = self._gathered[: self._bounds.batch_max], self._gathered[self._bounds.batch_max :]
        if batch:
            self._number += 1
            self._company = len(batch) > 1
            token = str(self._number)
            self._batches[token] = [terms.order_id for terms in batch]
            task = asyncio.create_task(self._ask(token, batch))
            self._tasks.add(task)
            task.add_done_callback(partial(self._asked, token))

    def _asked(self, token: str, task: asyncio.Task[None]) -> None:
        """A question that failed in a way nobody thought of is an answer too: refused, and the next question may go."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and token in self._batches:
            self._deny(token, self._batches[token], "risk_error", f"risk could not be asked: {error!r}")

    async def _ask(self, token: str, batch: list[Terms]) -> None:
        ids = self._batches[token]
        try:
            await self._client.publish(subjects.CHECK, encode(batch), reply=f"{self._inbox}.{token}")
        except bus.WireError as error:
            self._unsent(token, Unavailable(f"risk cannot be asked: {str(error) or type(error).__name__}"))
            return
        for _ in range(SENDING_TURNS):
            await asyncio.sleep(0)  # the client writes from a task of its own: the budget is risk's, not our loop's
        await asyncio.sleep(self._bounds.budget_s)
        for _ in range(GRACE_TURNS):
            if token not in self._batches:
                return
            await asyncio.sleep(0)
        self._deny(token, ids, "risk_timeout", "")

    def _unsent(self, token: str, trouble: Unavailable) -> None:
        """We have no connection, and so no journal either: nobody is refused for ever over that."""
        for order_id in self._batches.pop(token):
            waiting = self._waiting.pop(order_id, None)
            if waiting is not None and not waiting.done():
                waiting.set_exception(trouble)
        if self._gathered:
            self._flush()

    async def _on_reply(self, message: Msg) -> None:
        """A late answer finds nobody waiting and is ignored; risk releases its reservation when it reads our rejection."""
        token = message.subject.rsplit(".", 1)[1]
        ids = self._batches.get(token)
        if ids is None:
            return
        if (message.headers or {}).get("Status") == "503":
            self._deny(token, ids, "risk_error", "risk is not there")
            return
        try:
            decisions = _DECISIONS.decode(message.data)
        except ValueError as error:
            self._deny(token, ids, "risk_error", f"unreadable answer: {error}")
            return
        asked = set(ids)
        for decision in decisions:
            if decision.order_id in asked:
                self._answer(decision)
        self._deny(token, ids, "risk_error", "no decision in the answer")

    def _answer(self, decision: RiskReply) -> None:
        waiting = self._waiting.pop(decision.order_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(decision)

    def _deny(self, token: str, ids: list[str], code: str, why: str) -> None:
        """Whoever of the batch still waits is refused. The batch is over, and the next one may go."""
        self._batches.pop(token, None)
        if self._gathered:
            self._flush()
        refused = [order_id for order_id in ids if order_id in self._waiting]
        if not refused:
            return
        if code == "risk_timeout":
            self.timeouts += len(refused)
        else:
            self.errors += len(refused)
        log.warning("risk did not answer", code=code, orders=len(refused), first=refused[0], why=why)
        for order_id in refused:
            self._answer(RiskReply(order_id=order_id, limits_version=0, denial=Denial(code)))
