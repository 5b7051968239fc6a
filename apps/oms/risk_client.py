"""Risk requests: orders are batched for a moment, one request checks a batch, and a missing reply is a denial."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final, Protocol

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus, subjects
from adapters.codec import decoder, encode
from domain.instruments import Denial
from domain.order.commands import RiskDecision, Terms
from domain.ports import Unavailable

log = structlog.get_logger()

BATCHES_OUT_MAX: Final = 2
"""Requests in flight at once. Further orders wait here, where waiting does not use up the budget, and are sent as one larger request."""
SENDING_TURNS: Final = 2
GRACE_TURNS: Final = 6
"""Turns of the event loop given to replies that have arrived but were not read yet, before the budget counts as spent."""

LIST_BUDGETS: Final = 10
"""A list gets this many times the budget of an order: it has up to 50 of them, and the reply of one order may wait behind it."""

_DECISIONS: Final = decoder(tuple[RiskDecision, ...])


class RiskClientBounds(msgspec.Struct, frozen=True):
    budget_s: float = 0.005
    wait_s: float = 0.0005
    batch_max: int = 32


class ProbeAnswer(msgspec.Struct):
    reason: str | None = None


class RiskCheck(Protocol):
    """The risk check that oms uses: RiskClient between processes, RiskInProcess within one."""

    timeouts: int
    errors: int

    async def start(self) -> None: ...

    async def is_open(self, probe: Terms, timeout_s: float) -> bool:
        """Return whether risk decides. `probe` has no order id, so it reserves nothing."""

    async def check(self, terms: Terms) -> RiskDecision:
        """Return risk's decision, or a denial `risk_timeout` or `risk_error` (fail closed). Unavailable when the request cannot be sent."""

    async def check_list(self, legs: Sequence[Terms]) -> Sequence[RiskDecision]:
        """Return one decision for each order of a list, decided together. It fails closed like `check`."""


_PROBE_ANSWER: Final = decoder(ProbeAnswer)


