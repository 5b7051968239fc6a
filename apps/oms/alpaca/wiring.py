"""Wiring of the facade: its handlers by route."""

from collections.abc import Sequence
from typing import NamedTuple

from apps.journal.shard_host import ShardHost
from apps.oms.accounts import Accounts
from apps.oms.alpaca.account import AlpacaAccounts
from apps.oms.alpaca.activities import AlpacaActivities
from apps.oms.alpaca.app import AlpacaApp, Routes
from apps.oms.alpaca.catalogue import AssetBook
from apps.oms.alpaca.market_data import AlpacaMarketData
from apps.oms.alpaca.order_handlers import AlpacaOrders
from apps.oms.alpaca.order_list import OrderList
from apps.oms.alpaca.order_lookup import OrderLookup
from apps.oms.alpaca.portfolio import RiskReader
from apps.oms.alpaca.positions import AlpacaPositions
from apps.oms.alpaca.recent_fills import RecentFills
from apps.oms.alpaca.reference import AlpacaReference
from apps.oms.metrics import OmsMetrics
from apps.oms.reads import OrderReads
from apps.oms.replace import ReplaceHandler
from apps.oms.submit import SubmitHandler
from apps.oms.submit_body import TermsReader
from domain.access.keys import KeyRing
from domain.market.quotes import Market
from domain.market.trading_hours import Calendar
from domain.ports import Clock, Fills
from domain.risk.controls import Controls


class FacadeParts(NamedTuple):
    """What the facade needs of oms."""

    assets: AssetBook
    host: ShardHost
    reads: OrderReads
    intake: SubmitHandler
    replaces: ReplaceHandler
    reader: TermsReader
    market: Market
    calendars: Sequence[Calendar]
    controls: Controls
    keys: KeyRing
    risk: RiskReader
    accounts: Accounts
    fills: Fills
    recent: RecentFills
    clock: Clock
    metrics: OmsMetrics
    quote_age_max_s: float


def facade_routes(parts: FacadeParts) -> Routes:
    """Build the handlers, by route below the base."""
    lookup = OrderLookup(parts.host, parts.reads, parts.assets)
    orders = AlpacaOrders(
        parts.host,
        parts.reads,
        parts.intake,
        parts.replaces,
        parts.reader,
        lookup,
        parts.assets,
        parts.keys.may_trade,
        parts.clock,
        parts.metrics,
    )
    listed = OrderList(parts.host, parts.reads, lookup, parts.assets)
    reference = AlpacaReference(parts.assets, parts.calendars, parts.controls.blocks, parts.clock)
    age_max_ns = int(parts.quote_age_max_s * 1e9)
    data = AlpacaMarketData(parts.assets, parts.market, parts.clock, age_max_ns)
    positions = AlpacaPositions(parts.host, parts.accounts, orders, parts.assets, parts.market, parts.clock, age_max_ns)
    accounts = AlpacaAccounts(parts.risk, parts.keys, parts.controls)
    activities = AlpacaActivities(parts.host, parts.fills, parts.recent, parts.assets)
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
        ("GET", "/v2/account/activities"): activities.page,
        ("GET", "/v2/account/activities/{type}"): activities.page,
        ("GET", "/v2/assets"): reference.assets,
        ("GET", "/v2/assets/{asset:path}"): reference.asset,
        ("GET", "/v2/clock"): reference.clock,
        ("GET", "/v2/calendar"): reference.calendar,
        ("GET", "/v1beta3/crypto/{loc}/latest/quotes"): data.crypto_quotes,
        ("GET", "/v1beta3/crypto/{loc}/latest/orderbooks"): data.crypto_books,
        ("GET", "/v1beta3/crypto/{loc}/snapshots"): data.crypto_snapshots,
        ("GET", "/v2/stocks/quotes/latest"): data.stock_quotes,
        ("GET", "/v2/stocks/snapshots"): data.stock_snapshots,
    }


def facade(base: str, parts: FacadeParts) -> AlpacaApp:
    """Build the application that serves the paths below `base`."""
    return AlpacaApp(base, facade_routes(parts))
