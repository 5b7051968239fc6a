"""The parents of a shard: one command or one event of a child, and everything that follows, decided and applied in one step."""

from collections.abc import Callable, Iterable, Sequence, Set
from typing import Final

import msgspec
import structlog

from apps.journal.event_time import EventClock
from apps.journal.list_reactions import Landed, result_of
from apps.journal.order_repository import OrderRepository
from apps.journal.repetition import RepetitionFilter
from domain.groups.parent import AlgoRefused, Decided, child_terms, decide, follows, unwanted
from domain.order import events as e
from domain.order.algo import Parent
from domain.order.algo_commands import SpawnChild
from domain.order.commands import AlgoCommand, OrderCommand
from domain.order.decider import Events
from domain.order.decider import decide as decide_order
from domain.order.order import Order
from domain.ports import Unavailable

log = structlog.get_logger()

STEPS_MAX: Final = 16
"""How often the rules of a parent are applied after one event."""
ID_TAKEN: Final = "client_order_id_reused"


class AlgoBounds(msgspec.Struct, frozen=True):
    """`slices_max`: of one parent. `refusals_max`: children refused one after another before their parent is paused."""

    slices_max: int = 10_000
    refusals_max: int = 5


BOUNDS: Final = AlgoBounds()


class AlgoReactions:
    """Decides and evolves what commands and events mean for parents. The caller puts all of it into one commit."""

    def __init__(
        self,
        book: OrderRepository,
        stamps: EventClock,
        repeats: Callable[[], RepetitionFilter],
        negative_prices: Set[str],
        bounds: AlgoBounds,
    ) -> None:
        """`repeats`: the filter of the current recovery."""
        self._book = book
        self._stamps = stamps
        self._repeats = repeats
        self._negative_prices = negative_prices
        self._bounds = bounds
        self.failures = 0

    def perform(self, parent: Parent | None, command: AlgoCommand) -> tuple[Sequence[Landed], AlgoRefused | None]:
        """Decide and apply a command and what follows from it; return the results, or the refusal. Unavailable, with nothing applied.

        Without results the command was a repeated one.
        """
        if isinstance(command, SpawnChild) and parent is not None and command.n > parent.slices:
            terms = child_terms(parent, command, self._book.shards)
            if terms is not None and self._book.find(terms.order_id) is not None:
                return (), AlgoRefused(ID_TAKEN, parent.state)
        children = self._children(parent)
        decided = decide(parent, command, self._now(parent), slices_max=self._bounds.slices_max, shards=self._book.shards)
        if decided.refused is not None or not decided.events:
            return (), decided.refused
        found: list[Landed] = []
        parent = self._applied(parent, decided, children, found)
        self._follow(parent, children, (), found)
        return found, None

    def child_moved(self, parent: Parent, child: Order, facts: Events) -> Sequence[Landed]:
        """Apply the events of a child, which it has already, to its parent; return what follows. Never raises: they have happened."""
        self._book.parents.child_changed(parent, facts)
        try:
            children = self._children(parent)
        except Unavailable as trouble:
            log.warning("a parent's children cannot be read", algo_id=parent.algo_id, reason=str(trouble))
            children = {}
        children[child.order_id] = child
        found: list[Landed] = []
        self._follow(parent, children, [fact.order_id for fact in facts if type(fact) is e.CancelRejected], found)
        return found

    def look_at(self, parent: Parent) -> Sequence[Landed]:
        """Apply the rules of a parent without an event: a refused cancel is repeated. Unavailable."""
        found: list[Landed] = []
        self._follow(parent, self._children(parent), (), found)
        return found

    def _children(self, parent: Parent | None) -> dict[str, Order]:
        """Return the open children. Unavailable."""
        found = {} if parent is None else {child.order_id: self._book.find(child.order_id) for child in parent.open_children}
        return {order_id: order for order_id, order in found.items() if order is not None}

    def _follow(self, parent: Parent, children: dict[str, Order], refused: Iterable[str], found: list[Landed]) -> None:
        """Apply the rules until nothing follows. Never raises: what was applied so far has to be in the journal.

        If the rules fail with an error, a cancel may be missing. The parent is looked at again later.
        """
        try:
            self._followed(parent, children, set(refused), found)
        except Exception:  # a bug of the rules may not cost memory its agreement with the journal
            self.failures += 1
            log.exception("the rules of a parent failed", algo_id=parent.algo_id)

    def _followed(self, parent: Parent, children: dict[str, Order], kept: Set[str], found: list[Landed]) -> None:
        for _ in range(STEPS_MAX):
            own = follows(parent, self._now(parent), refusals_max=self._bounds.refusals_max)
            if own.events:
                parent = self._applied(parent, own, children, found)
            made = [self._order(parent, command, children, found) for command in unwanted(parent, list(children.values()), kept)]
            if not own.events and not any(made):
                return

    def _applied(self, parent: Parent | None, decided: Decided, children: dict[str, Order], found: list[Landed]) -> Parent:
        after = self._book.parents.apply(parent, decided.events)
        assert after is not None, "an event leaves a parent"
        found.append(Landed(None, decided.events, 0, parent=after))
        for command in decided.orders:
            self._order(after, command, children, found)
        return after

    def _order(self, parent: Parent, command: OrderCommand, children: dict[str, Order], found: list[Landed]) -> bool:
        """Decide and apply a command to a child; return whether it changed."""
        order = children.get(command.order_id)
        at = self._stamps.now(order.updated_at if order else 0)
        facts = self._repeats().facts(decide_order(order, command, at, self._negative_prices))
        if not facts:
            return False
        order = self._book.apply(order, facts)
        assert order is not None, "a fact is of an order"
        children[command.order_id] = order
        self._book.parents.child_changed(parent, facts)
        found.append(result_of(order, facts))
        return True

    def _now(self, parent: Parent | None) -> int:
        return self._stamps.now(parent.updated_at if parent else 0)
