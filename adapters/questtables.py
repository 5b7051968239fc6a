"""The tables of ticks in QuestDB: columns, keys, the bars that are views on them, and how a record becomes a line of ILP."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from questdb import TimestampNanos

from domain.archive.market_rows import BOOK_TOP, FACTS, QUOTES, TRADES, BookLevel
from domain.market.quotes import Quote
from domain.market.records import Fact, MarketTrade

TICK_TABLES: Final[Mapping[str, str]] = {
    QUOTES: """
CREATE TABLE IF NOT EXISTS quotes (
  at TIMESTAMP_NS, venue SYMBOL, symbol SYMBOL, bid DECIMAL(38,18), bid_size DECIMAL(38,18), ask DECIMAL(38,18), ask_size DECIMAL(38,18),
  received TIMESTAMP_NS, seq LONG, flags SYMBOL
) timestamp(at) PARTITION BY HOUR WAL DEDUP UPSERT KEYS(at, venue, symbol, seq)
""",
    TRADES: """
CREATE TABLE IF NOT EXISTS trades (
  at TIMESTAMP_NS, venue SYMBOL, symbol SYMBOL, trade_id VARCHAR, price DECIMAL(38,18), quantity DECIMAL(38,18), side SYMBOL,
  received TIMESTAMP_NS, seq LONG, flags SYMBOL
) timestamp(at) PARTITION BY HOUR WAL DEDUP UPSERT KEYS(at, venue, symbol, trade_id)
""",
    BOOK_TOP: """
CREATE TABLE IF NOT EXISTS book_top (
  at TIMESTAMP_NS, venue SYMBOL, symbol SYMBOL, level INT, bid DECIMAL(38,18), bid_size DECIMAL(38,18), ask DECIMAL(38,18),
  ask_size DECIMAL(38,18), received TIMESTAMP_NS, seq LONG, flags SYMBOL
) timestamp(at) PARTITION BY HOUR WAL DEDUP UPSERT KEYS(at, venue, symbol, seq, level)
""",
    FACTS: """
CREATE TABLE IF NOT EXISTS market_facts (
  at TIMESTAMP_NS, venue SYMBOL, symbol SYMBOL, fact SYMBOL, from_seq LONG, to_seq LONG, detail VARCHAR, epoch LONG, n LONG
) timestamp(at) PARTITION BY DAY WAL DEDUP UPSERT KEYS(at, venue, symbol, fact, from_seq, to_seq, epoch, n)
""",
}

_OF_TRADES: Final = (
    "first(price) AS open, max(price) AS high, min(price) AS low, last(price) AS close, sum(quantity) AS volume, count() AS count"
)
_OF_BARS: Final = (
    "first(open) AS open, max(high) AS high, min(low) AS low, last(close) AS close, sum(volume) AS volume, sum(count) AS count"
)
BARS: Final = {
    "bars_1m": (TRADES, "1m", "DAY"),
    "bars_5m": ("bars_1m", "5m", "MONTH"),
    "bars_15m": ("bars_1m", "15m", "MONTH"),
    "bars_1h": ("bars_1m", "1h", "MONTH"),
    "bars_1d": ("bars_1h", "1d", "YEAR"),
}
"""View -> what it is made of, its interval, its partitions. In the order of creation."""


TTL_SET: Final = f"SELECT count() FROM tables() WHERE table_name = '{TRADES}' AND ttlValue > 0"
TTL_OFF: Final = f"ALTER TABLE {TRADES} SET TTL 0 HOURS"
"""A TTL is set for the moment in which a day is dropped (adapters/questdays.py). One that a killed process left would drop more."""


def view(name: str) -> str:
    """Return the statement that creates a view of bars. QuestDB keeps it up to date, also for late and repeated trades."""
    base, interval, partition = BARS[name]
    columns = _OF_TRADES if base == TRADES else _OF_BARS
    return (
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {name} AS (SELECT at, venue, symbol, {columns} FROM {base} SAMPLE BY {interval})"
        f" PARTITION BY {partition}"
    )


def _flags(flags: tuple[str, ...]) -> str | None:
    return " ".join(flags) if flags else None


def _quote(quote: Quote) -> dict[str, Any]:
    return {
        "symbols": {"venue": quote.venue, "symbol": quote.symbol, "flags": _flags(quote.flags)},
        "columns": {
            "bid": quote.bid,
            "bid_size": quote.bid_size,
            "ask": quote.ask,
            "ask_size": quote.ask_size,
            "received": TimestampNanos(quote.received),
            "seq": quote.seq,
        },
    }


def _trade(trade: MarketTrade) -> dict[str, Any]:
    return {
        "symbols": {"venue": trade.venue, "symbol": trade.symbol, "side": trade.side.value, "flags": _flags(trade.flags)},
        "columns": {
            "trade_id": trade.trade_id,
            "price": trade.price,
            "quantity": trade.quantity,
            "received": TimestampNanos(trade.received),
            "seq": trade.seq,
        },
    }


def _level(level: BookLevel) -> dict[str, Any]:
    return {
        "symbols": {"venue": level.venue, "symbol": level.symbol, "flags": _flags(level.flags)},
        "columns": {
            "level": level.level,
            "bid": level.bid,
            "bid_size": level.bid_size,
            "ask": level.ask,
            "ask_size": level.ask_size,
            "received": TimestampNanos(level.received),
            "seq": level.seq,
        },
    }


def _fact(fact: Fact) -> dict[str, Any]:
    return {
        "symbols": {"venue": fact.venue, "symbol": fact.symbol, "fact": fact.fact.value},
        "columns": {"from_seq": fact.from_, "to_seq": fact.to, "detail": fact.detail, "epoch": fact.epoch, "n": fact.n},
    }


LINES: Final[Mapping[str, Callable[[Any], dict[str, Any]]]] = {QUOTES: _quote, TRADES: _trade, BOOK_TOP: _level, FACTS: _fact}
"""Table -> symbols and columns of a record's line. A None is left out and reads as NULL."""
SOUND: Final[Mapping[str, Callable[[Any], bool]]] = {
    QUOTES: lambda q: q.at > 0 and q.bid.is_finite() and q.bid_size.is_finite() and q.ask.is_finite() and q.ask_size.is_finite(),
    TRADES: lambda t: t.at > 0 and t.price.is_finite() and t.quantity.is_finite(),
    BOOK_TOP: lambda b: b.at > 0 and all(x is None or x.is_finite() for x in (b.bid, b.bid_size, b.ask, b.ask_size)),
    FACTS: lambda f: f.at > 0,
}
"""Table -> whether QuestDB would store a record as it is, or refuse it. It stores a number that is not finite silently as NULL."""
