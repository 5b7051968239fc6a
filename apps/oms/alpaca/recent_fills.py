"""The last trades that oms recorded: the table of fills, which another service writes, shows them a moment later."""

from collections import deque
from typing import Final, NamedTuple

from apps.journal.shard_host import Landed
from domain.order.events import OrderFilled
from domain.ports import FillPlace

KEPT_MAX: Final = 10_000
MICROSECOND_NS: Final = 1000


class FoundFill(NamedTuple):
    """One trade: its place among the fills, to the microsecond as in the table, and its order."""

    place: FillPlace
    order_id: str

    @property
    def key(self) -> tuple[str, str]:
        return self.place.venue, self.place.exec_id


class RecentFills:
    """The trades of the last commits, of all accounts."""

    def __init__(self) -> None:
        self._kept: deque[tuple[str, FoundFill]] = deque(maxlen=KEPT_MAX)

    def landed(self, landed: Landed) -> None:
        """Keep the trades of a commit that is on disk."""
        for event in landed.events:
            if type(event) is OrderFilled:
                place = FillPlace(event.at - event.at % MICROSECOND_NS, landed.seq, event.exec_id, event.venue)
                self._kept.append((event.account, FoundFill(place, event.order_id)))

    def of(self, account: str) -> list[FoundFill]:
        """Return the trades of an account, newest first."""
        return sorted((fill for owner, fill in self._kept if owner == account), reverse=True)
