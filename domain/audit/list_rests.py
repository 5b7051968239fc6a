"""What the legs of `oto` lists that open still wait for, as the journal alone shows it: a lower bound, counted without the code of risk."""

from collections.abc import Callable, Mapping
from decimal import Decimal

from domain.audit.stakes import Share, Stake
from domain.order import events as e
from domain.order.group import ListType, Role
from domain.order.lifecycle import State
from domain.order.order import RISK_CONTROL, Order
from domain.values import ZERO

Find = Callable[[str], tuple[Order, Decimal | None]]
"""Returns an order as it is now, and its price."""


class ListRests:
    """Keeps the `rests` of the stakes: what each leg may come to besides its present order, while its entry works.

    A list that is flagged, cancelled or touched by a control is not followed any more: what it may still do depends on its rules.
    """

    def __init__(self, find: Find, stakes: Mapping[tuple[str, str], Stake]) -> None:
        self._find = find
        self._stakes = stakes
        self._places: dict[str, list[list[str]]] = {}
        """By entry, the orders of each place in its list."""
        self._entry_of: dict[str, str] = {}

    def take(self, event: e.OrderEvent) -> None:
        """Follow an event that is counted already."""
        match event:
            case e.ListSubmitted(kind=ListType.OTO, rejected=False):
                self._places[event.order_id] = [[member] for member in event.members]
                self._entry_of |= dict.fromkeys(event.members, event.order_id)
            case e.ListExtended() if event.order_id in self._places:
                next(place for place in self._places[event.order_id] if event.instead_of in place).append(event.member)
                self._entry_of[event.member] = event.order_id
        entry_id = self._entry_of.get(event.order_id)
        if entry_id is None:
            return
        self._count(entry_id)
        if isinstance(event, e.ListFlagged | e.ListCancelRequested | e.ListEnded) or getattr(event, "source", "") == RISK_CONTROL:
            self._forget(entry_id)

    def _legs(self, entry_id: str) -> list[tuple[Stake, list[str]]]:
        """Return the places of the legs that open, each with the stake that it counts in."""
        found = []
        for place in self._places[entry_id][1:]:
            first, _ = self._find(place[0])
            if first.role == Role.HELD:
                found.append((self._stakes[first.account, first.symbol], place))
        return found

    def _count(self, entry_id: str) -> None:
        entry, _ = self._find(entry_id)
        for stake, place in self._legs(entry_id):
            stake.rests.pop(place[0], None)
            orders = [self._find(order_id)[0] for order_id in place]
            first, last = orders[0], orders[-1]
            if entry.closed or (last.closed and last.status is not State.FILLED):
                continue
            whole = first.quantity if first.asked is None else first.asked.quantity
            rest = whole - sum((order.cum_quantity for order in orders), ZERO) - last.leaves_quantity
            if rest > ZERO:
                stake.rests[place[0]] = Share(last.side, rest, abs(self._find(place[-1])[1] or ZERO), unsettled=False)

    def _forget(self, entry_id: str) -> None:
        for stake, place in self._legs(entry_id):
            stake.rests.pop(place[0], None)
        for place in self._places.pop(entry_id):
            for order_id in place:
                del self._entry_of[order_id]
