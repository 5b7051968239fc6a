"""The tables and views of ClickHouse, and how the columns of each table travel as Arrow."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from domain.archive import tables

DATABASE: Final = "trade"
TEXT: Final = "LowCardinality(String)"
TIME: Final = "DateTime64(9, 'UTC')"
NUMBER: Final = "Decimal(38, 12)"
FEE: Final = "Decimal(76, 36)"
"""A fee is quantity x price x rate: up to 36 places."""

# Rows are on disk before the checkpoint that is ahead of them is.
DURABLE: Final = "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"


class TableShape(msgspec.Struct, frozen=True):
    """A table of rows of one kind: column -> type, its order, and the column whose highest value wins among rows of one place."""

    name: str
    kind: type[msgspec.Struct]
    columns: Mapping[str, str]
    order: str
    version: str = ""

    def ddl(self) -> str:
        columns = ", ".join(f"`{name}` {kind}" for name, kind in self.columns.items())
        return (
            f"CREATE TABLE IF NOT EXISTS {DATABASE}.{self.name} ({columns}) "
            f"ENGINE = ReplacingMergeTree({self.version}) ORDER BY {self.order} {DURABLE}"
        )

    def arrow(self) -> dict[str, Any]:
        """Return the Arrow type of each column."""
        import pyarrow as pa  # late: it takes 40 MB, which a service without ClickHouse does not need

        types = {
            "String": pa.string(),
            TEXT: pa.string(),
            TIME: pa.timestamp("ns", tz="UTC"),
            NUMBER: pa.decimal128(38, 12),
            FEE: pa.decimal256(76, 36),
            "UInt16": pa.uint16(),
            "UInt32": pa.uint32(),
            "UInt64": pa.uint64(),
        }
        return {
            name: types[kind.removeprefix("Nullable(").removesuffix(")") if "Nullable" in kind else kind]
            for name, kind in self.columns.items()
        }


_OPTIONAL_NUMBERS: Final = dict.fromkeys(("quantity", "price", "stop_price"), f"Nullable({NUMBER})") | {"fee": f"Nullable({FEE})"}
_LONG_TEXTS: Final = dict.fromkeys(("order_id", "client_order_id", "exec_id", "reason", "found", "limit", "detail", "by"), "String")
_NUMBERS: Final = dict.fromkeys(("bid", "bid_size", "ask", "ask_size"), NUMBER)
_PLACES: Final = {"shard": "UInt16", "epoch": "UInt64", "n": "UInt64", "i": "UInt32", "first": "UInt64", "last": "UInt64"}
_TIMES: Final = dict.fromkeys(("at", "received", "second"), TIME)
_KNOWN: Final = _OPTIONAL_NUMBERS | _LONG_TEXTS | _NUMBERS | _PLACES | _TIMES


def _shape(name: str, kind: type[Any], order: str, version: str = "") -> TableShape:
    return TableShape(name, kind, {field: _KNOWN.get(field, TEXT) for field in kind.__struct_fields__}, order, version)


TABLES: Final[Mapping[str, TableShape]] = {
    shape.name: shape
    for shape in (
        _shape(tables.ORDER_EVENTS, tables.EventTableRow, "(shard, n, i)"),
        _shape(tables.CONTROLS, tables.ControlTableRow, "(n, i)"),
        # facts of no frame all have the n 0
        _shape(tables.MARKET_FACTS, tables.FactTableRow, "(venue, epoch, n, i, at, symbol, fact)"),
        _shape(tables.QUOTES_1S, tables.QuoteTableRow, "(symbol, venue, second)", "received"),
    )
}

CHECKPOINTS: Final = f"""
CREATE TABLE IF NOT EXISTS {DATABASE}.checkpoints (name String, owner UInt64, written UInt64, body String)
ENGINE = ReplacingMergeTree(written) ORDER BY (name, owner) {DURABLE}
"""

FILLS: Final = f"""
CREATE OR REPLACE VIEW {DATABASE}.fills AS
SELECT e.at AS at, if(e.type = 'TradeBusted', concat(e.exec_id, ':bust'), e.exec_id) AS exec_id, e.order_id AS order_id,
  e.client_order_id AS client_order_id, e.account AS account, e.symbol AS symbol, e.side AS side, e.venue AS venue,
  assumeNotNull(if(e.type = 'TradeBusted', -e.quantity, e.quantity)) AS quantity, assumeNotNull(e.price) AS price,
  assumeNotNull(if(e.type = 'TradeBusted', -e.fee, e.fee)) AS fee, e.liquidity AS liquidity, e.shard AS shard, e.n AS n, e.i AS i
