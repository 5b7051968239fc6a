"""The only place where ports meet machines: each service takes its connections from here."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import nats.errors
import structlog
from nats.aio.client import Client
from prometheus_client.core import Metric

from adapters import bus
from adapters.jetstream import FOREIGN_SEEN, JetStreamJournal, OldStream, StreamState, ensure_stream, stream_state
from adapters.memory import MemoryOrderStore
from adapters.natsmonitor import NotDurable, health_trouble, require_fsync, require_fsync_of
from adapters.orderstore import SqliteOrderStore
from adapters.price_history import PRICES_CHANGED, QuestDbPrices, SqlitePrices
from adapters.questdb import QuestDbFills
from adapters.snapshots import FileSnapshots
from adapters.sqlite import SqliteFills
from adapters.valkey import ValkeyPositions
from adapters.watermark import DIRECTORY, FileWatermark
from apps.connections.announcements import Interest
from apps.connections.ticks import Ticks
from apps.connections.unit import Unit
from apps.journal.commit_feed import FedJournal
from apps.journal.group_commit import Pace
from apps.journal.snapshots import Fold, Snapshotter
from apps.journal.subscription import Follower
from apps.journal.watermark import Encodes, Mark, journal_accepted, may_begin
from apps.runtime import metrics, tasks
from apps.runtime.health import SERVICE
from apps.runtime.service import Chassis
from apps.runtime.standby import Turn
from config.catalogue import VenueSettings
from config.sections import JournalSection
from config.settings import ExeqSettings, GatewaySettings, OmsSettings, ProjectorSettings, RiskSettings, Settings
from domain.instruments import Instrument, negative_prices
from domain.market.quotes import Listed, Quote
from domain.ports import Acceptance, Clock, Corrupt, Journal, OrderStore, Unavailable

log = structlog.get_logger()

ORDER_STREAM: Final = "OMS_JOURNAL"
RELAXED: Final = "or set journal.durability to relaxed, and lose orders in a power cut"
TRY_AGAIN_S: Final = 0.5
MEASURE_EVERY_S: Final = 30.0
READY_EVERY_S: Final = 0.1
PROBE_TIMEOUT_S: Final = 0.8
FILLS_FILE: Final = "fills.db"
SNAPSHOTS: Final = "snapshots"
ORDERS_FILE: Final = "orders.db"

AnySettings = TypeVar("AnySettings", bound=Settings)
WriterSettings = TypeVar("WriterSettings", OmsSettings, GatewaySettings)
T = TypeVar("T")
State = TypeVar("State")


async def connect(chassis: Chassis[AnySettings]) -> Client:
    """The service's NATS connection: tried until it is there, watched, closed at the end."""
    unit = chassis.unit
    client = await (_connected(chassis, chassis.settings.nats.url, chassis.name, "nats") if unit is None else _shared(chassis, unit))
    metrics.read(chassis.registry, lambda: _foreign_seen())
    return client


async def _shared(chassis: Chassis[AnySettings], unit: Unit) -> Client:
    """The one connection of a unit. It is closed when all its services have ended."""
    client = await patiently(lambda: unit.connected(float(chassis.settings.nats.connect_timeout_sec)))
    chassis.health.depend("nats", lambda: nats_trouble(client))
    return client


async def connect_writer(chassis: Chassis[AnySettings]) -> Client:
    """The connection over which a service writes its journal, and does nothing else: see apps.stack.credentials.nats."""
    settings = chassis.settings.nats
    return await _connected(chassis, settings.writer_url or settings.url, f"{chassis.name} journal", "nats journal")


async def _connected(chassis: Chassis[AnySettings], url: str, name: str, dependency: str) -> Client:
    timeout_s = float(chassis.settings.nats.connect_timeout_sec)

    def closed() -> None:
        if not chassis.stopping.is_set():
            chassis.fail("the NATS client gave up its connection")

    client = await patiently(lambda: bus.connect(url, name, closed=closed, timeout_s=timeout_s))
    chassis.exits.push_async_callback(client.close)
    chassis.health.depend(dependency, lambda: nats_trouble(client))
    return client


