"""Commands to parents at the writer of a shard: decided and applied now, answered after the ack."""

import asyncio
from collections.abc import Callable, Sequence

from apps.journal.algo_reactions import AlgoReactions
from apps.journal.group_commit import GroupCommit, Outcome
from apps.journal.list_reactions import Landed, add_together
from apps.journal.order_repository import OrderRepository
from domain.groups.parent import AlgoRefused
from domain.order.algo import Parent
from domain.order.commands import AlgoCommand
from domain.order.events import OrderEvent
from domain.ports import Unavailable

Then = Callable[[Parent | AlgoRefused | Unavailable], None]
"""Called once, with the parent after the ack. A refusal is not recorded."""


class ParentCommands:
    """The part of a shard's host that serves parents. It shares the open commit with orders."""

    def __init__(
        self,
        book: OrderRepository,
        algos: AlgoReactions,
        commits: Callable[[], GroupCommit[OrderEvent] | None],
        landed: Callable[[Sequence[Landed], Outcome], None],
        trouble: Callable[[], Unavailable],
    ) -> None:
        """`commits`: the open commit; None while the shard recovers. `landed`: notes results whose commit has an outcome.

        `trouble`: the reason for refusing requests while the shard is not ready.
        """
        self._book = book
        self._algos = algos
        self._commits = commits
        self._landed = landed
        self._trouble = trouble

    @property
    def failures(self) -> int:
        """How often the rules of a parent failed with an error."""
        return self._algos.failures

    def execute(self, command: AlgoCommand, then: Then) -> None:
        """Decide and apply now; call `then` after the ack. Unavailable at once while memory may be stale."""
        commits = self._commits()
        if commits is None or not commits.trusted:
            then(self._trouble())
            return
        try:
            parent = self._book.parents.find(command.order_id)
            made, refused = self._algos.perform(parent, command)
        except Unavailable as trouble:
            then(trouble)
            return
        parent = self._book.parents.by_id.get(command.order_id, parent)
        assert parent is not None, "a command is for a parent, or makes one"
        answer = refused or parent

        def landed(outcome: Outcome) -> None:
            self._landed(made, outcome)
            then(outcome if isinstance(outcome, Unavailable) else answer)

        if made:
            parent.commit = add_together(commits, (), made, landed)
        elif parent.commit <= commits.durable:
            commits.when_proven(parent.seen, landed)
        else:
            commits.join(parent.commit, landed)

    async def perform(self, command: AlgoCommand) -> Parent | AlgoRefused:
        """Call `execute` and wait for the outcome. Unavailable if it is lost."""
        waiting: asyncio.Future[Parent | AlgoRefused] = asyncio.get_running_loop().create_future()

        def then(outcome: Parent | AlgoRefused | Unavailable) -> None:
            if waiting.done():
                return
            if isinstance(outcome, Unavailable):
                waiting.set_exception(outcome)
            else:
                waiting.set_result(outcome)

        self.execute(command, then)
        return await waiting

    async def settled(self, *parents: Parent) -> None:
        """Wait until everything these parents show is on disk. Unavailable."""
        commits = self._commits()
        if commits is None:
            raise self._trouble()
        await commits.settled(max((parent.commit for parent in parents), default=0))
        await commits.prove()

    def look_at(self, parent: Parent) -> int:
        """Apply the rules of a parent without an event: a refused cancel is repeated. Return how many changes followed. Unavailable."""
        commits = self._commits()
        if commits is None or not commits.trusted:
            return 0
        made = self._algos.look_at(parent)
        if made:
            parent.commit = add_together(commits, (), made, lambda outcome: self._landed(made, outcome))
        return len(made)
