"""The host of one shard: decide, evolve at once in memory, put the events into the open commit, answer after the ack."""

import asyncio
from collections.abc import Callable, Sequence, Set
from itertools import chain
from typing import Final

import structlog

from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryOrderStore
from apps.journal.algo_reactions import BOUNDS, AlgoBounds, AlgoReactions
from apps.journal.commit_feed import CommitFeed
from apps.journal.event_time import EventClock
from apps.journal.group_commit import GroupCommit, Outcome, Pace
from apps.journal.list_reactions import UNRULED, ListReactions, add_together, result_of, waiting_for
from apps.journal.order_repository import TRADES, OrderRepository
from apps.journal.outcomes import CommandRefused as CommandRefused
from apps.journal.outcomes import IdTaken as IdTaken
from apps.journal.outcomes import Landed as Landed
from apps.journal.outcomes import Taken, Then
from apps.journal.parent_commands import ParentCommands
from apps.journal.repetition import RepetitionFilter
from apps.journal.watermark import Mark, verify_watermark, watch_foreign
from domain.execution.owner import UNIT, owner_of
from domain.groups.contingency import Rules
from domain.order import events as e
from domain.order.algo import CHILD
from domain.order.commands import DoubtRoute, ExeqCommand, OrderCommand, RecordList, SubmitOrder, TakeShard, TriggerOrder
from domain.order.decider import Events, decide
from domain.order.holdings import Key
from domain.order.index import Orders
from domain.order.order import Order
from domain.order.reduce_only import beyond, give_way
from domain.ports import Clock, Fenced, Head, Journal, OrderStore, Unavailable
from domain.shards import ONE_SHARD, Shards
from domain.values import ZERO

log = structlog.get_logger()

RECOVER_PAUSE_S: Final = 0.25
REDUCING: Final = (*TRADES, e.OrderQueued, e.RouteAcknowledged, e.OrderReplaced, e.ReplaceRejected)
"""Events of a reduce-only order after which it is checked against its position. Not a refused cancel, which would be repeated at once."""
REDUCED_MAX: Final = 1000
"""Orders that one commit cuts or cancels because a position moved; any others follow a little later."""