class RiskClient:
    """Requests decisions over NATS. A missing reply is a denial `risk_timeout` or `risk_error` (fail closed).

    Raises Unavailable when the request cannot be sent.
    """

    def __init__(self, client: Client, bounds: RiskClientBounds) -> None:
        self._client = client
        self._bounds = bounds
        self._inbox = client.new_inbox()
        self._gathered: list[Terms] = []
        self._waiting: dict[str, asyncio.Future[RiskDecision]] = {}
        self._batches: dict[str, list[str]] = {}
        self._number = 0
        self._batching = False
        """Whether the last request held more than one order. Only then does the next one wait for more orders."""
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.timeouts = 0
        self.errors = 0

    async def start(self) -> None:
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_reply)

    async def is_open(self, probe: Terms, timeout_s: float) -> bool:
        try:
            reply = await bus.request(self._client, subjects.CHECK, encode(probe), timeout_s)
            answer: ProbeAnswer = _PROBE_ANSWER.decode(reply)
        except (Unavailable, ValueError):
            return False
        return answer.reason != "risk_error"

    async def check(self, terms: Terms) -> RiskDecision:
        """Return the decision on one order. The callers ensure that an order has only one check in flight."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[RiskDecision] = loop.create_future()
        self._waiting[terms.order_id] = waiting
        self._gathered.append(terms)
        if len(self._gathered) >= self._bounds.batch_max or self._bounds.wait_s <= 0:
            self._flush()
        elif self._timer is None and len(self._batches) < BATCHES_OUT_MAX:
            self._timer = loop.call_later(self._bounds.wait_s if self._batching else 0, self._flush)
        return await waiting

    async def check_list(self, legs: Sequence[Terms]) -> Sequence[RiskDecision]:
        """Ask about the orders of a list in one request of its own. Lists are rare, so they are not batched."""
        budget_s = self._bounds.budget_s * LIST_BUDGETS
        try:
            reply = await bus.request(self._client, subjects.CHECK, encode({"list": list(legs)}), budget_s)
            found: Sequence[RiskDecision] = _DECISIONS.decode(reply)
        except Unavailable as trouble:
            self.timeouts += 1
            log.warning("risk did not answer", code="risk_timeout", orders=len(legs), first=legs[0].order_id, why=str(trouble))
            return [RiskDecision(order_id=terms.order_id, limits_version=0, denial=Denial("risk_timeout")) for terms in legs]
        except ValueError as error:
            found = ()
            log.warning("risk did not answer", code="risk_error", orders=len(legs), first=legs[0].order_id, why=str(error))
        if [decision.order_id for decision in found] == [terms.order_id for terms in legs]:
            return found
        self.errors += 1
        return [RiskDecision(order_id=terms.order_id, limits_version=0, denial=Denial("risk_error")) for terms in legs]

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if len(self._batches) >= BATCHES_OUT_MAX:
            return
        batch, self._gathered = self._gathered[: self._bounds.batch_max], self._gathered[self._bounds.batch_max :]
        if batch:
            self._number += 1
            self._batching = len(batch) > 1
            token = str(self._number)
            self._batches[token] = [terms.order_id for terms in batch]
            task = asyncio.create_task(self._ask(token, batch))
            self._tasks.add(task)
            task.add_done_callback(partial(self._asked, token))

    def _asked(self, token: str, task: asyncio.Task[None]) -> None:
        """Deny the batch of a request that failed unexpectedly, so that the next request can be sent."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and token in self._batches:
            self._deny(token, self._batches[token], "risk_error", f"risk request failed: {error!r}")

    async def _ask(self, token: str, batch: list[Terms]) -> None:
        ids = self._batches[token]
        try:
            await self._client.publish(subjects.CHECK, encode(batch), reply=f"{self._inbox}.{token}")
        except bus.WireError as error:
            self._unsent(token, Unavailable(f"the risk request cannot be sent: {str(error) or type(error).__name__}"))
            return
        for _ in range(SENDING_TURNS):
            await asyncio.sleep(0)  # the NATS client writes from its own task: the budget starts once the request was written
        await asyncio.sleep(self._bounds.budget_s)
        for _ in range(GRACE_TURNS):
            if token not in self._batches:
                return
            await asyncio.sleep(0)
        self._deny(token, ids, "risk_timeout", "")

    def _unsent(self, token: str, trouble: Unavailable) -> None:
        """Raise `trouble` for each order of the batch. Without a connection the journal is unavailable too, so no order is denied."""
        for order_id in self._batches.pop(token):
            waiting = self._waiting.pop(order_id, None)
            if waiting is not None and not waiting.done():
                waiting.set_exception(trouble)
        if self._gathered:
            self._flush()

    async def _on_reply(self, message: Msg) -> None:
        """Match a reply to its batch. A late reply is ignored; risk releases its reservation when it reads the rejection."""
        token = message.subject.rsplit(".", 1)[1]
        ids = self._batches.get(token)
        if ids is None:
            return
        if (message.headers or {}).get("Status") == "503":
            self._deny(token, ids, "risk_error", "risk is not available")
            return
        try:
            decisions = _DECISIONS.decode(message.data)
        except ValueError as error:
            self._deny(token, ids, "risk_error", f"unreadable reply: {error}")
            return
        asked = set(ids)
        for decision in decisions:
            if decision.order_id in asked:
                self._answer(decision)
        self._deny(token, ids, "risk_error", "no decision in the reply")

    def _answer(self, decision: RiskDecision) -> None:
        waiting = self._waiting.pop(decision.order_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(decision)

    def _deny(self, token: str, ids: list[str], code: str, why: str) -> None:
        """Deny the orders of the batch that still wait, and send the next batch."""
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
            self._answer(RiskDecision(order_id=order_id, limits_version=0, denial=Denial(code)))
