"""The addresses of everything that is compared with the journal, opened for the time of a verification."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import msgspec
from nats.aio.client import Client

from adapters.controls import open_journal
from adapters.orderstore import SqliteOrderStore
from adapters.questdb import QuestDbFills
from adapters.sqlite import SqliteFills
from adapters.subjects import order_subject
from adapters.valkey import DATABASE, ValkeyPositions
from adapters.watermark import DIRECTORY, FileWatermark
from apps.connections.stores import FILLS_FILE, orders_file
from apps.http.tls import needed_for
from apps.stack.ports import ALL_PORTS
from apps.tools.verify.controls import ACCESS_KIND, CONTROLS_KIND, ControlsSide, Kind
from apps.tools.verify.live import OmsReads
from apps.tools.verify.run import Sides
from domain.shards import ONE_SHARD, Shards

VALKEY_TIMEOUT_MS: Final = 5_000.0
OMS_TIMEOUT_S: Final = 10.0
FOLLOWERS: Final = ("exeq", "oms")
KEY_FOLLOWERS: Final = tuple(name for name in ALL_PORTS if name != "risk")
"""Services that apply controls, and those that apply access events. Each keeps a mark of what it has read."""


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses; empty means not available. `data_dir` None: the files of oms are not on this machine."""

    valkey: str = ""
    valkey_db: int = DATABASE
    questdb_pg: str = ""
    oms: str = ""
    oms_key: httpx.Auth | None = None
    """The key for oms, where it needs one."""
    data_dir: Path | None = None
    shards: Shards = ONE_SHARD
    shard: int = 0
    """The one whose journal is compared."""


@asynccontextmanager
async def opened(places: Places, client: Client, verify: ssl.SSLContext | bool = True) -> AsyncIterator[Sides]:
    """Open all sides lazily, for the verification to use, and close them afterwards. `client` reads the journals.

    `verify` checks the certificate of oms if its address is https.
    """
    async with AsyncExitStack() as exits:
        sides = Sides(shards=places.shards, shard=places.shard)
        if places.shard == 0:
            sides.controls = _side(client, CONTROLS_KIND, FOLLOWERS, places)
            sides.access = _side(client, ACCESS_KIND, KEY_FOLLOWERS, places)
        if places.data_dir is not None:
            sides.mark = FileWatermark(places.data_dir / DIRECTORY, order_subject(places.shard)).read
            sides.orders = SqliteOrderStore(places.data_dir / orders_file(places.shard, places.shards.count)).picture
        if places.valkey:
            positions = ValkeyPositions.at(
                places.valkey, database=places.valkey_db, timeout_ms=VALKEY_TIMEOUT_MS, shards=places.shards, shard=places.shard
            )
            exits.push_async_callback(positions.close)
            sides.positions = positions
        if fills := _fills(places):
            exits.push_async_callback(fills.close)
            sides.fills = fills
        if places.oms:
            trusted = needed_for(places.oms, verify)
            http = httpx.AsyncClient(base_url=places.oms, timeout=OMS_TIMEOUT_S, trust_env=False, verify=trusted, auth=places.oms_key)
            sides.live = OmsReads(await exits.enter_async_context(http))
        yield sides


def _side(client: Client, kind: Kind, followers: Sequence[str], places: Places) -> ControlsSide:
    """Return a journal with its marks in the data directory: risk's, and those of the services that follow."""
    home = None if places.data_dir is None else places.data_dir / DIRECTORY
    homes = {} if home is None else {"risk": home, **{service: home / service for service in followers}}
    marks = {service: FileWatermark(where, kind.journal.subject).read for service, where in homes.items()}
    return ControlsSide(lambda: open_journal(client, kind.journal), marks, kind)


def _fills(places: Places) -> QuestDbFills | SqliteFills | None:
    shard = places.shards.number(places.shard)
    if places.questdb_pg:
        return QuestDbFills(places.questdb_pg, shard)
    return SqliteFills(places.data_dir / FILLS_FILE, shard) if places.data_dir is not None else None
