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
from apps.repeats import Repeats
from apps.stamps import Stamps
from apps.watermark import Mark, verify_watermark, watch_foreign
from domain import events as e
from domain.actor import Events, decide
from domain.commands import DoubtRoute, ExeqCommand, OrderCommand, TakeShard
from domain.order import Order
from domain.orders import Orders
from domain.owner import UNIT, Owner, owner_of
from domain.ports import Clock, Fenced, Head, Journal, OrderStore, Unavailable
from domain.values import ZERO

log = structlog.get_logger()

RECOVER_PAUSE_S: Final = 0.25


class Landed(msgspec.Struct, frozen=True):
    """What one command came to, once it is on disk. No facts among the events: nothing changed; `seq` is then the order's last commit.

    A refusal is for who asked: it is among the events, and in no journal.
    """

    order: Order | None
    events: Events
    seq: int
    cum_quantity: Decimal = ZERO
    notional: Decimal = ZERO


class Refused(msgspec.Struct, frozen=True):
    """The shard was not taken: `owner` has it, under another epoch than the request expected."""

    owner: Owner


Taken = Callable[[Landed | Refused | Unavailable], None]
Then = Callable[[Landed | Unavailable], None]
"""Called once, after the ack or when the outcome is lost."""


class Host:
    """The one writer of a shard. `ready` while its memory equals the journal plus what is on the way to it."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        *,
        store: OrderStore | None = None,
        mark: Mark | None = None,
        shard: int = 0,
        pace: Pace,
        replicas: int = 1,
    ) -> None:
        """`replicas` of the journal: with several, memory is answered from only behind an acknowledged append."""
        self._replicas = replicas
        self._journal = journal
        self._mark = mark
        self._shard = shard
        self._pace = pace
        self._commits: GroupCommit[e.OrderEvent] | None = None
        self._repeats = Repeats()
        self.stamps = Stamps(clock)
        self.book = Bookkeeper(store or MemoryOrderStore())
        self._taking = False
        self.recoveries = 0
        self.on_landed: Callable[[Landed], None] = lambda landed: None
        self.on_unrecorded: Callable[[Events], None] = lambda events: None
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
            self._commits, self._taking = None, False
            self.on_ready(False)
            self.recoveries += 1
            await asyncio.sleep(RECOVER_PAUSE_S)

    async def _recovered(self) -> GroupCommit[e.OrderEvent]:
        """Memory as the journal has it. The journal's last commit is the fence that the next append must follow."""
        if self._mark is not None:
            await verify_watermark(self._journal, self._mark)
        head = await self.book.recover(self._journal)
        self.stamps.heard((self.book.latest,))
        self._repeats = Repeats()
        held = self._held if self._replicas > 1 else None
        commits = GroupCommit(self._journal, ORDER_COMMITS, head, shard=self._shard, pace=self._pace, held=held)
        commits.on_append = self.on_append
        if self._mark is not None:
            self._mark.note(head)
            commits.on_head = self._mark.note
        await commits.confirm()
        return commits

    def _held(self) -> e.OrderEvent:
        return e.ShardHeld(at=self.stamps.now(), unit=UNIT)

    async def _write(self, commits: GroupCommit[e.OrderEvent]) -> None:
        """Commit, and save what was committed, until the journal says that somebody else writes or that it cannot tell."""
        saving = asyncio.create_task(self.book.run(lambda: (commits.head, commits.durable)))
        writing = asyncio.create_task(commits.run())
        watching = asyncio.create_task(watch_foreign(self._journal, lambda: commits.head, self._mark.name if self._mark else "the journal"))
        tasks = (saving, writing, watching)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

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
        events = decide(order, command, self.stamps.now(order.updated_at if order else 0))
        facts = self._repeats.facts(events)
        if facts:
            order = self.book.apply(order, facts)
        elif events:
            self.on_unrecorded(events)

        def landed(outcome: Outcome) -> None:
            self._landed(Landed(order, facts or events, 0, cum, notional), bool(facts), outcome, then)

        cum, notional = (order.cum_quantity, order.notional) if order else (ZERO, ZERO)
        if facts:
            ticket = commits.add(facts, landed)
            if order is not None:
                order.commit = ticket
        elif order is None or order.commit <= commits.durable:
            commits.when_proven(order.seqs[-1] if order else 0, landed)
        else:
            commits.join(order.commit, landed)

    def take(self, command: TakeShard, then: Taken) -> None:
        """Record that an exeq takes over the sending, if nobody has since the epoch that it expects. `then` follows the ack."""
        commits, owner = self._commits, self.book.owner
        if commits is None or not commits.trusted or self._taking:
            then(Unavailable("the order journal is not available"))
            return
        if command.before != owner.epoch:
            then(Refused(owner))
            return
        event = e.ShardTaken(at=self.stamps.now(), unit=command.unit, sender=command.sender, before=command.before, met=command.met)

        def landed(outcome: Outcome) -> None:
            if isinstance(outcome, Unavailable):
                then(outcome)
                return
            self._taking, self.book.owner = False, owner_of(event, commits.head.n)
            log.info("the shard was taken", shard=self._shard, unit=event.unit, sender=event.sender, epoch=self.book.owner.epoch)
            then(Landed(None, (event,), outcome))

        self._taking = True
        commits.add((event,), landed)

    def is_stale(self, command: ExeqCommand) -> bool:
        """Does it come from an exeq that is not the shard's owner, or not any more? A doubt without an epoch is a comparison's."""
        if isinstance(command, DoubtRoute) and not command.epoch:
            return False
        return self._taking or command.epoch != self.book.owner.epoch

    def _landed(self, came: Landed, recorded: bool, outcome: Outcome, then: Then) -> None:
        if isinstance(outcome, Unavailable):
            then(outcome)
            return
        if recorded:
            self.book.landed(came.order, came.events, outcome)
        result = Landed(came.order, came.events, outcome, came.cum_quantity, came.notional)
        try:
            then(result)
        finally:
            if recorded:
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
        commits = self._commits
        await commits.settled(max((order.commit for order in orders), default=0))
        await commits.prove()

    async def proven(self) -> None:
        """Until what memory says now, also of what is not there, is known to be the truth. Unavailable."""
        await self.settled()
