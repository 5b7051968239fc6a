"""The order journal and other journals: opened for reading, opened for their only writer, watched, followed and snapshotted."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

import structlog
from nats.aio.client import Client
from prometheus_client.core import Metric

from adapters import subjects
from adapters.jetstream import JetStreamJournal, StreamState, ensure_stream, stream_state
from adapters.natsmonitor import NotDurable, health_trouble, require_fsync, require_fsync_of
from adapters.order_streams import created_with, shards_of
from adapters.snapshots import FileSnapshots
from adapters.watermark import DIRECTORY, FileWatermark
from apps.connections import nats
from apps.connections.unit import Unit
from apps.journal.commit_feed import FedJournal
from apps.journal.group_commit import Pace
from apps.journal.snapshots import SnapshotFold, Snapshotter
from apps.journal.subscription import JournalSubscription
from apps.journal.watermark import Encodes, Mark, journal_accepted, may_begin
from apps.runtime import metrics, tasks
from apps.runtime.service import Chassis
from config.sections import JournalSection
from config.settings import DeskSettings, ExeqSettings, GatewaySettings, OmsSettings, RiskSettings, Settings
from domain.ports import Acceptance, Corrupt, Journal, Unavailable
from domain.shards import Shards

RELAXED: Final = "or set journal.durability to relaxed, and lose orders in a power cut"
MEASURE_EVERY_S: Final = 30.0
READY_EVERY_S: Final = 0.1
SNAPSHOTS: Final = "snapshots"
log = structlog.get_logger()
AnySettings = TypeVar("AnySettings", bound=Settings)
WriterSettings = TypeVar("WriterSettings", OmsSettings, GatewaySettings)
FollowingChassis = Chassis[RiskSettings] | Chassis[ExeqSettings] | Chassis[DeskSettings]
"""Of the services that keep snapshots of a fold of the order journal."""
State = TypeVar("State")


async def order_journal(client: Client, shard: int = 0, shards: int = 1) -> JetStreamJournal:
    """Open the order journal of one of `shards` shards, to read; only oms appends."""
    return await JetStreamJournal.open(client, stream=subjects.order_stream(shard, shards), subject=subjects.order_subject(shard))


async def order_journals(client: Client) -> list[Journal]:
    """Open the order journals of all shards, to read. Unavailable."""
    shards = await shards_of(client)
    return [await order_journal(client, shard, shards) for shard in range(shards)]


async def followed_shards(chassis: Chassis[AnySettings], client: Client) -> int:
    """Return the number of shards to follow. A service that is configured with another number than oms ends."""
    shards = chassis.settings.nats.shards
    await nats.or_refused(chassis, partial(same_shards, client, shards, follows=True))
    return shards


async def control_journal(client: Client) -> JetStreamJournal:
    """Open the journal of controls, to read; only risk appends. Until risk has made it, every read raises Missing."""
    return await JetStreamJournal.open(client, stream=subjects.CONTROL_STREAM, subject=subjects.CONTROLS)


async def followed_orders(client: Client, unit: Unit | None, shard: int = 0, shards: int = 1) -> Journal:
    """Open the order journal of a shard for a fold of this service. In a unit, new commits come from oms itself."""
    journal = await order_journal(client, shard, shards)
    return journal if unit is None else FedJournal(journal, unit.feeds[shard])


class WantedStream(NamedTuple):
    """The stream of one or several journals, with their marks. `metadata` is stored when it is created."""

    name: str
    subjects: Sequence[str]
    max_bytes: int
    marks: Sequence[Mark | None]
    metadata: Mapping[str, str] = MappingProxyType({})


class ShardsDiffer(Corrupt):
    """The order journal was created with another number of shards than is configured."""


async def durable_streams(chassis: Chassis[WriterSettings], client: Client, streams: Sequence[WantedStream]) -> None:
    """Create the streams of journals that are missing and never held commits; refuse one whose ack does not mean fsynced."""
    settings = chassis.settings
    if settings.journal.durability == "relaxed":
        log.warning("durability is relaxed: acknowledged orders may be lost in a power cut")

    silent: list[str] = []

    async def attempt() -> None:
        if settings.journal.durability == "fsync":
            silent[:] = await require_fsync(settings.nats.monitors())
        for each in streams:
            if await stream_state(client, each.name) is None:
                may_begin(each.name, each.marks)
            await ensure_stream(client, each.name, each.subjects, each.max_bytes, settings.nats.replicas, each.metadata)

    try:
        await nats.or_refused(chassis, attempt)
    except NotDurable as trouble:
        chassis.fail(f"{trouble}; {RELAXED}")
        await asyncio.Event().wait()
    measure_rooms(chassis, client, [stream.name for stream in streams])
    if settings.journal.durability == "fsync":
        chassis.ready.depend("nats store", lambda: health_trouble(*settings.nats.monitors()))
    if silent:
        log.warning("nats-servers have not reported yet whether they sync every message", servers=silent)
    chassis.spawn(lambda: _sync_too(chassis, silent), tasks.SYNC)


async def same_shards(client: Client, shards: int, *, follows: bool = False) -> None:
    """Check that the order journal has this number of shards, or does not exist yet. Raises ShardsDiffer, Unavailable.

    `follows`: wait for a journal of several shards until it exists, so that no service ever follows it by another number.
    """
    born = await created_with(client)
    if born is None and follows and shards > 1:
        raise Unavailable("the order journal does not exist yet")
    if born not in (None, shards):
        raise ShardsDiffer(f"nats.shards is {shards}, but the order journal was created with {born}")


def measure_rooms(chassis: Chassis[Any], client: Client, names: Sequence[str]) -> Callable[[], float]:
    """Measure the fill level of streams for a metric, and return a function that gives the highest one, from 0 to 1."""
    known: dict[str, StreamState] = {}
    metrics.read(chassis.registry, lambda: _room(known) if known else ())
    chassis.spawn(lambda: _measure_rooms(client, names, known), tasks.ROOM)
    return lambda: max((state.bytes / state.max_bytes for state in known.values()), default=0.0)


async def _sync_too(chassis: Chassis[WriterSettings], monitor_urls: Sequence[str]) -> None:
    """Check servers that were unreachable at the start once they are back: they must sync too."""
    for url in monitor_urls:
        try:
            await nats.patiently(partial(require_fsync_of, url))
        except NotDurable as trouble:
            chassis.fail(f"{trouble}; {RELAXED}")


async def _measure_rooms(client: Client, names: Sequence[str], known: dict[str, StreamState]) -> None:
    """Keep the fill levels of the streams in `known`, for the metric that warns before one is full."""
    while True:
        for name in names:
            with contextlib.suppress(Unavailable):
                state = await stream_state(client, name)
                known.pop(name, None)
                known |= {} if state is None else {name: state}
        await asyncio.sleep(MEASURE_EVERY_S if known else nats.TRY_AGAIN_S)


def _room(known: Mapping[str, StreamState]) -> list[Metric]:
    used = {name: float(state.bytes) for name, state in known.items()}
    bound = {name: float(state.max_bytes) for name, state in known.items()}
    return [
        metrics.gauge("journal_stream_bytes", "Size of the journal's stream", used, "stream"),
        metrics.gauge("journal_stream_bytes_max", "Bound of the journal's stream; when it is full, orders are refused", bound, "stream"),
    ]


async def written_journal(client: Client, writer: Client, settings: JournalSection, stream: str, subject: str) -> JetStreamJournal:
    """Open a journal for its only writer, with its bounds."""
    return await JetStreamJournal.open(
        client,
        writer=writer,
        stream=stream,
        subject=subject,
        append_timeout_s=float(settings.append_timeout_ms) / 1000,
        append_deadline_s=float(settings.append_deadline_ms) / 1000,
    )


def pace(settings: JournalSection) -> Pace:
    """Return the bounds of one commit."""
    return Pace(wait_s=float(settings.commit_wait_ms) / 1000, events_max=settings.commit_events_max, bytes_max=settings.commit_bytes_max)


def watermark(
    chassis: Chassis[Any],
    subject: str,
    codec: Encodes,
    shard: int = 0,
    *,
    of_follower: bool = False,
    event: Callable[[Acceptance], object] = journal_accepted,
) -> Mark | None:
    """Return the high-water mark of a journal for its only writer, written in the background. None without a data directory.

    A follower has its own mark in its own directory, because services may share a data directory.
    """
    directory = chassis.settings.service.data_dir
    if directory is None:
        log.warning("no data directory: a journal that was truncated or replaced by an older copy is not detected", journal=subject)
        return None
    home = directory / DIRECTORY / chassis.name if of_follower else directory / DIRECTORY
    mark = Mark(FileWatermark(home, subject), subject, codec, shard, event=event)
    chassis.spawn(mark.run, tasks.MARK, subject)
    return mark


def snapshotter(
    chassis: FollowingChassis,
    fold: SnapshotFold[State],
    kind: type[State],
    version: int,
    older: Sequence[str] = (),
    shard: int = 0,
) -> Snapshotter[State]:
    """Return the snapshots of a service's fold of a shard in the data directory; without one every start reads the whole journal."""
    directory, following = chassis.settings.service.data_dir, chassis.settings.following
    store = FileSnapshots(directory / SNAPSHOTS) if directory else None
    return Snapshotter(
        store,
        chassis.name if chassis.settings.nats.shards == 1 else f"{chassis.name}-{shard}",
        fold,
        kind,
        version,
        every_commits=following.snapshot_every_commits,
        every_s=following.snapshot_every_sec,
        older=older,
    )


