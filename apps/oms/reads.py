"""Reading orders: never speculative state. A view is taken, then answered when all that it shows is on disk."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from adapters.codec import ORDER_COMMITS
from apps.host import Host
from apps.http import Refusal
from apps.oms.intake import unavailable
from apps.oms.views import View, event_view, order_view
from domain.order import Order
from domain.ports import Journal, Unavailable

LIST_MAX: Final = 1000
SCAN_MAX: Final = 50_000
"""Orders one list request looks at; a page may end short with a cursor to go on from."""


class Reads:
    """One order, lists, timelines."""

    def __init__(self, host: Host, journal: Journal) -> None:
        self._host = host
        self._journal = journal

    def find(self, order_id: str) -> Order:
        if not self._host.ready:
            raise unavailable("the order journal is not available", unknown=False)
        order = self._host.orders.by_id.get(order_id)
        if order is None:
            raise Refusal(404, "order_not_found", f"there is no order {order_id[:64]!r}")
        return order

    async def views(self, orders: Sequence[Order]) -> list[View]:
        """The orders as they are now, answered when that is durable."""
        shown = [(order, order_view(order), self._host.commits_of(order)) for order in orders]
        try:
            await self._host.settled(*orders)
        except Unavailable as trouble:
            raise unavailable(str(trouble), unknown=False) from trouble
        return [view | {"seq": order.seqs[min(place, len(order.seqs)) - 1]} for order, view, place in shown]

    async def one(self, order_id: str) -> View:
        return (await self.views([self.find(order_id)]))[0]

    async def page(self, wanted: dict[str, str], limit: int, cursor: int | None) -> dict[str, Any]:
        """Newest first. `cursor` is the place in the (growing) list to go on below."""
        orders = self._host.orders
        account = wanted.get("account")
        listed = orders.newest if account is None else orders.by_account.get(account, [])
        place = len(listed) if cursor is None else min(cursor, len(listed))
        floor = max(place - SCAN_MAX, 0)
        found: list[Order] = []
        while place > floor and len(found) < limit:
            place -= 1
            if _matches(listed[place], wanted):
                found.append(listed[place])
        return {"orders": await self.views(found), "next": str(place) if place > 0 else None}

    async def timeline(self, order_id: str) -> list[View]:
        """Every event of the order, read from the journal itself."""
        order = self.find(order_id)
        try:
            await self._host.settled(order)
            lines: list[View] = []
            for seq in order.seqs:
                lines.extend(await self._lines(order_id, seq))
        except Unavailable as trouble:
            raise unavailable(str(trouble), unknown=False) from trouble
        return lines

    async def _lines(self, order_id: str, seq: int) -> Iterable[View]:
        recorded = await self._journal.read(seq)
        assert recorded is not None, f"the journal lost sequence {seq}"
        events = ORDER_COMMITS.decode(recorded.payload).events
        return [event_view(event, seq) for event in events if event.order_id == order_id]


def _matches(order: Order, wanted: dict[str, str]) -> bool:
    return all(getattr(order, field) == value for field, value in wanted.items())
