"""What the legs of `oto` lists may still grow by while their entry works: room that no other order may use.

A leg that opens (role `held`) is checked and counted in full when its list is submitted. It is then released for a part, and grows with
each trade of its entry without another check, in place or as another order in its place. So what is not released stays claimed.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from msgspec import structs

from domain.instruments import Instrument, is_too_small
from domain.order import events as e
from domain.order.algo import CHILD
from domain.order.group import ListType, OrderGroup, Role
from domain.order.order import Order, evolve
from domain.order.slot import asked, may_follow, part, stopped, traded
from domain.risk.exposure import Exposure
from domain.risk.open_orders import Open
from domain.values import ZERO


class ListGrowth:
    """A fold of the `oto` lists that have such legs and have not ended, with all their orders. It keeps a claim for each leg.

    The claim is what the leg was asked for, less what its slot has traded and what its present order is counted for. Once the entry has
    ended, it is what is missing from the leg's share: nothing, unless an answer of the leg's venue is pending. A bust that opens the entry
    again restores the claim. A bust after the end of the list does not: the list is forgotten by then.
    """

    def __init__(self, exposure: Exposure, instruments: Mapping[str, Instrument]) -> None:
        self._exposure = exposure
        self._instruments = instruments
        self._lists: dict[str, dict[str, Order]] = {}
        """The orders of each list, by its lead, which is the entry."""
        self.lead_of: dict[str, str] = {}
        self.new: dict[str, Order] = {}
        """Orders of lists, until the event that says which list it is: of the same commit, unless oms failed in between."""

    def state(self) -> tuple[Order, ...]:
        """Return the orders of all lists, each list's by slots, and the new ones."""
        listed = [members[order_id] for lead, members in self._lists.items() for order_id in _group(members[lead]).members]
        return tuple(structs.replace(order) for order in (*listed, *self.new.values()))

    def restore(self, orders: Iterable[Order]) -> None:
        """Continue from a state. The exposure has its open orders already."""
        self.new = {order.order_id: order for order in orders}
        for lead in [order for order in self.new.values() if order.group is not None]:
            self._keep(lead.order_id, [self.new.pop(order_id) for order_id in _group(lead).members])
            self._claim(lead.order_id)

    def apply(self, event: e.OrderEvent) -> None:
        """Follow an event that the exposure has counted.

        Needed for events of orders in `lead_of`, for all while there are `new` ones, and for the submit of an order of a list.
        """
        lead = self.lead_of.get(event.order_id)
        if lead is not None:
            self._followed(lead, event)
        elif isinstance(event, e.OrderSubmitted):
            if event.group_id and event.role != CHILD:
                self.new[event.order_id] = evolve(None, event)
        elif isinstance(event, e.ListExtended):
            self.new.pop(event.member, None)
        elif (order := self.new.get(event.order_id)) is not None:
            evolve(order, event)
            if isinstance(event, e.ListSubmitted):
                self._begun(event)

    def _begun(self, event: e.ListSubmitted) -> None:
        members = [self.new.pop(order_id) for order_id in event.members]
        if event.kind is ListType.OTO and not event.rejected and any(order.role == Role.HELD for order in members):
            self._keep(event.order_id, members)

    def _keep(self, lead: str, members: Iterable[Order]) -> None:
        self._lists[lead] = {order.order_id: order for order in members}
        self.lead_of |= dict.fromkeys(self._lists[lead], lead)

    def _followed(self, lead: str, event: e.OrderEvent) -> None:
        members = self._lists[lead]
        evolve(members[event.order_id], event)
        if isinstance(event, e.ListExtended):
            members[event.member] = self.new.pop(event.member)
            self.lead_of[event.member] = lead
        self._claim(lead)
        if isinstance(event, e.ListEnded):
            for order_id in self._lists.pop(lead):
                del self.lead_of[order_id]

    def _claim(self, lead: str) -> None:
        """Set the claims of a list's legs. Each is named by the leg's present order."""
        members = self._lists[lead]
        entry = members[lead]
        group = _group(entry)
        for slot in group.slots[1:]:
            orders = [members[order_id] for order_id in slot]
            if orders[0].role == Role.HELD:
                for order in orders[:-1]:
                    self._exposure.claimed(order.order_id, None)
                rest = self._rest(group, entry, orders)
                self._exposure.claimed(slot[-1], self._open(orders[-1], rest) if rest > ZERO else None)

    def _rest(self, group: OrderGroup, entry: Order, orders: list[Order]) -> Decimal:
        """Return how much the list may still add to what the leg's present order is counted for."""
        first, last = orders[0], orders[-1]
        if group.cancelling and group.cancels_exits:
            return ZERO
        ended = (order for order in self._lists[entry.order_id].values() if order.closed)  # a venue may refuse the cancel of the others
        if last.closed and (stopped(group, ended) or not may_follow(group, last)):
            return ZERO
        left = (
            self._tradable(last, part(entry, first, entry.cum_quantity) - traded(orders)) if entry.closed else asked(first) - traded(orders)
        )
        return left if last.closed else left - self._exposure.orders[last.order_id].quantity

    def _tradable(self, order: Order, quantity: Decimal) -> Decimal:
        """Return what an order may have of this quantity: whole lots, and nothing below the minimum notional."""
        instrument = self._instruments.get(order.symbol)
        if instrument is None:
            return quantity
        price, lots = order.price or order.stop_price or order.reference, quantity - quantity % instrument.lot
        return ZERO if price is not None and is_too_small(instrument, lots, price) else lots

    def _open(self, order: Order, quantity: Decimal) -> Open:
        """Return what a claim counts: at the price of the present order, which is also that of one in its place."""
        present = self._exposure.orders.get(order.order_id)
        if present is not None:
            return structs.replace(present, quantity=quantity, orders=0)
        assert order.reference is not None, f"order {order.order_id} passed risk without a price to value it at"
        price = abs(order.reference) * self._exposure.marks.rates[order.symbol]
        return Open(order.account, order.symbol, order.side, quantity, price, orders=0)


def _group(lead: Order) -> OrderGroup:
    assert lead.group is not None, f"order {lead.order_id} leads no list"
    return lead.group