def keep(chassis: FollowingChassis, followed: Sequence[tuple[Snapshotter[State], JournalSubscription[Any]]]) -> None:
    """Save snapshots of the fold of each shard as long as the service runs, and one more at a clean end."""

    async def last() -> None:
        if not chassis.code:
            for snapshots, follower in followed:
                await snapshots.last(follower)

    def failed() -> list[Metric]:
        failures = sum(snapshots.failed for snapshots, _ in followed)
        return [metrics.counter("snapshots_failed", "Snapshots that could not be saved", failures)]

    metrics.read(chassis.registry, failed)
    for shard, (snapshots, follower) in enumerate(followed):
        chassis.spawn(partial(snapshots.run, follower), tasks.SNAPSHOTS, Shards(len(followed)).name(shard))
    chassis.exits.push_async_callback(last)


Followed = Sequence[tuple[JournalSubscription[Any], Callable[[], bool]]]
"""The reader of each shard, and whether its fold has caught up."""


def report_readiness(chassis: Chassis[AnySettings], followed: Followed) -> None:
    """Report readiness by the subscriptions: ready while all have caught up and still read."""
    read = [partial(_read, follower) for follower, _ in followed]
    metrics.read(chassis.registry, metrics.by_shard(read))
    chassis.spawn(lambda: _keep_ready(chassis, followed), tasks.READINESS)


def _read(follower: JournalSubscription[Any]) -> list[Metric]:
    return [metrics.gauge("journal_read_sequence", "The last sequence applied", follower.head.seq)]


async def _keep_ready(chassis: Chassis[AnySettings], followed: Followed) -> None:
    while True:
        behind = next((follower for follower, caught_up in followed if not caught_up()), None)
        follower = behind or followed[0][0]
        chassis.ready.set("journal", behind is None, f"catching up: at sequence {follower.head.seq} of {follower.target}")
        await asyncio.sleep(READY_EVERY_S)
