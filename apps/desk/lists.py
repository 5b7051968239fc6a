"""The lists of orders of all accounts as the journal has them, without their orders, in the order of their last change."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec

from apps.desk.rows import Row
from domain.access.scopes import EVERY_ACCOUNT
from domain.groups.status import ALERTS, ListStatus, flags_of, status_of
from domain.order.group import ListType, OrderGroup
from domain.order.order import Order

ENDED_MAX: Final = 5000
"""Lists that have ended in the whole state of a stream: those that changed last."""

FindOrder = Callable[[str], Order | None]
"""An order in memory by its id."""


class ListRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A list with the words of `GET /order-lists/{list_id}`. `seq` is the commit of the last change of any of its orders."""

    list_id: str
    client_list_id: str
    account: str
    type: ListType
    status: ListStatus
    reason: str | None
    flags: tuple[str, ...]
    seq: int


class DeskLists:
    """A list is here as long as its lead, its first order, is in memory. Orders of a list that has not ended never leave memory."""

    def __init__(self, find: FindOrder) -> None:
        self._find = find
        self._leads: dict[str, str] = {}
        """The lead's order id by list."""
        self._accounts: dict[str, OrderedDict[str, ListRow]] = {EVERY_ACCOUNT: OrderedDict()}

    def has_open(self, list_id: str) -> bool:
        """Return whether a list has not ended."""
        found = self._accounts[EVERY_ACCOUNT].get(list_id)
        return found is not None and found.reason is None

    def changed(self, rows: Sequence[Row]) -> list[Order]:
        """Take the lists of these rows, which are in the order of their last change. Return the closed orders of those that have ended."""
        seqs: dict[str, int] = {}
        for row in rows:
            list_id = row.order.group_id
            seqs.pop(list_id, None)
            seqs[list_id] = row.seq
            if row.order.group is not None:
                self._leads[list_id] = row.order.order_id
        return [order for list_id, seq in seqs.items() for order in self._taken(list_id, seq)]

    def _taken(self, list_id: str, seq: int) -> Iterable[Order]:
        lead = self._find(self._leads.get(list_id, ""))
        if lead is None or lead.group is None:
            return ()
        found = ((order_id, self._find(order_id)) for order_id in lead.group.members)
        members = {order_id: order for order_id, order in found if order is not None}
        self._put(_row(lead, lead.group, members, seq))
        return [order for order in members.values() if order.closed] if lead.group.ended else ()  # a bust may have opened one again

    def forget(self, order: Order) -> None:
        """Drop the list whose lead leaves memory."""
        if order.group is not None and self._leads.pop(order.group_id, None) is not None:
            for name in (EVERY_ACCOUNT, order.account):
                self._accounts[name].pop(order.group_id, None)

    def newest(self, account: str) -> list[ListRow]:
        """Return the lists of an account, `*` for all: those that have not ended, and the newest of the others."""
        rows = self._accounts.get(account, _NONE).values()
        found = [row for row in rows if row.reason is None]
        found += islice((row for row in reversed(rows) if row.reason is not None), ENDED_MAX)
        return found

    def since(self, account: str, seq: int) -> Iterator[ListRow]:
        """Yield the lists that changed after a sequence, the last changed one first."""
        for row in reversed(self._accounts.get(account, _NONE).values()):
            if row.seq <= seq:
                return
            yield row

    def _put(self, row: ListRow) -> None:
        for name in (EVERY_ACCOUNT, row.account):
            rows = self._accounts.setdefault(name, OrderedDict())
            rows[row.list_id] = row
            rows.move_to_end(row.list_id)


def _row(lead: Order, group: OrderGroup, members: Mapping[str, Order], seq: int) -> ListRow:
    """Build the row. Of a list that has lost orders from memory, only its recorded flags are known: it ended before."""
    if len(members) == len(group.members):
        flags, status = flags_of(group, members), status_of(group, members)
    else:
        flags = group.flags
        status = ListStatus.REJECTED if group.rejected else ListStatus.ALERT if ALERTS & set(flags) else ListStatus.DONE
    return ListRow(
        list_id=lead.group_id,
        client_list_id=group.client_list_id,
        account=lead.account,
        type=group.kind,
        status=status,
        reason=group.ended or None,
        flags=flags,
        seq=seq,
    )


_NONE: Final[OrderedDict[str, ListRow]] = OrderedDict()
