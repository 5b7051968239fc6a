"""Wiring of the facade: its handlers by route."""

from collections.abc import Sequence
from typing import NamedTuple

from apps.http import tls
from apps.journal.shard_hosts import Hosts
from apps.oms.accounts import Accounts
from apps.oms.alpaca.account import AlpacaAccounts
from apps.oms.alpaca.activities import AlpacaActivities
from apps.oms.alpaca.app import AlpacaApp, Routes
from apps.oms.alpaca.bars import AlpacaBars
from apps.oms.alpaca.catalogue import AssetBook
from apps.oms.alpaca.class_submits import ClassSubmits
from apps.oms.alpaca.market_data import AlpacaMarketData
from apps.oms.alpaca.order_handlers import AlpacaOrders
from apps.oms.alpaca.order_list import OrderList
from apps.oms.alpaca.order_lookup import OrderLookup
from apps.oms.alpaca.portfolio import RiskReader
from apps.oms.alpaca.portfolio_history import EquityHistory
from apps.oms.alpaca.positions import AlpacaPositions
from apps.oms.alpaca.recent_fills import RecentFills
from apps.oms.alpaca.reference import AlpacaReference
from apps.oms.alpaca.ticks import AlpacaTicks
from apps.oms.equity import EquityReads
from apps.oms.lists import ListHandler
from apps.oms.market_reads import MarketReads
from apps.oms.metrics import OmsMetrics
from apps.oms.reads import OrderReads
from apps.oms.replace import ReplaceHandler
from apps.oms.submit import SubmitHandler
from apps.oms.submit_body import TermsReader
from apps.runtime.chassis import Chassis
from config.settings import OmsSettings
from domain.access.keys import KeyRing
from domain.market.quotes import Market
from domain.market.trading_hours import Calendar
from domain.ports import Clock, Fills
from domain.risk.controls import Controls


class FacadeParts(NamedTuple):
    """What the facade needs of oms."""

    hosts: Hosts
    reads: OrderReads
    intake: SubmitHandler
    replaces: ReplaceHandler
    reader: TermsReader
    accounts: Accounts
    fills: Fills
    recent: RecentFills
    lists: ListHandler
    market: Market
    controls: Controls
    clock: Clock
    metrics: OmsMetrics
    equity: EquityReads
    recorded: MarketReads


def mounts(
    chassis: Chassis[OmsSettings], assets: AssetBook, calendars: Sequence[Calendar], parts: FacadeParts, quote_age_max_s: float
) -> dict[str, AlpacaApp]:
    """Build the facade, by the beginning of its paths; nothing if it is not enabled. `calendars` are those of the venues."""
    if chassis.alpaca is None:
        return {}
    risk = RiskReader.at(str(chassis.settings.peers.risk_url), chassis.keys, tls.context_to_peers(chassis.settings))
    chassis.exits.push_async_callback(risk.close)
    routes = facade_routes(assets, calendars, chassis.keys, risk, parts, int(quote_age_max_s * 1e9))
    return {chassis.alpaca.base: AlpacaApp(chassis.alpaca.base, routes)}


