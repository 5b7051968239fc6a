"""Drives the actors of one shard: decide, evolve at once in memory, put the events into the open commit, answer after the ack."""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from adapters.codec import ORDER_COMMITS
from apps.commits import GroupCommit, Outcome, Pace
from domain import events as e
from domain.actor import Events, decide
from domain.commands import OrderCommand
from domain.order import Order
from domain.orders import Orders, note
from domain.ports import Clock, Fenced, Head, Journal, Unavailable

log = structlog.get_logger()

RECOVER_PAUSE_S: Final = 0.25


class Landed(msgspec.Struct, frozen=True):
    """What one command came to, once it is on disk. No events: nothing had to change; `seq` is then the order's last commit."""

    order: Order | None
    events: Events
    seq: int
    cum_quantity: object = None


Then = Callable[[Landed | Unavailable], None]
"""Called once, after the ack or when the outcome is lost."""


class Host:
    """The one writer of a shard. `ready` while its memory equals the journal plus what is on the way to it."""

    def __init__(self, journal: Journal, clock: Clock, *, shard: int = 0, pace: Pace) -> None:
        self._journal = journal
        self._clock = clock
        self._shard = shard
        self._pace = pace
        self._commits: GroupCommit[e.OrderEvent] | None = None
        self.orders = Orders()
        self.recoveries = 0
        self.on_landed: Callable[[Landed], None] = lambda landed: None
        self.on_append: Callable[[float, int], None] = lambda seconds, events: None
        self.on_ready: Callable[[bool], None] = lambda ready: None

    @property
    def ready(self) -> bool:
        return self._commits is not None

    @property
    def head(self) -> Head:
        return self._commits.head if self._commits else Head()

    async def run(self) -> None:
        """Recover, write, and when the memory can no longer be trusted, throw it away and begin again."""
        while True:
            try:
                self._commits = await self._recovered()
                self.on_ready(True)
                await self._commits.run()
            except (Fenced, Unavailable) as trouble:
                log.warning("the shard recovers from the journal", shard=self._shard, reason=str(trouble))
            self._commits = None
            self.on_ready(False)
            self.orders = Orders()
            self.recoveries += 1
            await asyncio.sleep(RECOVER_PAUSE_S)

    async def _recovered(self) -> GroupCommit[e.OrderEvent]:
        """Memory as the journal has it. The journal's last commit is the fence that the next append must follow."""
        orders, head, last = Orders(), Head(), await self._journal.head()
        async for batch in self._journal.follow(head, until=last.seq):
            for recorded in batch:
                orders.replay(recorded.head.seq, ORDER_COMMITS.decode(recorded.payload).events)
            head = batch[-1].head
            await asyncio.sleep(0)
        self.orders = orders
        log.info("recovered from the journal", shard=self._shard, sequence=head.seq, orders=len(orders.by_id))
        commits = GroupCommit(self._journal, ORDER_COMMITS, head, shard=self._shard, pace=self._pace)
        commits.on_append = self.on_append
        return commits

    def execute(self, command: OrderCommand, then: Then) -> None:
        """Decide and evolve now; `then` follows the ack. Unavailable at once while the shard recovers."""
        commits = self._commits
        if commits is None:
            then(Unavailable("the order journal is not available"))
            return
        order = self.orders.by_id.get(command.order_id)
        events = decide(order, command, self._clock.now_ns())
        for event in events:
            order = self.orders.apply(event)

        def landed(outcome: Outcome) -> None:
            self._landed(order, events, cum, outcome, then)

        cum = order.cum_quantity if order else None
        if events:
            ticket = commits.add(events, landed)
            if order is not None:
                order.commit = ticket
        elif order is None or order.commit <= commits.durable:
            landed(order.seqs[-1] if order else 0)
        else:
            commits.join(order.commit, landed)

    def _landed(self, order: Order | None, events: Events, cum: object, outcome: Outcome, then: Then) -> None:
        if isinstance(outcome, Unavailable):
            then(outcome)
            return
        if order is not None and events:
            note(order, outcome)
        result = Landed(order, events, outcome, cum)
        try:
            then(result)
        finally:
            if events:
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

    def commits_of(self, order: Order) -> int:
        """In how many commits the order's facts are, the one that is not durable yet included."""
        pending = self._commits is not None and order.commit > self._commits.durable
        return len(order.seqs) + pending

    async def settled(self, *orders: Order) -> None:
        """Until all that these orders show is on disk: nobody reads speculative state. Unavailable."""
        if self._commits is None:
            raise Unavailable("the order journal is not available")
        await self._commits.settled(max((order.commit for order in orders), default=0))
