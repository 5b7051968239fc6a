"""Orders of the facade: submit, read, list, cancel. The intake, the reads and the cancels are those of the native API."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from apps.http.alpaca_words import MALFORMED, NOT_UNIQUE, AlpacaRefusal, malformed_field
from apps.http.problem import Refusal
from apps.journal.shard_host import ShardHost
from apps.oms.alpaca.catalogue import AssetBook
from apps.oms.alpaca.ids import dashed, undashed
from apps.oms.alpaca.order_body import OrderRequest, client_order_id_in, read_order
from apps.oms.alpaca.orders import AlpacaOrder, order_of, submitted_order
from apps.oms.alpaca.refusals import closed_order, order_not_found, refused_order, untraded
from apps.oms.alpaca.requests import NO_CONTENT, AlpacaReply, AlpacaRequest, count_in, list_in, moment_in, reply, word_in
from apps.oms.cancel import cancel
from apps.oms.metrics import OmsMetrics
from apps.oms.reads import OrderReads, Place, place_of
from apps.oms.submit import SubmitHandler, unavailable
from apps.oms.submit_body import TermsReader
from domain.order.index import OrderFilter
from domain.order.order import Order
from domain.ports import Clock, Unavailable
from domain.values import Side, order_id_of

LIST_DEFAULT: Final = 50
LIST_MAX: Final = 500
CHUNK: Final = 500
"""Orders read from the store at a time while a list is filtered."""
LAST_NS: Final = 2**63 - 1


class AlpacaOrders:
    """The handlers of `/v2/orders`."""

    def __init__(
        self,
        host: ShardHost,
        reads: OrderReads,
        intake: SubmitHandler,
        reader: TermsReader,
        assets: AssetBook,
        clock: Clock,
        metrics: OmsMetrics,
    ) -> None:
        self._host = host
        self._reads = reads
        self._intake = intake
        self._reader = reader
        self._assets = assets
        self._clock = clock
        self._metrics = metrics

    async def submit(self, request: AlpacaRequest) -> AlpacaReply:
        """Submit an order; answered after its commit is on disk. AlpacaRefusal, Refusal."""
        began = time.perf_counter()
        try:
            key = request.idempotency_key
            wanted = read_order(request.body, self._assets, request.account, key)
            shown = await self.place(wanted, request.caller.key_id, again=key is not None)
        finally:
            self._metrics.submitted(time.perf_counter() - began)
        return reply(shown)

    async def place(self, wanted: OrderRequest, by: str, *, again: bool = False) -> AlpacaOrder:
        """Submit what a client asked for and return the order as its first commit left it. `again`: a known id gets its first answer.

        AlpacaRefusal, Refusal.
        """
        terms, asset = wanted.terms, wanted.asset
        try:
            answer = await self._intake.submit(terms, self._reader.denial(terms, self._clock.now_ns()), by=by)
        except Refusal as refusal:
            raise untraded(refusal, asset, terms.side) from None
        self._metrics.answered(answer)
        if answer.replayed and not again:
            raise AlpacaRefusal(422, MALFORMED, NOT_UNIQUE, order_id=dashed(answer.order.order_id))
        if answer.order.refused:
            raise refused_order(answer.order, asset, answer.seq)
        shown = submitted_order(answer.order, asset, answer.seq)
        shown.extended_hours = wanted.extended_hours
        return shown

    async def one(self, request: AlpacaRequest) -> AlpacaReply:
        return reply((await self._shown([await self._find(request.rest, request)]))[0])

    async def by_client_order_id(self, request: AlpacaRequest) -> AlpacaReply:
        given = client_order_id_in(request.query.get("client_order_id"))
        if given is None:
            raise malformed_field("client_order_id", "is required")
        order = await self._owned(order_id_of(request.account, given), given, request)
        return reply((await self._shown([order]))[0])

    async def page(self, request: AlpacaRequest) -> AlpacaReply:
        """List the account's orders by time of submission. `after` and `until` are exclusive."""
        query = request.query
        status = word_in(query, "status", ("open", "closed", "all"), "open")
        limit = count_in(query, "limit", LIST_DEFAULT, LIST_MAX)
        oldest_first = word_in(query, "direction", ("asc", "desc"), "desc") == "asc"
        side = word_in(query, "side", ("buy", "sell", "all"), "all")
        symbols = {asset.symbol if (asset := self._assets.find(text)) else text for text in list_in(query, "symbols")}
        after, until = await self._bounds(request)
        wanted = OrderFilter(
            account=request.account,
            closed=None if status == "all" else status == "closed",
            symbol=next(iter(symbols)) if len(symbols) == 1 else None,
            since_ns=None if after is None else after + 1,
            until_ns=until,
        )
        picks = _Picks(frozenset(symbols), None if side == "all" else Side(side))
        found = await (self._open(wanted, picks, oldest_first) if status == "open" else self._stored(wanted, picks, limit, oldest_first))
        return reply(await self._shown(found[:limit]))

    async def cancel(self, request: AlpacaRequest) -> AlpacaReply:
        """Cancel an order; a repeated request while its cancel is pending changes nothing. AlpacaRefusal when it is closed."""
        order = await self._find(request.rest, request)
        await self._cancelled(order, request.caller.key_id)
        return NO_CONTENT

    async def cancel_all(self, request: AlpacaRequest) -> AlpacaReply:
        """Cancel every open order of the account."""
        opened = await self.cancel_open(request)
        return reply(opened, 207)

    async def cancel_open(self, request: AlpacaRequest) -> list[dict[str, Any]]:
        """Cancel every open order of the account; return a status for each. Refusal 503."""
        await self._reads.proven()
        opened = self._host.orders.open_of(request.account)
        results = await asyncio.gather(*(self._cancelled(order, request.caller.key_id) for order in opened), return_exceptions=True)
        statuses = []
        for order, result in zip(opened, results, strict=True):
            if isinstance(result, BaseException) and not isinstance(result, AlpacaRefusal):
                raise result
            statuses.append({"id": dashed(order.order_id), "status": result.status if isinstance(result, AlpacaRefusal) else 200})
        return statuses

    async def _cancelled(self, order: Order, by: str) -> None:
        if order.closed:
            raise closed_order(order)
        try:
            await cancel(self._host, order, by=by)
        except Refusal as refusal:
            if refusal.code == "illegal_transition":
                raise closed_order(order) from None
            raise

    async def _find(self, text: str, request: AlpacaRequest) -> Order:
        """Return the caller's order by its id, in either spelling. AlpacaRefusal 404, Refusal 503."""
        order_id = undashed(text)
        if order_id is None:
            raise order_not_found(text)
        return await self._owned(order_id, text, request)

    async def _owned(self, order_id: str, text: str, request: AlpacaRequest) -> Order:
        try:
            order = await self._reads.find(order_id, request.caller)
        except Refusal as refusal:
            if refusal.code == "order_not_found":
                raise order_not_found(text) from None
            raise
        if order.account != request.account:
            raise order_not_found(text)
        return order

    async def _shown(self, orders: Sequence[Order]) -> list[AlpacaOrder]:
        """Return the orders as they are now, once that is durable. Refusal 503."""
        shown = [order_of(order, self._assets.of(order.symbol)) for order in orders]
        try:
            await self._host.settled(*orders)
        except Unavailable as trouble:
            raise unavailable(str(trouble), unknown=False) from trouble
        for view, order in zip(shown, orders, strict=True):
            view.seq = order.seqs[-1]
        return shown

    async def _bounds(self, request: AlpacaRequest) -> tuple[int | None, int | None]:
        """Return the exclusive bounds of submission: of moments, and of orders named as the one before or after."""
        query = request.query
        after, until = moment_in(query, "after"), moment_in(query, "until")
        if named := query.get("after_order_id"):
            after = max(after or 0, (await self._find(named, request)).created_at)
        if named := query.get("before_order_id"):
            until = min(LAST_NS if until is None else until, (await self._find(named, request)).created_at)
        return after, until

    async def _open(self, wanted: OrderFilter, picks: "_Picks", oldest_first: bool) -> list[Order]:
        """Return the open orders, which are all in memory."""
        await self._reads.proven()
        opened = self._host.orders.open_of(str(wanted.account))
        return sorted((o for o in opened if wanted.takes(o) and picks.takes(o)), key=place_of, reverse=not oldest_first)

    async def _stored(self, wanted: OrderFilter, picks: "_Picks", limit: int, oldest_first: bool) -> list[Order]:
        found: list[Order] = []
        behind: Place | None = None
        while len(found) < limit:
            chunk = await self._reads.some(wanted, behind, CHUNK if picks.picky else limit, oldest_first=oldest_first)
            found += filter(picks.takes, chunk)
            if not picks.picky or len(chunk) < CHUNK:
                break
            behind = place_of(chunk[-1])
        return found


class _Picks(msgspec.Struct, frozen=True):
    """What the store cannot select: several symbols, and a side."""

    symbols: frozenset[str]
    side: Side | None

    @property
    def picky(self) -> bool:
        return len(self.symbols) > 1 or self.side is not None

    def takes(self, order: Order) -> bool:
        return (not self.symbols or order.symbol in self.symbols) and self.side in (None, order.side)
