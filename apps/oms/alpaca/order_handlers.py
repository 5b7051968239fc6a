"""Orders of the facade: submit, read, replace, cancel. The intake, the reads and the cancels are those of the native API."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from msgspec import structs

from apps.http.alpaca_words import MALFORMED, NOT_UNIQUE, UNPROCESSABLE, AlpacaRefusal, in_alpaca_words, malformed_field
from apps.http.problem import Refusal
from apps.journal.shard_hosts import Hosts
from apps.oms.alpaca.catalogue import AssetBook
from apps.oms.alpaca.class_submits import ClassSubmits
from apps.oms.alpaca.ids import dashed
from apps.oms.alpaca.order_body import OrderRequest, read_order, read_replacement
from apps.oms.alpaca.order_fields import client_order_id_in
from apps.oms.alpaca.order_lookup import Named, OrderLookup
from apps.oms.alpaca.orders import AlpacaOrder, order_of, status_of, submitted_order
from apps.oms.alpaca.refusals import TRIGGERED, already, order_not_found, refused_order, triggered, untraded
from apps.oms.alpaca.requests import NO_CONTENT, AlpacaReply, AlpacaRequest, flag_in, reply
from apps.oms.cancel import cancel, cancel_algos, open_algos
from apps.oms.metrics import OmsMetrics
from apps.oms.reads import OrderReads
from apps.oms.replace import FOLLOWING, ReplaceHandler
from apps.oms.submit import SubmitHandler, untradable
from apps.oms.submit_body import TermsReader
from domain.instruments import Denial
from domain.ports import Clock
from domain.risk.controls import Controls
from domain.values import AT_SESSIONS


class AlpacaOrders:
    """The handlers of `/v2/orders`."""

    def __init__(
        self,
        hosts: Hosts,
        reads: OrderReads,
        intake: SubmitHandler,
        classes: ClassSubmits,
        replaces: ReplaceHandler,
        reader: TermsReader,
        lookup: OrderLookup,
        assets: AssetBook,
        may_trade: Callable[[str], bool],
        clock: Clock,
        controls: Controls,
        metrics: OmsMetrics,
    ) -> None:
        """`may_trade`: whether the account is not closed."""
        self._hosts = hosts
        self._reads = reads
        self._intake = intake
        self._classes = classes
        self._replaces = replaces
        self._reader = reader
        self._lookup = lookup
        self._assets = assets
        self._may_trade = may_trade
        self._clock = clock
        self._controls = controls
        self._metrics = metrics

    async def submit(self, request: AlpacaRequest) -> AlpacaReply:
        """Submit an order, or those of a class; answered after their commit is on disk. AlpacaRefusal, Refusal."""
        began = time.perf_counter()
        try:
            key = request.idempotency_key
            wanted, again = (
                self._as_of_now(read_order(request.body, self._assets, request.account, key, self._hosts.shards)),
                key is not None,
            )
            submit = self.place if wanted.exits is None else self._classes.place
            shown = await submit(wanted, request.caller.key_id, again=again)
        finally:
            self._metrics.submitted(time.perf_counter() - began)
        return reply(shown)

    def _as_of_now(self, wanted: OrderRequest) -> OrderRequest:
        """Return the order with what depends on this moment: the opening or closing that it is for, and what its money is worth.

        That is none, and zero, if there is no session and no quote, which is refused later.
        """
        terms = wanted.terms
        if terms.time_in_force in AT_SESSIONS:
            terms = structs.replace(terms, auction=self._reader.auction(terms.symbol, terms.time_in_force))
        if wanted.notional is None:
            return wanted if terms is wanted.terms else wanted._replace(terms=terms)
        quantity, quote = self._reader.sized(terms.symbol, terms.side, wanted.notional, None)
        return wanted._replace(terms=structs.replace(terms, quantity=quantity, notional=wanted.notional, quote=quote))

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
            raise refused_order(answer.order, asset, answer.seq, self._controls.kills)
        return submitted_order(answer.order, asset, answer.seq)

    async def one(self, request: AlpacaRequest) -> AlpacaReply:
        return await self._shown(await self._lookup.by_id(request.rest, request), request)

    async def by_client_order_id(self, request: AlpacaRequest) -> AlpacaReply:
        given = client_order_id_in(request.query.get("client_order_id"))
        if given is None:
            raise malformed_field("client_order_id", "is required")
        found = await self._lookup.by_client_order_id(given, request)
        if found is None:
            raise order_not_found(given)
        return await self._shown(found, request)

    async def _shown(self, named: Named, request: AlpacaRequest) -> AlpacaReply:
        return reply((await self._lookup.shown([named], nested=flag_in(request.query, "nested")))[0])

    async def replace(self, request: AlpacaRequest) -> AlpacaReply:
        """Ask for new terms; answer with their generation, which is a new order to the client. AlpacaRefusal, Refusal."""
        found = await self._lookup.by_id(request.rest, request)
        order, asset = found.order, self._assets.of(found.order.symbol)
        found.refuse_if_closed()
        tif = order_of(order, asset).time_in_force
        wanted = read_replacement(request.body, asset, tif, request.idempotency_key, order.trail)
        if order.role in FOLLOWING and wanted.quantity == order.quantity:
            wanted = wanted._replace(quantity=None)  # some clients repeat what an order has
        known = await self._lookup.by_client_order_id(wanted.client_order_id, request)
        if known is not None and (known.order is not order or request.idempotency_key is None):
            raise AlpacaRefusal(422, MALFORMED, NOT_UNIQUE, order_id=known.shown_id)
        if not self._may_trade(order.account):
            raise in_alpaca_words(untradable(Denial("account_closed", order.account)))
        try:
            await self._replaces.replace(order, wanted, by=request.caller.key_id)
        except Refusal as refusal:
            if refusal.code == "illegal_transition" and refusal.extra.get("reason") == TRIGGERED:
                raise triggered(found.shown_id) from None
            if refusal.code == "illegal_transition":
                raise already(status_of(order), found.shown_id) from None
            raise untraded(refusal, asset, order.side) from None
        made = await self._lookup.by_client_order_id(wanted.client_order_id, request)
        if made is None:
            raise AlpacaRefusal(422, UNPROCESSABLE, "the order has these terms already", reason="unchanged", order_id=found.shown_id)
        return reply((await self._lookup.shown([made]))[0])

    async def cancel(self, request: AlpacaRequest) -> AlpacaReply:
        """Cancel an order; a repeated request while its cancel is pending changes nothing. AlpacaRefusal when it is closed."""
        named = await self._lookup.by_id(request.rest, request)
        named.refuse_if_closed()
        await self._cancel(named, request.caller.key_id)
        return NO_CONTENT

    async def cancel_all(self, request: AlpacaRequest) -> AlpacaReply:
        """Cancel every open order of the account."""
        return reply(await self.cancel_open(request), 207)

    async def cancel_open(self, request: AlpacaRequest) -> list[dict[str, Any]]:
        """Cancel every open order of the account, and before them its algos; return a status for each order. Refusal 503."""
        await self._reads.proven_of(request.account)
        opened = [Named(order, order.generation) for order in self._hosts.of(request.account).orders.open_of(request.account)]
        await cancel_algos(self._hosts, open_algos(self._hosts, request.account), by=request.caller.key_id)
        results = await asyncio.gather(*(self._cancel(each, request.caller.key_id) for each in opened), return_exceptions=True)
        statuses = []
        for each, result in zip(opened, results, strict=True):
            if isinstance(result, BaseException) and not isinstance(result, AlpacaRefusal):
                raise result
            statuses.append({"id": each.shown_id, "status": result.status if isinstance(result, AlpacaRefusal) else 200})
        return statuses

    async def _cancel(self, named: Named, by: str) -> None:
        """Cancel an order; nothing changes if it is cancelled, as legs are with their entry. AlpacaRefusal, Refusal 503."""
        try:
            await cancel(self._hosts, named.order, by=by)
        except Refusal as refusal:
            if refusal.code == "illegal_transition":
                raise already(status_of(named.order), named.shown_id) from None
            raise