def interest(chassis: Chassis[AnySettings], client: Client) -> Interest:
    """Who listens to what this process announces. A unit asks once for all of its services."""
    unit = chassis.unit
    if unit is not None and unit.interest is not None:
        return unit.interest
    found = Interest(client, chassis.settings.nats.monitors())
    chassis.spawn(found.run, tasks.INTEREST)
    if unit is not None:
        unit.interest = found
    return found


def _foreign_seen() -> list[Metric]:
    seen = {journal: float(len(sequences)) for journal, sequences in FOREIGN_SEEN.items()}
    return [metrics.gauge("journal_foreign_messages", "Messages in a journal that are no commits, seen by this process", seen, "journal")]


async def turn(chassis: Chassis[AnySettings], client: Client) -> Turn:
    """Stand by while another process of this service works; from then on this one does, until it is followed, which ends it."""
    own = Turn(client, chassis.name)

    def waits(reason: str) -> None:
        chassis.log.warning(f"{chassis.name} {reason}")
        chassis.ready.set(SERVICE, False, reason)
        chassis.health.set(SERVICE, True)  # it is well, and has nothing to do

    await own.wait(waits)
    chassis.spawn(lambda: own.run(chassis.fail), tasks.TURN)
    return own


async def nats_trouble(client: Client) -> str | None:
    """None while a ping comes back; else why not. A deaf connection looks connected, so it is asked."""
    if not client.is_connected:
        return "not connected"
    try:
        await client.rtt(PROBE_TIMEOUT_S)  # type: ignore[arg-type]
    except (TimeoutError, OSError, nats.errors.Error) as error:
        return f"no answer: {str(error) or type(error).__name__}"
    return None


def order_subject(shard: int) -> str:
    return f"oms.journal.{shard}"


async def order_journal(client: Client, shard: int = 0) -> JetStreamJournal:
    """The order journal of a shard, to read; only oms appends."""
    return await JetStreamJournal.open(client, stream=ORDER_STREAM, subject=order_subject(shard))


async def followed_orders(chassis: Chassis[AnySettings], client: Client) -> Journal:
    """The order journal for a fold of this service. In a unit, what oms appends comes from oms itself."""
    journal = await order_journal(client)
    return journal if chassis.unit is None else FedJournal(journal, chassis.unit.feed)


async def durable_stream(
    chassis: Chassis[WriterSettings], client: Client, name: str, subjects: Sequence[str], marks: Sequence[Mark | None]
) -> None:
    """A journal's stream, made if missing and never written to, and refused where an ack does not mean fsynced."""
    settings = chassis.settings
    if settings.journal.durability == "relaxed":
        log.warning("durability is relaxed: what was acknowledged may be lost in a power cut")

    silent: list[str] = []

    async def attempt() -> None:
        if settings.journal.durability == "fsync":
            silent[:] = await require_fsync(settings.nats.monitors())
        if await stream_state(client, name) is None:
            may_begin(name, marks)
        await ensure_stream(client, name, subjects, settings.journal.max_bytes, settings.nats.replicas)

    try:
        await or_refused(chassis, attempt)
    except NotDurable as trouble:
        chassis.fail(f"{trouble}; {RELAXED}")
        await asyncio.Event().wait()
    known: list[StreamState] = []
    metrics.read(chassis.registry, lambda: _room(name, known[-1]) if known else ())
    chassis.spawn(lambda: _measure_room(client, name, known), tasks.ROOM)
    if settings.journal.durability == "fsync":
        chassis.ready.depend("nats store", lambda: health_trouble(*settings.nats.monitors()))
    if silent:
        log.warning("nats-servers do not say yet whether they sync every message", servers=silent)
    chassis.spawn(lambda: _sync_too(chassis, silent), tasks.SYNC)


async def _sync_too(chassis: Chassis[WriterSettings], monitor_urls: Sequence[str]) -> None:
    """A server that was away when we started must sync too, when it is back."""
    for url in monitor_urls:
        try:
            await patiently(partial(require_fsync_of, url))
        except NotDurable as trouble:
            chassis.fail(f"{trouble}; {RELAXED}")


