"""Wiring of the facade: its handlers by route."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from apps.journal.shard_host import ShardHost
from apps.oms.alpaca.app import AlpacaApp
from apps.oms.alpaca.catalogue import AssetBook
from apps.oms.alpaca.market_data import AlpacaMarketData
from apps.oms.alpaca.order_handlers import AlpacaOrders
from apps.oms.alpaca.reference import AlpacaReference
from apps.oms.metrics import OmsMetrics
from apps.oms.reads import OrderReads
from apps.oms.submit import SubmitHandler
from apps.oms.submit_body import TermsReader
from domain.market.quotes import Market
from domain.market.trading_hours import Calendar
from domain.ports import Clock


class FacadeParts(NamedTuple):
    """What the facade needs of oms."""

    assets: AssetBook
    host: ShardHost
    reads: OrderReads
    intake: SubmitHandler
    reader: TermsReader
    market: Market
    calendars: Sequence[Calendar]
    blocked: Collection[str]
    clock: Clock
    metrics: OmsMetrics
    quote_age_max_s: float


def facade(base: str, parts: FacadeParts) -> AlpacaApp:
    """Build the application that serves the paths below `base`."""
    orders = AlpacaOrders(parts.host, parts.reads, parts.intake, parts.reader, parts.assets, parts.clock, parts.metrics)
    reference = AlpacaReference(parts.assets, parts.calendars, parts.blocked, parts.clock)
    data = AlpacaMarketData(parts.assets, parts.market, parts.clock, int(parts.quote_age_max_s * 1e9))
    return AlpacaApp(
        base,
        {
            ("POST", "/v2/orders"): orders.submit,
            ("GET", "/v2/orders"): orders.page,
            ("DELETE", "/v2/orders"): orders.cancel_all,
            ("GET", "/v2/orders:by_client_order_id"): orders.by_client_order_id,
            ("GET", "/v2/orders/{order_id}"): orders.one,
            ("DELETE", "/v2/orders/{order_id}"): orders.cancel,
            ("GET", "/v2/assets"): reference.assets,
            ("GET", "/v2/assets/{asset:path}"): reference.asset,
            ("GET", "/v2/clock"): reference.clock,
            ("GET", "/v2/calendar"): reference.calendar,
            ("GET", "/v1beta3/crypto/{loc}/latest/quotes"): data.crypto_quotes,
            ("GET", "/v1beta3/crypto/{loc}/latest/orderbooks"): data.crypto_books,
            ("GET", "/v1beta3/crypto/{loc}/snapshots"): data.crypto_snapshots,
            ("GET", "/v2/stocks/quotes/latest"): data.stock_quotes,
            ("GET", "/v2/stocks/snapshots"): data.stock_snapshots,
        },
    )
