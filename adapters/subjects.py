"""Every stream and subject on NATS, by name. apps/stack/credentials/nats.py defines who may use which.

`*` is one token, `>` all that follow. Shards are numbered from 0. `domain.values.subject_token` converts a symbol to a token.
"""

from typing import Final

# Journals: one stream each
ORDER_STREAM: Final = "OMS_JOURNAL"
VENUE_STREAM: Final = "PAPER_VENUES"
CONTROL_STREAM: Final = "RISK_CONTROL"
ORDER_JOURNALS: Final = "oms.journal.*"
VENUE_JOURNALS: Final = "venue.journal.*"
CONTROL_JOURNALS: Final = "risk.control.*"
ACCESS_STREAM: Final = "ACCESS"
ACCESS_JOURNALS: Final = "access.*"
ACCESS: Final = "access.control"
LEASE_STREAM: Final = "KV_OMS_SHARDS"
"""The stream of the key-value bucket OMS_SHARDS: who should own which shard."""
LEASES: Final = "$KV.OMS_SHARDS.>"
CONTROLS: Final = "risk.control.all"
"""One journal for every kind of control, so that one version number identifies what was in force."""

# The market: streams on the second NATS server, by venue
MARKET_RAW_STREAM: Final = "MARKET_RAW"
MARKET_STREAM: Final = "MARKET"
MARKET_FACTS_STREAM: Final = "MARKET_FACTS"
MARKET_RAW: Final = "market.raw.*"
MARKET_QUOTES: Final = "market.quotes.*"
MARKET_TRADES: Final = "market.trades.*"
MARKET_BOOKS: Final = "market.books.*"
MARKET_FACTS: Final = "market.facts.*"
MARKET_CONTROLS: Final = "market.control.*"
BARS: Final = "ohlcv.>"

# Requests between services
CHECK: Final = "risk.check.order"
DRY_CHECK: Final = "risk.check.dry"
"""A check from outside the services' account: it never reserves anything."""
KILL_REPORT: Final = "risk.kill"
COMMANDS: Final = "oms.commands.*"
ACKNOWLEDGED: Final = "controls.obeyed.*"
ACCESS_QUESTIONS: Final = "access.asked.*"
SERVICE_STATS: Final = "services.stats.*"

# Sessions with venues, by venue and shard
REQUESTS: Final = "venue.*.requests.*"
REPORTS: Final = "venue.*.reports.*"
SESSIONS: Final = "venue.*.session.*"

# Announcements
FILLS: Final = "fills.>"
POSITIONS: Final = "positions.>"
ORDER_COPIES: Final = "oms.orders.>"
TICKS: Final = "ticks.>"
DEPTHS: Final = "depth.>"
"""Books behind quotes, for exeq and paper venues alone: all other readers of quotes would pay for levels that they do not use."""
PRINTS: Final = "prints.>"
"""Trades at venues of the market: paper venues estimate with them how much is ahead of an order, trailing stops may follow them."""
CONTROL_EVENTS: Final = "risk.control.>"
PRICES: Final = "prices.>"
PRICES_CHANGED: Final = "prices.changed"
"""Published without a payload after closes were written."""
NEW_ORDERS: Final = "orders.>"
"""Requests to venues with an unsequenced session, and announcements for the others."""


def order_subject(shard: int) -> str:
    return f"oms.journal.{shard}"


def order_stream(shard: int, shards: int = 1) -> str:
    """Return the stream of a shard's journal. With several shards each has its own."""
    return ORDER_STREAM if shards == 1 else f"{ORDER_STREAM}_{shard}"


def order_stream_subject(shard: int, shards: int = 1) -> str:
    """Return the subject that this stream takes."""
    return ORDER_JOURNALS if shards == 1 else order_subject(shard)


def lease(key: str) -> str:
    """Return the subject of a key of the lease store."""
    return f"$KV.OMS_SHARDS.{key}"


def venue_subject(venue: str) -> str:
    return f"venue.journal.{venue}"


def commands(shard: int) -> str:
    return f"oms.commands.{shard}"


def acknowledged(service: str) -> str:
    """Return the subject on which `service` replies with the version of the controls it has applied."""
    return f"controls.obeyed.{service}"


def access_questions(service: str) -> str:
    """Return the subject on which `service` replies which access events it has applied, and what it has seen of keys."""
    return f"access.asked.{service}"


def service_stats(service: str) -> str:
    """Return the subject on which `service` says what its `/stats` says."""
    return f"services.stats.{service}"


def owner(service: str, shard: int | str) -> str:
    """Return the subject on which the active process of `service` replies; a standby process does not."""
    return f"{service}.owner.{shard}"


def requests(venue: str, shard: int) -> str:
    return f"venue.{venue}.requests.{shard}"


def requests_of(venue: str) -> str:
    """Return the subject of the requests of all shards to a venue."""
    return f"venue.{venue}.requests.*"


def sessions_of(venue: str) -> str:
    """Return the subject of the session requests of all shards to a venue."""
    return f"venue.{venue}.session.*"


def reports(venue: str, shard: int) -> str:
    return f"venue.{venue}.reports.{shard}"


def session(venue: str, shard: int) -> str:
    return f"venue.{venue}.session.{shard}"


def orders(account: str, verb: str) -> str:
    return f"orders.{account}.{verb}"


def fills(account: str) -> str:
    return f"fills.{account}"


def positions(account: str) -> str:
    return f"positions.{account}"


def order_copy(account: str, order_id: str) -> str:
    return f"oms.orders.{account}.{order_id}"


def ticks(symbol_token: str) -> str:
    return f"ticks.{symbol_token}"


def depth(venue: str, symbol_token: str) -> str:
    return f"depth.{venue}.{symbol_token}"


def prints(venue: str, symbol_token: str) -> str:
    return f"prints.{venue}.{symbol_token}"


def market(kind: str, venue: str) -> str:
    """Return the subject of a venue: `kind` is raw, quotes, trades, books, facts or control."""
    return f"market.{kind}.{venue}"


def bars(interval: str, symbol_token: str) -> str:
    return f"ohlcv.{interval}.{symbol_token}"
