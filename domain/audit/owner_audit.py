"""The checker's own fold of a shard's owners: epochs only grow, and a commit that names its writer names the owner."""

from collections.abc import Iterator, Sequence

from domain.order import events as e


class OwnerAudit:
    """A pass over one shard's journal. A journal from before ShardTaken has no owner, and nothing is checked until the first one."""

    def __init__(self) -> None:
        self._unit = ""
        self._epoch = 0
        self._released = False

    def take(self, n: int, events: Sequence[e.OrderEvent]) -> Iterator[str]:
        """Check the events of commit `n`. Yield what is wrong, in words."""
        for event in events:
            if isinstance(event, e.ShardTaken):
                yield from self._taken(event, n)
                continue
            if self._released and not isinstance(event, e.JournalAccepted):
                yield f"{type(event).__name__} in commit {n}, after the shard was released at epoch {self._epoch}"
            unit = event.unit if isinstance(event, e.ShardHeld | e.ShardReleased | e.OrderRouted) else ""
            if self._epoch and unit and unit != self._unit:
                yield f"{type(event).__name__} of {unit} in commit {n}, and {self._unit or 'no unit'} owns the shard at epoch {self._epoch}"
            if isinstance(event, e.OrderRouted) and event.epoch and event.epoch != self._epoch:
                yield f"OrderRouted of epoch {event.epoch} in commit {n}, and the shard has epoch {self._epoch}"
            if isinstance(event, e.ShardReleased):
                self._unit, self._released = "", True

    def _taken(self, event: e.ShardTaken, n: int) -> Iterator[str]:
        epoch = max(n, event.met + 1, event.before + 1)
        if event.before != self._epoch:
            yield f"{event.unit} took the shard in commit {n} from epoch {event.before}, and it had epoch {self._epoch}"
        if epoch <= self._epoch:
            yield f"{event.unit} took the shard in commit {n} at epoch {epoch}, and it had epoch {self._epoch}"
        if self._unit and event.unit != self._unit and not event.lease:
            yield f"{event.unit} took the shard from {self._unit} in commit {n} without a lease"
        self._unit, self._epoch, self._released = event.unit, max(epoch, self._epoch), False
