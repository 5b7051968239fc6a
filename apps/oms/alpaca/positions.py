"""Positions as Alpaca shows them, and orders that close them."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from apps.http.alpaca_words import NOT_FOUND, AlpacaRefusal, in_alpaca_words, malformed_field
from apps.http.problem import Refusal
from apps.journal.shard_hosts import Hosts
from apps.oms.accounts import Accounts
from apps.oms.alpaca.catalogue import CRYPTO, AlpacaAsset, AssetBook
from apps.oms.alpaca.numbers import NotANumber, read_number
from apps.oms.alpaca.order_body import OrderRequest, new_client_order_id
from apps.oms.alpaca.order_classes import available_of
from apps.oms.alpaca.order_handlers import AlpacaOrders
from apps.oms.alpaca.orders import AlpacaOrder
from apps.oms.alpaca.refusals import no_quantity
from apps.oms.alpaca.requests import AlpacaReply, AlpacaRequest, flag_in, reply
from domain.market.quotes import Market
from domain.order.commands import Terms
from domain.ports import Clock
from domain.values import ZERO, OrderType, Side, divide, plain

CANCELS_WAIT_S: Final = 2.0
CANCELS_POLL_S: Final = 0.01
PERCENT: Final = Decimal(100)
FRACTION_PLACES: Final = 8


class AlpacaPositions:
    """The handlers of `/v2/positions`."""

    def __init__(
        self,
        hosts: Hosts,
        accounts: Accounts,
        orders: AlpacaOrders,
        assets: AssetBook,
        market: Market,
        clock: Clock,
        quote_age_max_ns: int,
    ) -> None:
        self._hosts = hosts
        self._accounts = accounts
        self._orders = orders
        self._assets = assets
        self._market = market
        self._clock = clock
        self._age_max_ns = quote_age_max_ns

    async def all(self, request: AlpacaRequest) -> AlpacaReply:
        """List the positions that are not flat, as of everything that is on disk now. Refusal 503."""
        held = await self._held(request.account)
        return reply([self._shown(symbol, view, request.account) for symbol, view in sorted(held.items())])

    async def one(self, request: AlpacaRequest) -> AlpacaReply:
        symbol, view = await self._of(request)
        return reply(self._shown(symbol, view, request.account))

    async def close(self, request: AlpacaRequest) -> AlpacaReply:
        """Close a position, or a part of it (`qty` or `percentage`), with one market order."""
        symbol, view = await self._of(request)
        held = view["quantity"]
        asset = self._assets.of(symbol)
        wanted = _part(request.query, abs(held), asset.lot)
        available = available_of(symbol, held, self._hosts.of(request.account).orders.open_of(request.account))
        if wanted > available:
            raise no_quantity(plain(wanted), plain(available))
        return reply(await self._closed(request, asset, held, wanted))

    async def close_all(self, request: AlpacaRequest) -> AlpacaReply:
        """Close every position with one market order each, after its cancels if `cancel_orders` says so."""
        if flag_in(request.query, "cancel_orders"):
            await self._orders.cancel_open(request)
            await self._await_cancels(request.account)
        held = await self._held(request.account)
        closing = (self._closing(request, symbol, view["quantity"]) for symbol, view in sorted(held.items()))
        return reply(await asyncio.gather(*closing), 207)

    async def _closing(self, request: AlpacaRequest, symbol: str, held: Decimal) -> dict[str, Any]:
        asset = self._assets.of(symbol)
        try:
            try:
                return {"symbol": asset.shown, "status": 200, "body": await self._closed(request, asset, held, abs(held))}
            except Refusal as refusal:
                raise in_alpaca_words(refusal) from None
        except AlpacaRefusal as words:
            return {"symbol": asset.shown, "status": words.status, "body": {"code": words.code, "message": words.message, **words.extra}}

    async def _closed(self, request: AlpacaRequest, asset: AlpacaAsset, held: Decimal, wanted: Decimal) -> AlpacaOrder:
        client_order_id = new_client_order_id()
        lot = asset.lot
        terms = Terms(
            order_id=self._hosts.shards.order_id(request.account, client_order_id),
            account=request.account,
            client_order_id=client_order_id,
            symbol=asset.symbol,
            side=Side.SELL if held > ZERO else Side.BUY,
            order_type=OrderType.MARKET,
            quantity=wanted if lot is None else wanted - wanted % lot,
            reduce_only=True,
        )
        return await self._orders.place(OrderRequest(terms, asset, None), request.caller.key_id)

    async def _await_cancels(self, account: str) -> None:
        """Wait until the account has no open order, for a bounded time."""
        deadline = asyncio.get_running_loop().time() + CANCELS_WAIT_S
        orders = self._hosts.of(account).orders
        while orders.open_count(account) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - venues end orders
            await asyncio.sleep(CANCELS_POLL_S)

    async def _of(self, request: AlpacaRequest) -> tuple[str, Mapping[str, Any]]:
        asset = self._assets.find(request.rest)
        symbol = request.rest if asset is None else asset.symbol
        held = await self._held(request.account)
        if symbol not in held:
            raise AlpacaRefusal(404, NOT_FOUND, "position does not exist")
        return symbol, held[symbol]

    async def _held(self, account: str) -> dict[str, Mapping[str, Any]]:
        """Return the positions that are not flat. They reflect every commit up to now. Refusal 503."""
        view, _ = await self._accounts.positions(account, self._hosts.of(account).head.seq)
        return {symbol: position for symbol, position in view.items() if position["quantity"]}

    def _shown(self, symbol: str, view: Mapping[str, Any], account: str) -> dict[str, Any]:
        asset, quantity, average = self._assets.of(symbol), view["quantity"], view["average_price"]
        mid = self._market.mid(symbol, self._clock.monotonic_ns() - self._age_max_ns)
        price: Decimal = view["last_price"] if mid is None else mid
        value, cost = quantity * price, quantity * average
        gain = value - cost
        share = plain(divide(gain, abs(cost), FRACTION_PLACES)) if cost else "0"
        return {
            "asset_id": asset.asset_id,
            "symbol": asset.shown,
            "exchange": asset.exchange,
            "asset_class": asset.asset_class,
            "asset_marginable": asset.asset_class != CRYPTO,
            "qty": plain(quantity),
            "qty_available": plain(available_of(symbol, quantity, self._hosts.of(account).orders.open_of(account))),
            "side": "long" if quantity > ZERO else "short",
            "avg_entry_price": plain(average),
            "cost_basis": plain(cost),
            "market_value": plain(value),
            "current_price": plain(price),
            "unrealized_pl": plain(gain),
            "unrealized_plpc": share,
            "unrealized_intraday_pl": plain(gain),
            "unrealized_intraday_plpc": share,
            "lastday_price": plain(average),
            "change_today": plain(divide(price - average, abs(average), FRACTION_PLACES)) if average else "0",
        }


def _part(query: Mapping[str, str], held: Decimal, lot: Decimal | None) -> Decimal:
    """Return how much of a position is to be closed: all, `qty`, or `percentage`. AlpacaRefusal."""
    if query.get("qty") and query.get("percentage"):
        raise malformed_field("percentage", "cannot be given together with qty")
    if text := query.get("qty"):
        return _number("qty", text, lot)
    if text := query.get("percentage"):
        share = _number("percentage", text, None)
        if share > PERCENT:
            raise malformed_field("percentage", "must be at most 100")
        return held * share / PERCENT
    return held


def _number(name: str, text: str, step: Decimal | None) -> Decimal:
    try:
        number = read_number(msgspec.Raw(text.encode()), name, step)
    except NotANumber as error:
        raise malformed_field(name, str(error)) from None
    if number is None or number <= ZERO:
        raise malformed_field(name, "must be above zero")
    return number
