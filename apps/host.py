"""Drives the actors of one shard: decide, evolve at once in memory, put the events into the open commit, answer after the ack."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Final

import msgspec
import structlog

from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryOrderStore
from apps.bookkeeper import Bookkeeper
from apps.commits import GroupCommit, Outcome, Pace
from apps.watermark import Mark, verify_watermark
from domain import events as e
from domain.actor import Events, decide
from domain.commands import OrderCommand
from domain.order import Order
from domain.orders import Orders
from domain.ports import Clock, Fenced, Head, Journal, OrderStore, Unavailable
from domain.values import ZERO

log = structlog.get_logger()

RECOVER_PAUSE_S: Final = 0.25


class Landed(msgspec.Struct, frozen=True):
    """What one command came to, once it is on disk. No events: nothing had to change; `seq` is then the order's last commit."""

    order: Order | None
    events: Events
    seq: int
    cum_quantity: Decimal = ZERO
    notional: Decimal = ZERO


Then = Callable[[Landed | Unavailable], None]
"""Called once, after the ack or when the outcome is lost."""


class Host:
    """The one writer of a shard. `ready` while its memory equals the journal plus what is on the way to it."""

    def __init__(
        self, journal: Journal, clock: Clock, *, store: OrderStore | None = None, mark: Mark | None = None, shard: int = 0, pace: Pace
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._mark = mark
        self._shard = shard
        self._pace = pace
        self._commits: GroupCommit[e.OrderEvent] | None = None
        self.book = Bookkeeper(store or MemoryOrderStore())
        self.recoveries = 0
        self.on_landed: Callable[[Landed], None] = lambda landed: None
        self.on_append: Callable[[float, int], None] = lambda seconds, events: None
        self.on_ready: Callable[[bool], None] = lambda ready: None

    @property
    def orders(self) -> Orders:
        """The orders in memory, and the counts over all."""
        return self.book.orders

    def find(self, order_id: str) -> Order | None:
        """Any order there ever was. Unavailable."""
        return self.book.find(order_id)

    @property
    def ready(self) -> bool:
        return self._commits is not None and self._commits.trusted

    async def distrusted(self) -> str | None:
        """For the readiness: None while memory may be answered from."""
        return None if self.ready else "memory was not confirmed by the journal of late"

    @property
    def head(self) -> Head:
        return self._commits.head if self._commits else Head()

    async def run(self) -> None:
        """Recover, write, and when the memory can no longer be trusted, throw it away and begin again."""
        while True:
            try:
                self._commits = await self._recovered()
                self.on_ready(True)
                await self._write(self._commits)
            except (Fenced, Unavailable) as trouble:
                log.warning("the shard recovers from the journal", shard=self._shard, reason=str(trouble))
            self._commits = None
            self.on_ready(False)
            self.recoveries += 1
            await asyncio.sleep(RECOVER_PAUSE_S)

    async def _recovered(self) -> GroupCommit[e.OrderEvent]:
        """Memory as the journal has it. The journal's last commit is the fence that the next append must follow."""
        if self._mark is not None:
            await verify_watermark(self._journal, self._mark)
        head = await self.book.recover(self._journal)
        commits = GroupCommit(self._journal, ORDER_COMMITS, head, shard=self._shard, pace=self._pace)
        commits.on_append = self.on_append
        if self._mark is not None:
            self._mark.note(head)
            commits.on_head = self._mark.note
        await commits.confirm()
        return commits

    async def _write(self, commits: GroupCommit[e.OrderEvent]) -> None:
        """Commit, and save what was committed, until the journal says that somebody else writes or that it cannot tell."""
        saving = asyncio.create_task(self.book.run(lambda: (commits.head, commits.durable)))
        writing = asyncio.create_task(commits.run())
        try:
            await asyncio.wait([saving, writing], return_when=asyncio.FIRST_COMPLETED)
            for task in (saving, writing):
                if task.done():
                    task.result()
        finally:
            for task in (saving, writing):
                task.cancel()
            await asyncio.gather(saving, writing, return_exceptions=True)

    def execute(self, command: OrderCommand, then: Then) -> None:
        """Decide and evolve now; `then` follows the ack. Unavailable at once while the shard recovers, or when its memory may be old."""
        commits = self._commits
        if commits is None or not commits.trusted:
            then(Unavailable("the order journal is not available"))
            return
        try:
            order = self.book.find(command.order_id)
        except Unavailable as trouble:
            then(trouble)
            return
        events = decide(order, command, self._clock.now_ns())
        if events:
            order = self.book.apply(order, events)

        def landed(outcome: Outcome) -> None:
            self._landed(Landed(order, events, 0, cum, notional), outcome, then)

        cum, notional = (order.cum_quantity, order.notional) if order else (ZERO, ZERO)
        if events:
            ticket = commits.add(events, landed)
            if order is not None:
                order.commit = ticket
        elif order is None or order.commit <= commits.durable:
            landed(order.seqs[-1] if order else 0)
        else:
            commits.join(order.commit, landed)

    def _landed(self, came: Landed, outcome: Outcome, then: Then) -> None:
        if isinstance(outcome, Unavailable):
            then(outcome)
            return
        if came.events:
            self.book.landed(came.order, came.events, outcome)
        result = Landed(came.order, came.events, outcome, came.cum_quantity, came.notional)
        try:
            then(result)
        finally:
            if came.events:
                self.on_landed(result)

    async def perform(self, command: OrderCommand) -> Landed:
        """`execute` for code that can wait. Unavailable when the outcome is lost."""
        waiting: asyncio.Future[Landed] = asyncio.get_running_loop().create_future()

        def then(outcome: Landed | Unavailable) -> None:
            if waiting.done():
                return
            if isinstance(outcome, Unavailable):
                waiting.set_exception(outcome)
            else:
                waiting.set_result(outcome)

        self.execute(command, then)
        return await waiting

    async def settled(self, *orders: Order) -> None:
        """Until all that these orders show is on disk: nobody reads speculative state. Unavailable."""
        if self._commits is None:
            raise Unavailable("the order journal is not available")
        await self._commits.settled(max((order.commit for order in orders), default=0))
