"""`GET /v2/orders`: the orders of an account in pages, each generation of an order's terms as an order of its own."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from apps.journal.shard_hosts import Hosts
from apps.oms.alpaca.catalogue import AssetBook
from apps.oms.alpaca.order_classes import is_leg
from apps.oms.alpaca.order_lookup import Named, OrderLookup
from apps.oms.alpaca.orders import MICROSECOND_NS, is_open, numbers_of, submitted_at
from apps.oms.alpaca.requests import AlpacaReply, AlpacaRequest, count_in, flag_in, list_in, moment_in, reply, word_in
from apps.oms.reads import OrderReads, Place, place_of
from domain.order.generations import GENERATIONS_MAX
from domain.order.index import OrderFilter
from domain.order.order import Order
from domain.values import Side

LIST_DEFAULT: Final = 50
LIST_MAX: Final = 500
ANY_CLASS: Final = "all"
CHUNK: Final = 500
"""Orders read from the store at a time while a list is filtered."""
SPAN_NS: Final = GENERATIONS_MAX * MICROSECOND_NS
"""How far the last generation of an order may be placed behind the first one."""
LAST_NS: Final = 2**63 - 1


class _Picks(NamedTuple):
    """What a client asked for: `status` open, closed or all, symbols, classes, a side, and the exclusive bounds of submission.

    No symbol or no class: all. `nested`: legs are shown with their parent, and not by themselves.
    """

    assets: AssetBook
    status: str
    symbols: frozenset[str]
    classes: frozenset[str]
    side: Side | None
    after: int
    until: int
    nested: bool

    @property
    def picky(self) -> bool:
        """Return whether the store cannot select all of it."""
        return len(self.symbols) > 1 or bool(self.classes) or self.side is not None or self.nested

    def of(self, orders: Iterable[Order]) -> list[Named]:
        """Return the generations of these orders that were asked for."""
        return [
            Named(order, number) for order in orders if self._takes(order) for number in numbers_of(order) if self._shows(order, number)
        ]

    def _takes(self, order: Order) -> bool:
        fits = (not self.symbols or order.symbol in self.symbols) and self.side in (None, order.side)
        if self.classes and self.assets.of(order.symbol).asset_class not in self.classes:
            return False
        return fits and not (self.nested and is_leg(order))

    def _shows(self, order: Order, number: int) -> bool:
        return self._in_time(order, number) and (self.status == "all" or is_open(order, number) is (self.status == "open"))

    def _in_time(self, order: Order, number: int) -> bool:
        return self.after < submitted_at(order, number) < self.until

    def closed_parents(self, parents: Iterable[Order]) -> list[Named]:
        """Return the closed ones that are shown because a leg of theirs is open."""
        found = (Named(order, order.generation) for order in parents if order.closed and self._takes(order))
        return [each for each in found if self._in_time(*each)]


class OrderList:
    """The handler of the list."""

    def __init__(self, hosts: Hosts, reads: OrderReads, lookup: OrderLookup, assets: AssetBook) -> None:
        self._hosts = hosts
        self._reads = reads
        self._lookup = lookup
        self._assets = assets

    async def page(self, request: AlpacaRequest) -> AlpacaReply:
        """List the account's orders by time of submission. AlpacaRefusal, Refusal 503."""
        query = request.query
        limit = count_in(query, "limit", LIST_DEFAULT, LIST_MAX)
        oldest_first = word_in(query, "direction", ("asc", "desc"), "desc") == "asc"
        picks = await self._picks(request)
        found = await self._found(request.account, picks, limit, oldest_first)
        found.sort(key=lambda each: (submitted_at(*each), each.order.order_id), reverse=not oldest_first)
        return reply(await self._lookup.shown(found[:limit], nested=picks.nested))

    async def _found(self, account: str, picks: _Picks, limit: int, oldest_first: bool) -> list[Named]:
        """Return at least the first `limit` generations. Open orders are all in memory; their older generations are closed ones."""
        if picks.status == "all":
            return await self._stored(account, picks, limit, oldest_first)
        await self._reads.proven_of(account)
        opened = self._hosts.of(account).orders.open_of(account)
        found = picks.of(opened)
        if picks.status != "open":
            return found + await self._stored(account, picks, limit, oldest_first)
        if picks.nested:
            legs = {leg.group_id: leg for leg in opened if is_leg(leg)}
            found += picks.closed_parents(map(self._lookup.parent_of, legs.values()))
        return found

    async def _picks(self, request: AlpacaRequest) -> _Picks:
        query = request.query
        side = word_in(query, "side", ("buy", "sell", "all"), "all")
        after, until = moment_in(query, "after"), moment_in(query, "until")
        after, until = -1 if after is None else after, LAST_NS if until is None else until
        if named := query.get("after_order_id"):
            after = max(after, submitted_at(*await self._lookup.by_id(named, request)))
        if named := query.get("before_order_id"):
            until = min(until, submitted_at(*await self._lookup.by_id(named, request)))
        classes = frozenset(text.lower() for text in list_in(query, "asset_class"))
        return _Picks(
            assets=self._assets,
            status=word_in(query, "status", ("open", "closed", "all"), "open"),
            symbols=frozenset(asset.symbol if (asset := self._assets.find(text)) else text for text in list_in(query, "symbols")),
            classes=frozenset() if ANY_CLASS in classes else classes,
            side=None if side == "all" else Side(side),
            after=after,
            until=until,
            nested=flag_in(query, "nested"),
        )

    async def _stored(self, account: str, picks: _Picks, limit: int, oldest_first: bool) -> list[Named]:
        """Return generations of stored orders until there are `limit` of them."""
        wanted = OrderFilter(
            account=account,
            closed=True if picks.status == "closed" else None,
            symbol=next(iter(picks.symbols)) if len(picks.symbols) == 1 else None,
            since_ns=max(picks.after - SPAN_NS, 0) if picks.after >= 0 else None,
            until_ns=picks.until,
        )
        found: list[Named] = []
        size = CHUNK if picks.picky else limit
        behind: Place | None = None
        while len(found) < limit:
            chunk = await self._reads.some(wanted, behind, size, oldest_first=oldest_first)
            found += picks.of(chunk)
            if len(chunk) < size:
                break
            behind = place_of(chunk[-1])
        return found