async def _measure_room(client: Client, name: str, known: list[StreamState]) -> None:
    """Keep in `known` how full the stream is, for whoever must make room in time."""
    while True:
        with contextlib.suppress(Unavailable):
            known[:] = [state for state in [await stream_state(client, name)] if state]
        await asyncio.sleep(MEASURE_EVERY_S if known else TRY_AGAIN_S)


def _room(name: str, state: StreamState) -> list[Metric]:
    used, bound = {name: float(state.bytes)}, {name: float(state.max_bytes)}
    return [
        metrics.gauge("journal_stream_bytes", "How much the journal's stream holds", used, "stream"),
        metrics.gauge("journal_stream_bytes_max", "When it is full, orders are refused", bound, "stream"),
    ]


async def written_journal(client: Client, writer: Client, settings: JournalSection, stream: str, subject: str) -> JetStreamJournal:
    """A journal for its only writer, with its bounds."""
    return await JetStreamJournal.open(
        client,
        writer=writer,
        stream=stream,
        subject=subject,
        append_timeout_s=float(settings.append_timeout_ms) / 1000,
        append_deadline_s=float(settings.append_deadline_ms) / 1000,
    )


def pace(settings: JournalSection) -> Pace:
    """How long and how much one commit gathers."""
    return Pace(wait_s=float(settings.commit_wait_ms) / 1000, events_max=settings.commit_events_max, bytes_max=settings.commit_bytes_max)


def order_store(chassis: Chassis[OmsSettings]) -> OrderStore:
    """Orders on disk in the data directory. Without one they stay in memory, and a restart reads the whole journal."""
    directory = chassis.settings.service.data_dir
    if directory is None:
        log.warning("no data directory: every order stays in memory")
        return MemoryOrderStore()
    store = SqliteOrderStore(directory / ORDERS_FILE)
    chassis.exits.callback(store.close)
    return store


async def or_refused(chassis: Chassis[AnySettings], attempt: Callable[[], Awaitable[T]]) -> T:
    """`attempt` until it works. A journal that does not verify ends the service, with the reason as its last line."""
    try:
        return await patiently(attempt)
    except (Corrupt, OldStream) as trouble:
        chassis.fail(str(trouble))
        await asyncio.Event().wait()
        raise


def watermark(
    chassis: Chassis[Any],
    subject: str,
    codec: Encodes,
    shard: int = 0,
    *,
    of_follower: bool = False,
    event: Callable[[Acceptance], object] = journal_accepted,
) -> Mark | None:
    """The mark of a journal for its only writer, kept up in the background. None without a data directory.

    A follower keeps a mark of its own, in a directory of its own: services may share a data directory.
    """
    directory = chassis.settings.service.data_dir
    if directory is None:
        log.warning("no data directory: a journal that was truncated or replaced by an older copy is not found out", journal=subject)
        return None
    home = directory / DIRECTORY / chassis.name if of_follower else directory / DIRECTORY
    mark = Mark(FileWatermark(home, subject), subject, codec, shard, event=event)
    chassis.spawn(mark.run, tasks.MARK, subject)
    return mark


def positions(chassis: Chassis[OmsSettings] | Chassis[ProjectorSettings]) -> ValkeyPositions:
    """Positions in Valkey, watched by health, closed at the end."""
    settings = chassis.settings.valkey
    store = ValkeyPositions.at(
        str(settings.url),
        database=settings.db,
        position_ttl_sec=settings.position_ttl_sec,
        timeout_ms=float(settings.timeout_ms),
        connections_max=settings.max_connections,
    )
    chassis.exits.push_async_callback(store.close)
    chassis.health.depend("valkey", lambda: _trouble(store))
    return store


def fills(chassis: Chassis[OmsSettings] | Chassis[ProjectorSettings]) -> QuestDbFills | SqliteFills:
    """The fills table where the configuration says it is: QuestDB, or a SQLite file in the data directory."""
    settings = chassis.settings
    store: QuestDbFills | SqliteFills
    if settings.fills == "sqlite":
        store = SqliteFills((settings.service.data_dir or Path()) / FILLS_FILE)
    else:
        store = QuestDbFills(str(settings.questdb.pg_url))
    chassis.exits.push_async_callback(store.close)
    chassis.health.depend(settings.fills, lambda: _trouble(store))
    return store


