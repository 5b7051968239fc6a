"""The parents of a shard: those that have not ended in memory, all of them in the order store."""

from collections.abc import Iterable, Sequence
from copy import copy

from adapters.codec import encode
from domain.order import events as e
from domain.order.algo import AlgoFilter, Parent
from domain.order.order import Order
from domain.order.parent_fold import child_changed, evolve
from domain.ports import OrderStore

Rows = Sequence[tuple[Parent, bytes]]


class ParentBook:
    """Like the orders of the repository: changes apply at once in memory, and are saved once they are on disk in the journal."""

    def __init__(self, store: OrderStore) -> None:
        self._store = store
        self.by_id: dict[str, Parent] = {}
        self.dirty: dict[str, int] = {}
        """Parents that changed since they were saved, and the first commit that changed them."""
        self._saving: dict[str, int] = {}

    def restart(self, parents: Iterable[Parent] = ()) -> None:
        """Begin a recovery with these stored parents."""
        self.by_id, self.dirty, self._saving = {parent.algo_id: parent for parent in parents}, {}, {}

    def find(self, algo_id: str) -> Parent | None:
        """Return a parent from memory or the store; None if there is none. Unavailable."""
        found = self.by_id.get(algo_id)
        return self._store.parent(algo_id) if found is None else found

    def open_count(self, account: str) -> int:
        """Return how many parents of an account have not ended."""
        return sum(parent.account == account and not parent.closed for parent in self.by_id.values())

    def unsaved(self) -> list[Parent]:
        """Return parents whose stored state is, or may be, older than the journal."""
        return [self.by_id[algo_id] for algo_id in self._saving | self.dirty]

    def page(self, wanted: AlgoFilter, below: tuple[int, str] | None, limit: int) -> list[Parent]:
        """Return stored parents, newest first. Slow. Unavailable."""
        return self._store.parents(wanted, below, limit)

    def apply(self, parent: Parent | None, events: Iterable[e.AnyAlgoEvent]) -> Parent | None:
        """Evolve the parent at once, in memory, and return it. `parent` is the result of `find`."""
        for event in events:
            parent = self.by_id[event.order_id] = evolve(parent, event)
        return parent

    def child_changed(self, parent: Parent, events: Iterable[e.OrderEvent]) -> None:
        """Apply events of a child to its parent."""
        self.by_id[parent.algo_id] = parent
        for event in events:
            child_changed(parent, event)

    def landed(self, parent: Parent, seq: int, *, own: bool) -> None:
        """Note that the parent's present events are on disk, in the commit at `seq`. `own`: not only events of its children."""
        if own and (not parent.seqs or parent.seqs[-1] != seq):
            parent.seqs += (seq,)
        parent.seen = max(parent.seen, seq)
        self.dirty.setdefault(parent.algo_id, seq)

    def replay(self, event: e.AnyAlgoEvent, seq: int, seen: dict[str, bool]) -> None:
        """Apply an event of the journal, unless the stored parent contains it. `seen`: the parents of this commit that contain it."""
        parent = self.find(event.order_id)
        if not _contains(parent, event.order_id, seq, seen):
            after = self.by_id[event.order_id] = evolve(parent, event)
            self.landed(after, seq, own=True)

    def replay_child(self, child: Order, event: e.OrderEvent, seq: int, seen: dict[str, bool]) -> None:
        """Apply a child's event of the journal to its parent, unless the stored parent contains it."""
        parent = self.find(child.group_id)
        if parent is not None and not _contains(parent, child.group_id, seq, seen):
            self.child_changed(parent, (event,))
            self.landed(parent, seq, own=False)

    def take(self, ticket: int) -> tuple[dict[str, int], Rows]:
        """Return what can be saved now: the parents that changed, up to this ticket, and their rows. They count as being saved."""
        taken = {algo_id: seq for algo_id, seq in self.dirty.items() if self.by_id[algo_id].commit <= ticket}
        self.dirty = {algo_id: seq for algo_id, seq in self.dirty.items() if algo_id not in taken}
        self._saving = taken
        return taken, [(copy(parent), encode(parent)) for parent in map(self.by_id.__getitem__, taken)]

    def saved(self, taken: dict[str, int], ticket: int, *, failed: bool) -> None:
        """Note the end of a save. Parents that have ended leave memory once they are saved and nothing more is under way."""
        self._saving = {}
        if failed:
            self.dirty.update({algo_id: min(seq, self.dirty.get(algo_id, seq)) for algo_id, seq in taken.items()})
            return
        for algo_id in taken:
            parent = self.by_id[algo_id]
            if parent.closed and not parent.open_children and algo_id not in self.dirty and parent.commit <= ticket:
                del self.by_id[algo_id]


def _contains(parent: Parent | None, algo_id: str, seq: int, seen: dict[str, bool]) -> bool:
    if algo_id not in seen:
        seen[algo_id] = parent is not None and parent.seen >= seq
    return seen[algo_id]