FROM {DATABASE}.order_events AS e FINAL WHERE e.type IN ('OrderFilled', 'TradeBusted')
"""

# A product of two numbers of 12 places has 24, which only 256 bits hold together with sums of them.
ORDERS: Final = f"""
CREATE OR REPLACE VIEW {DATABASE}.orders AS
SELECT e.order_id AS order_id, anyIf(e.client_order_id, born) AS client_order_id, anyIf(e.account, born) AS account,
  anyIf(e.symbol, born) AS symbol, anyIf(e.side, born) AS side, anyIf(e.order_type, born) AS type,
  anyIf(e.time_in_force, born) AS time_in_force, argMaxIf(e.quantity, (e.n, e.i), terms) AS quantity,
  argMaxIf(tuple(e.price), (e.n, e.i), terms).1 AS price, argMaxIf(tuple(e.stop_price), (e.n, e.i), terms).1 AS stop_price,
  argMax(e.status, (e.n, e.i)) AS status, sum(e.sign * ifNull(e.quantity, 0)) AS cum_quantity, sum(e.sign * ifNull(value, 0)) AS notional,
  if(cum_quantity > 0, divideDecimal(notional, toDecimal256(cum_quantity, 12), 12), NULL) AS average_price,
  sum(e.sign * ifNull(e.fee, 0)) AS fees, countIf(e.sign = 1) AS trades, argMaxIf(e.source, (e.n, e.i), ended) AS source,
  argMaxIf(e.reason, (e.n, e.i), ended) AS reason, minIf(e.at, born) AS created_at, max(e.at) AS updated_at, count() AS events
FROM (
  SELECT *, type = 'OrderSubmitted' AS born, type IN ('OrderSubmitted', 'OrderReplaced') AS terms,
    multiIf(type = 'OrderFilled', 1, type = 'TradeBusted', -1, 0) AS sign,
    type IN ('OrderRejected', 'OrderCancelled', 'OrderExpired') AS ended, toDecimal256(quantity, 12) * toDecimal256(price, 12) AS value
  FROM {DATABASE}.order_events FINAL WHERE order_id != ''
) AS e
GROUP BY e.order_id HAVING countIf(born) > 0
"""

# Days without a fill have no row: the next row's pnl covers them.
PNL_DAILY: Final = f"""
CREATE OR REPLACE VIEW {DATABASE}.pnl_daily AS
SELECT day, account, symbol, bought, sold, position, close, marked, fees,
  value - lagInFrame(value, 1, toDecimal256(0, 25)) OVER (
    PARTITION BY account, symbol ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
  ) + cash - fees AS pnl
FROM (
  SELECT *, toDecimal256(position, 12) * close AS value FROM (
    SELECT t.day AS day, t.account AS account, t.symbol AS symbol, t.bought AS bought, t.sold AS sold, t.cash AS cash, t.fees AS fees,
      m.mid > 0 AS marked, if(m.mid > 0, m.mid, toDecimal256(t.last_price, 13)) AS close,
      sum(t.bought - t.sold) OVER (PARTITION BY t.account, t.symbol ORDER BY t.day) AS position
    FROM (
      SELECT toDate(f.at) AS day, f.account AS account, f.symbol AS symbol, sumIf(f.quantity, f.side = 'buy') AS bought,
        sumIf(f.quantity, f.side = 'sell') AS sold, argMax(f.price, (f.n, f.i)) AS last_price, sum(f.fee) AS fees,
        sum(if(f.side = 'buy', -1, 1) * toDecimal256(f.quantity, 12) * toDecimal256(f.price, 12)) AS cash
      FROM {DATABASE}.fills AS f GROUP BY day, account, symbol
    ) AS t
    LEFT JOIN (
      SELECT toDate(q.second) AS day, q.symbol AS symbol, argMax(toDecimal256(q.bid + q.ask, 13) / 2, q.second) AS mid
      FROM {DATABASE}.quotes_1s AS q FINAL WHERE q.bid > 0 AND q.ask > 0 GROUP BY day, symbol
    ) AS m ON t.day = m.day AND t.symbol = m.symbol
  )
)
"""

SCHEMA: Final = (
    f"CREATE DATABASE IF NOT EXISTS {DATABASE}",
    *(shape.ddl() for shape in TABLES.values()),
    CHECKPOINTS,
    FILLS,
    ORDERS,
    PNL_DAILY,
)
READABLE: Final = frozenset((*TABLES, "fills", "orders", "pnl_daily"))
"""What a query may read."""