def prices(chassis: Chassis[RiskSettings] | Chassis[GatewaySettings]) -> QuestDbPrices | SqlitePrices:
    """Daily closes where the configuration says that fills are: QuestDB, or a SQLite file in the data directory."""
    settings = chassis.settings
    if settings.fills == "sqlite":
        return SqlitePrices(settings.service.data_dir or Path())
    return QuestDbPrices(str(settings.questdb.pg_url))


async def tell_prices(client: Client) -> None:
    """Somebody has written closes. Nobody waits for it: whoever reads them looks by itself in a while."""
    with contextlib.suppress(Unavailable):
        await bus.publish(client, PRICES_CHANGED, b"")


async def _trouble(store: Any) -> str | None:
    try:
        await store.ping()
    except Unavailable as trouble:
        return str(trouble)
    return None


def snapshotter(
    chassis: Chassis[RiskSettings] | Chassis[ExeqSettings], fold: Fold[State], kind: type[State], version: int, older: Sequence[str] = ()
) -> Snapshotter[State]:
    """Keeps a service's fold in the data directory; without one it reads the whole journal at every start."""
    directory, following = chassis.settings.service.data_dir, chassis.settings.following
    store = FileSnapshots(directory / SNAPSHOTS) if directory else None
    return Snapshotter(
        store,
        chassis.name,
        fold,
        kind,
        version,
        every_commits=following.snapshot_every_commits,
        every_s=following.snapshot_every_sec,
        older=older,
    )


def keep(chassis: Chassis[RiskSettings] | Chassis[ExeqSettings], snapshots: Snapshotter[State], follower: Follower[Any]) -> None:
    """Snapshots as long as the service lives, and one more at a clean end."""

    async def last() -> None:
        if not chassis.code:
            await snapshots.last(follower)

    metrics.read(chassis.registry, lambda: [metrics.counter("snapshots_failed", "Snapshots that could not be kept", snapshots.failed)])
    chassis.spawn(lambda: snapshots.run(follower), tasks.SNAPSHOTS)
    chassis.exits.push_async_callback(last)


async def follow_ticks(
    chassis: Chassis[AnySettings], client: Client, take: Callable[[Quote, int], None], listed: Listed, clock: Clock
) -> Ticks:
    """Every quote of `ticks.>` that is one into `take`, with the steady time at which it came."""
    ticks = Ticks(take, listed, clock.monotonic_ns)
    await ticks.start(client)
    metrics.read(chassis.registry, ticks.series)
    return ticks


def listed(instruments: Mapping[str, Instrument], venues: Mapping[str, VenueSettings]) -> Listed:
    """What the catalogue says of who may quote what."""
    return Listed(instruments.keys(), {name: venue.symbols for name, venue in venues.items()}, negative_prices(instruments.values()))


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Until it works: a dependency that starts after us is no failure."""
    said = ""
    while True:
        try:
            return await attempt()
        except Unavailable as trouble:
            if str(trouble) != said:
                log.warning("waiting for a dependency", reason=str(trouble))
            said = str(trouble)
            await asyncio.sleep(TRY_AGAIN_S)


def tell_ready(chassis: Chassis[AnySettings], follower: Follower[Any], caught_up: Callable[[], bool]) -> None:
    """`/ready` turns with the follower: caught up once, and reading still."""
    metrics.read(chassis.registry, lambda: [metrics.gauge("journal_read_sequence", "The last sequence applied", follower.head.seq)])
    chassis.spawn(lambda: _keep_ready(chassis, follower, caught_up), tasks.READINESS)


async def _keep_ready(chassis: Chassis[AnySettings], follower: Follower[Any], caught_up: Callable[[], bool]) -> None:
    while True:
        reason = f"catching up: at sequence {follower.head.seq} of {follower.target}"
        chassis.ready.set("journal", caught_up(), reason)
        await asyncio.sleep(READY_EVERY_S)
