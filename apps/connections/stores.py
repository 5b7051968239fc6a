"""Stores of orders, positions, fills and prices, opened as the configuration says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from adapters.equity_samples import QuestDbEquity, SqliteEquity
from adapters.memory import MemoryOrderStore
from adapters.orderstore import SqliteOrderStore
from adapters.price_history import QuestDbPrices, SqlitePrices
from adapters.questdb import QuestDbFills, SharedTables
from adapters.questmarket import Pace, QuestDbMarket
from adapters.sqlite import SqliteFills
from adapters.valkey import ValkeyPositions
from apps.runtime.service import Chassis
from config.settings import GatewaySettings, OmsSettings, ProjectorSettings, RiskSettings
from domain.ports import OrderStore, Unavailable
from domain.shards import Shards

FILLS_FILE: Final = "fills.db"
ORDERS_FILE: Final = "orders.db"
log = structlog.get_logger()


def orders_file(shard: int, shards: int) -> str:
    """Return the name of the file of a shard's order store."""
    return ORDERS_FILE if shards == 1 else f"orders-{shard}.db"


def order_store(chassis: Chassis[OmsSettings], shard: int) -> OrderStore:
    """Open the order store of a shard in the data directory. Without one orders stay in memory, and a restart reads the whole journal."""
    directory = chassis.settings.service.data_dir
    if directory is None:
        log.warning("no data directory: every order stays in memory")
        return MemoryOrderStore()
    store = SqliteOrderStore(directory / orders_file(shard, chassis.settings.nats.shards))
    chassis.exits.callback(store.close)
    return store


def positions(chassis: Chassis[OmsSettings] | Chassis[ProjectorSettings], shard: int = 0) -> ValkeyPositions:
    """Open the positions in Valkey, to read those of all shards and to write those of one: watched by health, closed at the end."""
    settings = chassis.settings.valkey
    store = ValkeyPositions.at(
        str(settings.url),
        database=settings.db,
        position_ttl_sec=settings.position_ttl_sec,
        timeout_ms=float(settings.timeout_ms),
        connections_max=settings.max_connections,
        shards=Shards(chassis.settings.nats.shards),
        shard=shard,
    )
    chassis.exits.push_async_callback(store.close)
    chassis.health.depend("valkey", lambda: _trouble(store))
    return store


def fills(chassis: Chassis[OmsSettings] | Chassis[ProjectorSettings]) -> QuestDbFills | SqliteFills:
    """Open the fills table that the configuration names, to read: QuestDB, or a SQLite file in the data directory."""
    return _fills(chassis, [None])[0]


def fills_by_shard(chassis: Chassis[ProjectorSettings]) -> Sequence[QuestDbFills | SqliteFills]:
    """Open the fills table for the writer of each shard."""
    shards = Shards(chassis.settings.nats.shards)
    return _fills(chassis, [shards.number(shard) for shard in range(shards.count)])


def _fills(
    chassis: Chassis[OmsSettings] | Chassis[ProjectorSettings], shards: Sequence[int | None]
) -> Sequence[QuestDbFills | SqliteFills]:
    settings = chassis.settings
    stores: Sequence[QuestDbFills | SqliteFills]
    if settings.fills == "sqlite":
        stores = [SqliteFills((settings.service.data_dir or Path()) / FILLS_FILE, shard) for shard in shards]
    else:
        tables = SharedTables(str(settings.questdb.pg_url))
        stores = [QuestDbFills(str(settings.questdb.pg_url), shard, tables) for shard in shards]
    for store in stores:
        chassis.exits.push_async_callback(store.close)
    chassis.health.depend(settings.fills, lambda: _trouble(stores[0]))
    return stores


def equity(chassis: Chassis[OmsSettings] | Chassis[ProjectorSettings]) -> QuestDbEquity | SqliteEquity:
    """Open the samples of equity in the store of the fills: QuestDB, or a SQLite file in the data directory."""
    settings = chassis.settings
    store: QuestDbEquity | SqliteEquity
    if settings.fills == "sqlite":
        store = SqliteEquity(settings.service.data_dir or Path())
    else:
        store = QuestDbEquity(str(settings.questdb.pg_url))
    chassis.exits.push_async_callback(store.close)
    return store


def recorded_market(chassis: Chassis[OmsSettings], pace: Pace) -> QuestDbMarket | None:
    """Open the tables of sink-ticks, if they can be in the store of the fills. `pace` is awaited with the number of rows read."""
    if chassis.settings.fills == "sqlite":
        return None
    market = QuestDbMarket(str(chassis.settings.questdb.pg_url), pace)
    chassis.exits.push_async_callback(market.close)
    return market


def prices(chassis: Chassis[RiskSettings] | Chassis[GatewaySettings]) -> QuestDbPrices | SqlitePrices:
    """Open the daily closes in the store of the fills: QuestDB, or a SQLite file in the data directory."""
    settings = chassis.settings
    if settings.fills == "sqlite":
        return SqlitePrices(settings.service.data_dir or Path())
    return QuestDbPrices(str(settings.questdb.pg_url))


async def _trouble(store: Any) -> str | None:
    try:
        await store.ping()
    except Unavailable as trouble:
        return str(trouble)
    return None
