"""Finds the order that a client means, by the id or the client's id of any generation of its terms, and shows it once it is durable."""

from collections.abc import Sequence
from typing import NamedTuple

from apps.http.problem import Refusal
from apps.journal.shard_hosts import Hosts
from apps.oms.alpaca.catalogue import AssetBook
from apps.oms.alpaca.ids import shown_id, undashed
from apps.oms.alpaca.order_classes import is_parent
from apps.oms.alpaca.orders import AlpacaOrder, order_of, status_of
from apps.oms.alpaca.refusals import already, order_not_found
from apps.oms.alpaca.requests import AlpacaRequest
from apps.oms.reads import OrderReads
from apps.oms.submit import unavailable
from domain.order.generations import Standing, generations_named
from domain.order.order import Order
from domain.ports import Unavailable


class Named(NamedTuple):
    """One generation of an order's terms, which a client knows as an order."""

    order: Order
    number: int

    @property
    def shown_id(self) -> str:
        return shown_id(self.order.order_id, self.number)

    def refuse_if_closed(self) -> None:
        """Raise the refusal of a change to an order that is closed to the client. AlpacaRefusal."""
        standing = self.order.standing_of(self.number)
        if standing is Standing.REPLACED:
            raise already("replaced", self.shown_id)
        if standing in (Standing.REFUSED, Standing.UNANSWERED):
            raise already("rejected", self.shown_id)
        if self.order.closed:
            raise already(status_of(self.order), self.shown_id)


class OrderLookup:
    """Reads orders for the facade. An order of another account is absent."""

    def __init__(self, hosts: Hosts, reads: OrderReads, assets: AssetBook) -> None:
        self._hosts = hosts
        self._reads = reads
        self._assets = assets

    async def by_id(self, text: str, request: AlpacaRequest) -> Named:
        """Return what an id means, in either spelling. AlpacaRefusal 404, Refusal 503."""
        found = undashed(text)
        if found is None:
            raise order_not_found(text)
        order = await self._exact(found, request)
        if order is not None:
            return Named(order, 0)
        for order_id, number in generations_named(found):
            order = self._own(self.find(order_id), request) if number else None
            if order is not None and order.standing_of(number) is not None:
                return Named(order, number)
        raise order_not_found(text)

    async def by_client_order_id(self, given: str, request: AlpacaRequest) -> Named | None:
        """Return the order, or the replace, that the client called so; None without one. Refusal 503."""
        order = await self._exact(self._hosts.shards.order_id(request.account, given), request)
        if order is not None:
            return Named(order, 0)
        try:
            order = self._hosts.of(request.account).book.replaced_as(request.account, given)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble
        if order is None:
            return None
        return Named(order, next(each.number for each in order.generations if each.client_order_id == given))

    async def shown(self, named: Sequence[Named], *, nested: bool = False) -> list[AlpacaOrder]:
        """Return the orders as they are now, once that is durable; `nested`: the current generation with its legs. Refusal 503."""
        seen: list[tuple[AlpacaOrder, Order]] = []
        shown = [self._view(*each, seen) for each in named]
        for view, each in zip(shown, named, strict=True) if nested else ():
            if is_parent(each.order) and each.number == each.order.generation:
                view.legs = [self._view(leg, leg.generation, seen) for leg in self.legs_of(each.order)]
        await self._reads.settled([order for _, order in seen])
        for view, order in seen:
            view.seq = order.seqs[-1]
        return shown

    def _view(self, order: Order, number: int, seen: list[tuple[AlpacaOrder, Order]]) -> AlpacaOrder:
        view = order_of(order, self._assets.of(order.symbol), number)
        seen.append((view, order))
        return view

    def legs_of(self, parent: Order) -> list[Order]:
        """Return the legs of an order, with those that took the place of others. Refusal 503."""
        members = self._members(parent)
        assert parent.group is not None, "a parent has a list"
        return [members[order_id] for order_id in parent.group.members if order_id != parent.order_id]

    def parent_of(self, leg: Order) -> Order:
        """Return the order of which clients see this one as a leg. Refusal 503."""
        return next(order for order in self._members(leg).values() if order.leads)

    def _members(self, order: Order) -> dict[str, Order]:
        try:
            return self._hosts.of(order.account).book.members(order.group_id)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble

    async def _exact(self, order_id: str, request: AlpacaRequest) -> Order | None:
        """Return the caller's order with this id, in a time that does not show whether another account has it."""
        try:
            return self._own(await self._reads.find(order_id, request.caller), request)
        except Refusal as refusal:
            if refusal.code == "order_not_found":
                return None
            raise

    def find(self, order_id: str) -> Order | None:
        """Return an order of any account, open or closed. Refusal 503."""
        try:
            return self._hosts.of_id(order_id).find(order_id)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble

    @staticmethod
    def _own(order: Order | None, request: AlpacaRequest) -> Order | None:
        return order if order is not None and order.account == request.account else None