class ShardHost:
    """The only writer of a shard. `ready` while its memory equals the journal plus the commits in flight."""

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
        feed: CommitFeed | None = None,
        negative_prices: Set[str] = frozenset(),
        rules: Rules = UNRULED,
        shards: Shards = ONE_SHARD,
        bounds: AlgoBounds = BOUNDS,
    ) -> None:
        """`replicas` of the journal: with several, memory is answered from only behind an acknowledged append.

        `rules`: what the rules of lists depend on. `bounds`: of parents.
        `feed` receives every durable commit, for readers in this process. `negative_prices`: symbols that may trade at zero and below.
        """
        self._feed = feed
        self._negative_prices = negative_prices
        self._replicas = replicas
        self.journal = journal
        self._mark = mark
        self.shard = shard
        self.shards = shards
        self._pace = pace
        self._commits: GroupCommit[e.OrderEvent] | None = None
        self._repeats = RepetitionFilter()
        self.stamps = EventClock(clock)
        self.book = OrderRepository(store or MemoryOrderStore(), shards)
        self._lists = ListReactions(self.book, self.stamps, lambda: self._repeats, negative_prices, rules)
        self._algos = AlgoReactions(self.book, self.stamps, lambda: self._repeats, negative_prices, bounds)
        self.parents = ParentCommands(self.book, self._algos, lambda: self._commits, self._all_landed, lambda: self.trouble)
        self._taking = False
        self._kind: Callable[..., GroupCommit[e.OrderEvent]] = GroupCommit
        self.recoveries = 0
        self.on_landed: Callable[[Landed], None] = lambda landed: None
        self.on_unrecorded: Callable[[Events], None] = lambda events: None
        self.on_append: Callable[[float, int], None] = lambda seconds, events: None
        self.on_ready: Callable[[bool], None] = lambda ready: None

    @property
    def all(self) -> "Sequence[ShardHost]":
        """This host alone. With `of` and `of_id`, one host serves where ShardHosts may serve."""
        return (self,)

    def of(self, account: str) -> "ShardHost":
        return self

    def of_id(self, id_: str) -> "ShardHost":
        return self

    def has(self, order_id: str) -> bool:
        """Return whether an order with this id is in this shard if there is one."""
        return (self.shards.of_id(order_id) or 0) == self.shard

    @property
    def orders(self) -> Orders:
        """The orders in memory, and the counts of all orders."""
        return self.book.orders

    def find(self, order_id: str) -> Order | None:
        """Return any order, open or closed. Unavailable."""
        return self.book.find(order_id)

    @property
    def list_failures(self) -> int:
        """How often the rules of a list failed with an error."""
        return self._lists.failures

    @property
    def ready(self) -> bool:
        return self._commits is not None and self._commits.trusted

    @property
    def trouble(self) -> Unavailable:
        """The reason for refusing requests while the shard is not ready."""
        return Unavailable("the order journal is not available")

    @property
    def standby(self) -> bool:
        """Whether another unit has the shard, or may take it. This one then answers nothing."""
        return False

    async def distrusted(self) -> str | None:
        """Return why the shard is not ready; None while it may answer from memory."""
        return None if self.ready else "the journal has not confirmed memory recently"

    @property
    def head(self) -> Head:
        return self._commits.head if self._commits else Head()

    async def run(self) -> None:
        """Recover and write; when memory can no longer be trusted, discard it and recover again."""
        while True:
            try:
                self._commits = await self._recovered()
                self.on_ready(True)
                await self._write(self._commits)
            except (Fenced, Unavailable) as trouble:
                log.warning("the shard recovers from the journal", shard=self.shard, reason=str(trouble))
            self._commits, self._taking = None, False
            if self._feed is not None:
                self._feed.end()
            self.on_ready(False)
            self.recoveries += 1
            await asyncio.sleep(RECOVER_PAUSE_S)

    async def _recovered(self) -> GroupCommit[e.OrderEvent]:
        """Rebuild memory from the journal. The journal's last commit is the fence that the next append must follow."""
        head = await self._read()
        self.stamps.heard((self.book.latest,))
        self._repeats = RepetitionFilter()
        held = self._held if self._replicas > 1 else None
        commits = self._kind(self.journal, ORDER_COMMITS, head, shard=self.shard, pace=self._pace, held=held)
        commits.on_append = self.on_append
        if self._mark is not None:
            self._mark.note(head)
            commits.on_head = self._mark.note
        await commits.confirm()
        if self._feed is not None:
            self._feed.begin(head)
            commits.on_commit = self._feed.put
        return commits

    async def _read(self) -> Head:
        """Read the journal to its end into the book. Return the head that the next append must follow."""
        if self._mark is not None:
            await verify_watermark(self.journal, self._mark)
        return await self.book.recover(self.journal)

    def _held(self) -> e.OrderEvent:
        return e.ShardHeld(at=self.stamps.now(), unit=UNIT)

    async def _write(self, commits: GroupCommit[e.OrderEvent]) -> None:
        """Commit and save until the journal shows another writer (Fenced) or does not answer (Unavailable)."""
        saving = asyncio.create_task(self.book.run(lambda: (commits.head, commits.durable)))
        writing = asyncio.create_task(commits.run())
        watching = asyncio.create_task(watch_foreign(self.journal, lambda: commits.head, self._mark.name if self._mark else "the journal"))
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
        """Decide and evolve now; call `then` after the ack. Unavailable at once while the shard recovers or its memory may be stale."""
        commits = self._commits
        if commits is None or not commits.trusted:
            then(self.trouble)
            return
        try:
            order, members, parent = self.book.find(command.order_id), None, None
            if order is not None and order.group_id:
                if order.role == CHILD:
                    parent = self.book.parents.find(order.group_id)
                else:
                    members = self._lists.members(order)
        except Unavailable as trouble:
            then(trouble)
            return
        if members is not None and type(command) is TriggerOrder and order is not None:
            command = waiting_for(members, order, command)
        events = decide(order, command, self.stamps.now(order.updated_at if order else 0), self._negative_prices)
        facts = self._repeats.facts(events)
        reactions: Sequence[Landed] = ()
        if facts:
            order = self.book.apply(order, facts)
        elif events:
            self.on_unrecorded(events)

        def landed(outcome: Outcome) -> None:
            try:
                self._landed(Landed(order, facts or events, 0, cum, notional), bool(facts), outcome, then)
            finally:
                self._all_landed(reactions, outcome)

        cum, notional = (order.cum_quantity, order.notional) if order else (ZERO, ZERO)
        if facts:
            if members is not None:
                reactions = self._lists.follow(members, facts)
            elif parent is not None and order is not None:
                reactions = self._algos.child_moved(parent, order, facts)
            if order is not None and self.book.orders.reducing:
                reactions = [*reactions, *self._reactions(order, facts)]
            ticket = add_together(commits, facts, reactions, landed)
            if order is not None:
                order.commit = ticket
            if parent is not None:
                parent.commit = ticket
        elif order is None or order.commit <= commits.durable:
            commits.when_proven(order.seqs[-1] if order else 0, landed)
        else:
            commits.join(order.commit, landed)

    def reduce(self, key: Key) -> int:
        """Cut or cancel orders beyond their position now, as a commit that moves the position does. Return how many are affected."""
        commits = self._commits
        if commits is None or not commits.trusted:
            return 0
        reactions = self._reduced(key, ())
        if reactions:
            add_together(commits, (), reactions, lambda outcome: self._all_landed(reactions, outcome))
        return len(reactions)

    def submit_list(self, legs: Sequence[SubmitOrder], record: RecordList, then: Callable[[Landed | IdTaken | Unavailable], None]) -> None:
        """Record a list and its orders in one commit; call `then` with its lead after the ack."""
        commits = self._commits
        if commits is None or not commits.trusted:
            then(self.trouble)
            return
        try:
            known = next((order for leg in legs if (order := self.book.find(leg.order_id)) is not None), None)
        except Unavailable as trouble:
            then(trouble)
            return
        if known is not None:
            then(IdTaken(known))
            return
        made = self._lists.submit(legs, record)

        def landed(outcome: Outcome) -> None:
            self._all_landed(made, outcome)
            then(outcome if isinstance(outcome, Unavailable) else Landed(made[-1].order, (), outcome))

        add_together(commits, (), made, landed)

    def look_at(self, group_id: str) -> int:
        """Apply the rules of a list without an event: a refused request is repeated. Return how many orders changed. Unavailable."""
        commits = self._commits
        if commits is None or not commits.trusted:
            return 0
        reactions = self._lists.follow(self.book.members(group_id), ())
        if reactions:
            add_together(commits, (), reactions, lambda outcome: self._all_landed(reactions, outcome))
        return len(reactions)

    def _reactions(self, order: Order, facts: Events) -> Sequence[Landed]:
        """Return what these events mean for open reduce-only orders; it goes into the same commit, so that nothing can come between."""
        moves = REDUCING if order.reduce_only else TRADES
        if not any(isinstance(fact, moves) for fact in facts):
            return ()
        refused = (order,) if any(type(fact) is e.ReplaceRejected for fact in facts) else ()
        return self._reduced((order.account, order.symbol), refused)

    def _reduced(self, key: Key, refused: Sequence[Order]) -> Sequence[Landed]:
        """Decide and evolve cuts of orders beyond their position. Orders whose venue `refused` other terms are cancelled."""
        found: list[Landed] = []
        resting = self.book.orders.reducing.get(key, {})
        for order, left in beyond(resting.values(), self.book.holdings.of(key))[:REDUCED_MAX]:
            command = give_way(order, left, replaceable=order not in refused)
            if command is None:
                continue
            facts = self._repeats.facts(decide(order, command, self.stamps.now(order.updated_at), self._negative_prices))
            if facts:
                self.book.apply(order, facts)
                found.append(result_of(order, facts))
        followed = [self._lists.follow_reduced(cut.order, cut.events) for cut in found if cut.order is not None and cut.order.group_id]
        return [*found, *chain.from_iterable(followed)]

    def _all_landed(self, reactions: Sequence[Landed], outcome: Outcome) -> None:
        for each in reactions:
            self._landed(each, recorded=True, outcome=outcome, then=_nothing)

    def take(self, command: TakeShard, then: Taken) -> None:
        """Record that an exeq takes over the sending, if the epoch is still the expected one. Call `then` after the ack."""
        commits, owner = self._commits, self.book.owner
        if commits is None or not commits.trusted or self._taking:
            then(Unavailable("the order journal is not available"))
            return
        if command.before != owner.epoch:
            then(CommandRefused(owner))
            return
        event = e.ShardTaken(at=self.stamps.now(), unit=command.unit, sender=command.sender, before=command.before, met=command.met)

        def landed(outcome: Outcome) -> None:
            if isinstance(outcome, Unavailable):
                then(outcome)
                return
            self._taking, self.book.owner = False, owner_of(event, commits.head.n)
            log.info("the shard was taken", shard=self.shard, unit=event.unit, sender=event.sender, epoch=self.book.owner.epoch)
            then(Landed(None, (event,), outcome))

        self._taking = True
        commits.add((event,), landed)

    def is_stale(self, command: ExeqCommand) -> bool:
        """Return whether the command is from an exeq that does not own the shard now. Reconciliation sends DoubtRoute without an epoch."""
        if isinstance(command, DoubtRoute) and not command.epoch:
            return False
        return self._taking or command.epoch != self.book.owner.epoch

    def _landed(self, came: Landed, recorded: bool, outcome: Outcome, then: Then) -> None:
        if isinstance(outcome, Unavailable):
            then(outcome)
            return
        if recorded and came.parent is not None:
            self.book.parents.landed(came.parent, outcome, own=True)
        elif recorded:
            self.book.landed(came.order, came.events, outcome)
        result = Landed(came.order, came.events, outcome, came.cum_quantity, came.notional, came.parent)
        try:
            then(result)
        finally:
            if recorded:
                self.on_landed(result)

    async def perform(self, command: OrderCommand) -> Landed:
        """Call `execute` and wait for the outcome. Unavailable if it is lost."""
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
        """Wait until everything these orders show is on disk, so that no reader sees speculative state. Unavailable."""
        if self._commits is None or self.standby:
            raise self.trouble
        commits = self._commits
        await commits.settled(max((order.commit for order in orders), default=0))
        await commits.prove()

    async def proven(self) -> None:
        """Wait until memory as of now, also as to absent orders, is confirmed by the journal. Unavailable."""
        await self.settled()


def _nothing(outcome: Landed | Unavailable) -> None:
    """Do nothing: no client waits for a reaction. If its commit is lost, it is decided again after the next one."""