def facade_routes(
    assets: AssetBook, calendars: Sequence[Calendar], keys: KeyRing, risk: RiskReader, parts: FacadeParts, age_max_ns: int
) -> Routes:
    """Build the handlers, by route below the base. `age_max_ns`: how old a quote may be."""
    lookup = OrderLookup(parts.hosts, parts.reads, assets)
    orders = AlpacaOrders(
        parts.hosts,
        parts.reads,
        parts.intake,
        ClassSubmits(parts.hosts, parts.lists, parts.accounts, parts.reader, parts.clock, parts.controls),
        parts.replaces,
        parts.reader,
        lookup,
        assets,
        keys.may_trade,
        parts.clock,
        parts.controls,
        parts.metrics,
    )
    listed = OrderList(parts.hosts, parts.reads, lookup, assets)
    reference = AlpacaReference(assets, calendars, parts.controls.blocks, parts.clock)
    bars = AlpacaBars(assets, parts.recorded, parts.clock)
    data = AlpacaMarketData(assets, parts.market, parts.clock, age_max_ns, bars)
    positions = AlpacaPositions(parts.hosts, parts.accounts, orders, assets, parts.market, parts.clock, age_max_ns)
    accounts = AlpacaAccounts(risk, keys, parts.controls, parts.equity)
    history = EquityHistory(parts.equity, parts.clock)
    activities = AlpacaActivities(lookup, parts.fills, parts.recent, assets)
    return {
        ("POST", "/v2/orders"): orders.submit,
        ("GET", "/v2/orders"): listed.page,
        ("DELETE", "/v2/orders"): orders.cancel_all,
        ("GET", "/v2/orders:by_client_order_id"): orders.by_client_order_id,
        ("GET", "/v2/orders/{order_id}"): orders.one,
        ("PATCH", "/v2/orders/{order_id}"): orders.replace,
        ("DELETE", "/v2/orders/{order_id}"): orders.cancel,
        ("GET", "/v2/positions"): positions.all,
        ("DELETE", "/v2/positions"): positions.close_all,
        ("GET", "/v2/positions/{asset:path}"): positions.one,
        ("DELETE", "/v2/positions/{asset:path}"): positions.close,
        ("GET", "/v2/account"): accounts.show,
        ("GET", "/v2/account/configurations"): accounts.configurations,
        ("PATCH", "/v2/account/configurations"): accounts.configure,
        ("GET", "/v2/account/activities"): activities.page,
        ("GET", "/v2/account/activities/{type}"): activities.page,
        ("GET", "/v2/account/portfolio/history"): history.show,
        ("GET", "/v2/assets"): reference.assets,
        ("GET", "/v2/assets/{asset:path}"): reference.asset,
        ("GET", "/v2/clock"): reference.clock,
        ("GET", "/v2/calendar"): reference.calendar,
        **_market_routes(data, bars, AlpacaTicks(assets, parts.recorded, parts.clock)),
    }


def _market_routes(data: AlpacaMarketData, bars: AlpacaBars, ticks: AlpacaTicks) -> Routes:
    """Return the handlers of market data, which need no key."""
    return {
        ("GET", "/v1beta3/crypto/{loc}/latest/quotes"): data.crypto_quotes,
        ("GET", "/v1beta3/crypto/{loc}/latest/orderbooks"): data.crypto_books,
        ("GET", "/v1beta3/crypto/{loc}/snapshots"): data.crypto_snapshots,
        ("GET", "/v1beta3/crypto/{loc}/bars"): bars.crypto_bars,
        ("GET", "/v1beta3/crypto/{loc}/latest/bars"): bars.latest_crypto_bars,
        ("GET", "/v1beta3/crypto/{loc}/latest/trades"): bars.latest_crypto_trades,
        ("GET", "/v1beta3/crypto/{loc}/trades"): ticks.crypto_trades,
        ("GET", "/v1beta3/crypto/{loc}/quotes"): ticks.crypto_quotes,
        ("GET", "/v2/stocks/trades"): ticks.stock_trades,
        ("GET", "/v2/stocks/quotes"): ticks.stock_quotes,
        ("GET", "/v2/stocks/auctions"): ticks.auctions,
        ("GET", "/v2/stocks/{symbol}/trades"): ticks.trades_of_stock,
        ("GET", "/v2/stocks/{symbol}/quotes"): ticks.quotes_of_stock,
        ("GET", "/v2/stocks/{symbol}/auctions"): ticks.auctions_of_stock,
        ("GET", "/v2/stocks/bars"): bars.stock_bars,
        ("GET", "/v2/stocks/bars/latest"): bars.latest_stock_bars,
        ("GET", "/v2/stocks/{symbol}/bars"): bars.bars_of_stock,
        ("GET", "/v2/stocks/trades/latest"): bars.latest_stock_trades,
        ("GET", "/v2/stocks/quotes/latest"): data.stock_quotes,
        ("GET", "/v2/stocks/snapshots"): data.stock_snapshots,
        ("GET", "/v2/stocks/{symbol}/bars/latest"): bars.latest_bar_of_stock,
        ("GET", "/v2/stocks/{symbol}/trades/latest"): bars.latest_trade_of_stock,
        ("GET", "/v2/stocks/{symbol}/quotes/latest"): data.quote_of_stock,
        ("GET", "/v2/stocks/{symbol}/snapshot"): data.snapshot_of_stock,
    }
