"""Where everything is that is held against the journal, and its opening for the time of a verification."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import msgspec

from adapters.orderstore import SqliteOrderStore
from adapters.questdb import QuestDbFills
from adapters.sqlite import SqliteFills
from adapters.valkey import DATABASE, ValkeyPositions
from adapters.watermark import DIRECTORY, FileWatermark
from apps.verify.live import OmsDoor
from apps.verify.run import Sides
from apps.wiring import FILLS_FILE, ORDERS_FILE, order_subject

VALKEY_TIMEOUT_MS: Final = 5_000.0
OMS_TIMEOUT_S: Final = 10.0


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses; empty when there is no such thing. `data_dir` None: the files of oms are not on this machine."""

    valkey: str = ""
    valkey_db: int = DATABASE
    questdb_http: str = ""
    questdb_pg: str = ""
    oms: str = ""
    data_dir: Path | None = None
    shard: int = 0


@asynccontextmanager
async def opened(places: Places) -> AsyncIterator[Sides]:
    """Nothing is asked before the verification asks; all is closed behind it."""
    async with AsyncExitStack() as exits:
        sides = Sides()
        if places.data_dir is not None:
            sides.mark = FileWatermark(places.data_dir / DIRECTORY, order_subject(places.shard)).read
            sides.orders = SqliteOrderStore(places.data_dir / ORDERS_FILE).picture
        if places.valkey:
            positions = ValkeyPositions.at(places.valkey, database=places.valkey_db, timeout_ms=VALKEY_TIMEOUT_MS)
            exits.push_async_callback(positions.close)
            sides.positions = positions
        if fills := _fills(places):
            exits.push_async_callback(fills.close)
            sides.fills = fills
        if places.oms:
            http = httpx.AsyncClient(base_url=places.oms, timeout=OMS_TIMEOUT_S, trust_env=False)
            sides.live = OmsDoor(await exits.enter_async_context(http))
        yield sides


def _fills(places: Places) -> QuestDbFills | SqliteFills | None:
    if places.questdb_pg:
        return QuestDbFills(places.questdb_http, places.questdb_pg)
    return SqliteFills(places.data_dir / FILLS_FILE) if places.data_dir is not None else None
