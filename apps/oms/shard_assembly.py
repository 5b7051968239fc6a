"""The parts of oms that every shard has for itself: its journal, host, sessions with venues, and what acts on its open orders."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import partial
from typing import Any, NamedTuple

from nats.aio.client import Client
from prometheus_client.core import Metric

from adapters import subjects
from adapters.codec import ORDER_COMMITS
from adapters.order_streams import SHARDS
from apps.connections import journals, nats, stores
from apps.connections.cluster import share_shards
from apps.connections.unit import Unit
from apps.journal.algo_reactions import AlgoBounds
from apps.journal.leased_host import LeasedHost
from apps.journal.publisher import Publisher
from apps.journal.shard_host import Landed, ShardHost
from apps.journal.shard_hosts import Hosts, hosts_of
from apps.journal.watermark import Mark
from apps.oms.alarms import OrderAlarms
from apps.oms.algo_upkeep import AlgoUpkeep
from apps.oms.alpaca.recent_fills import RecentFills
from apps.oms.child_spawner import ChildSpawner
from apps.oms.command_handler import CommandHandler
from apps.oms.expiry import OrderExpiry
from apps.oms.kill_switch import OmsKillSwitch
from apps.oms.list_rules import list_rules
from apps.oms.list_upkeep import ListUpkeep
from apps.oms.metrics import OmsMetrics
from apps.oms.reduce_only import ReduceOnly
from apps.oms.report_sessions import VenueSessions
from apps.oms.revoked_keys import RevokedKeys
from apps.oms.unsequenced_reports import UnsequencedVenues
from apps.runtime import metrics as metrics_page
from apps.runtime import tasks
from apps.runtime.chassis import Chassis
from config.catalogue import VenueSettings
from config.settings import OmsSettings
from config.venues import routed_venue
from domain.access.events import AccessChange
from domain.instruments import Instrument, negative_prices
from domain.market.trading_hours import Calendar
from domain.ports import Clock, Journal
from domain.risk.controls import ControlEvent, Controls
from domain.shards import Shards


class ShardContext(NamedTuple):
    """What the parts of all shards use together."""

    instruments: Mapping[str, Instrument]
    venues: Mapping[str, VenueSettings]
    calendars: Mapping[str, Sequence[Calendar]]
    controls: Controls
    clock: Clock
    metrics: OmsMetrics
    alarms: OrderAlarms
    recent: RecentFills


class ShardParts(NamedTuple):
    """The parts of one shard."""

    host: ShardHost
    sessions: VenueSessions
    switch: OmsKillSwitch
    expirer: OrderExpiry
    revoked: RevokedKeys
    reduce_only: ReduceOnly
    lists: ListUpkeep
    algos: AlgoUpkeep

    @property
    def name(self) -> str:
        """Tell the tasks and checks of several shards apart. Those of the only shard have no other names."""
        return self.host.shards.name(self.host.shard)


class OrderShards:
    """The parts of all shards of this oms."""

    def __init__(self, parts: Sequence[ShardParts]) -> None:
        self.parts = parts
        self.hosts: Hosts = hosts_of([each.host for each in parts])

    def taken(self, event: ControlEvent) -> None:
        for each in self.parts:
            each.switch.heard(event)

    def heard(self, event: AccessChange) -> None:
        for each in self.parts:
            each.revoked.heard(event)

    def known(self, known: Callable[[], bool]) -> None:
        """Set how the switches know whether the controls have been read up to now."""
        for each in self.parts:
            each.switch.known = known

    async def start(
        self, chassis: Chassis[OmsSettings], client: Client, children: ChildSpawner, publisher: Publisher, unit: Unit | None
    ) -> None:
        """Accept reports and commands: over NATS, and by a direct call from services in this process. Start the tasks."""
        for each in self.parts:
            await each.sessions.start()
        for each in self.parts:
            handler = CommandHandler(each.host, children, publisher, failed=chassis.fail)
            await handler.start(client, each.host.shard)
            if unit is not None:
                unit.performs[each.host.shard] = handler.perform
        for each in self.parts:
            chassis.spawn(each.host.run, tasks.HOST, each.name)
            chassis.spawn(each.sessions.run, tasks.SESSIONS, each.name)
            chassis.spawn(each.expirer.run, tasks.EXPIRER, each.name)
            chassis.spawn(each.switch.run, tasks.FORBIDDEN, each.name)
            chassis.spawn(each.revoked.run, tasks.REVOKED_KEYS, each.name)
            chassis.spawn(each.reduce_only.run, tasks.REDUCE_ONLY, each.name)
            chassis.spawn(each.lists.run, tasks.LISTS, each.name)
            chassis.spawn(each.algos.run, tasks.PARENTS, each.name)
        for series in (
            [each.reduce_only.series for each in self.parts],
            [each.lists.series for each in self.parts],
            [each.algos.series for each in self.parts],
        ):
            metrics_page.read(chassis.registry, metrics_page.by_shard(series))
        metrics_page.read(chassis.registry, metrics_page.by_shard([partial(_series, each) for each in self.parts]))

    def stats(self) -> dict[str, Any]:
        """Return the figures of the only shard; of several, a list with those of each."""
        if len(self.parts) == 1:
            return _stats(self.parts[0])
        shards = [{"shard": each.host.shard, **_stats(each)} for each in self.parts]
        return {"ready": all(each.host.ready for each in self.parts), "controls": self.parts[0].switch.stats(), "shards": shards}


async def order_shards(
    chassis: Chassis[OmsSettings], client: Client, writer: Client, unit: Unit | None, common: ShardContext
) -> OrderShards:
    """Open the journals, and build the parts of all shards."""
    opened = await _journals(chassis, client, writer)
    parts = [_parts(chassis, client, journal, mark, unit, common, shard) for shard, (journal, mark) in enumerate(opened)]
    ready = [False] * len(parts)
    for each in parts:
        each.host.on_ready = _on_ready(chassis, common.metrics, each, ready)
        each.host.on_append = common.metrics.appended
        each.host.on_landed = partial(_on_landed, common, each.expirer)
        each.host.on_unrecorded = common.alarms.unrecorded
        chassis.ready.set(_check(each), False, "recovering")
        chassis.ready.depend(f"journal's answers {each.name}".rstrip(), each.host.distrusted)
    if unit is not None and unit.leases is not None:
        await share_shards(chassis, client, unit.leases, [_standby(chassis, common.metrics, each, ready) for each in parts])
    return OrderShards(parts)


def _standby(chassis: Chassis[OmsSettings], metrics: OmsMetrics, parts: ShardParts, all_ready: list[bool]) -> LeasedHost:
    """Return the host of a shard that other units may take. As a standby it is ready."""
    host = parts.host
    assert isinstance(host, LeasedHost)

    def on_standby() -> None:
        all_ready[host.shard] = True
        chassis.ready.set(_check(parts), True, "")
        metrics.ready(all(all_ready))

    host.on_standby = on_standby
    return host


async def _journals(chassis: Chassis[OmsSettings], client: Client, writer: Client) -> list[tuple[Journal, Mark | None]]:
    """Open the journal of each shard for its only writer, and the watermark of what was acknowledged."""
    settings, shards = chassis.settings.journal, chassis.settings.nats.shards
    await nats.or_refused(chassis, partial(journals.same_shards, client, shards))
    names = [(subjects.order_stream(shard, shards), subjects.order_subject(shard)) for shard in range(shards)]
    marks = [journals.watermark(chassis, subject, ORDER_COMMITS, shard) for shard, (_, subject) in enumerate(names)]
    metadata = {SHARDS: str(shards)} if shards > 1 else {}
    streams = [
        journals.WantedStream(stream, [subjects.order_stream_subject(shard, shards)], settings.max_bytes // shards, [mark], metadata)
        for shard, ((stream, _), mark) in enumerate(zip(names, marks, strict=True))
    ]
    await journals.durable_streams(chassis, client, streams)
    opened = [await journals.written_journal(client, writer, settings, stream, subject) for stream, subject in names]
    return list(zip(opened, marks, strict=True))


def _parts(
    chassis: Chassis[OmsSettings],
    client: Client,
    journal: Journal,
    mark: Mark | None,
    unit: Unit | None,
    common: ShardContext,
    shard: int,
) -> ShardParts:
    settings = chassis.settings
    host = _host(chassis, journal, mark, unit, common, shard)
    plain = UnsequencedVenues(host, map(routed_venue, common.venues.values()))
    full = [name for name, venue in common.venues.items() if venue.session == "full"]
    return ShardParts(
        host,
        VenueSessions(client, host, full, shard, plain, failed=chassis.fail),
        OmsKillSwitch(host, common.controls),
        OrderExpiry(host, common.clock, _timeout_ns(settings), common.calendars),
        RevokedKeys(host, chassis.keys),
        ReduceOnly(host),
        ListUpkeep(host, settings.groups.exclusive_wait_ms / 1000),
        AlgoUpkeep(host, common.clock),
    )


def _host(
    chassis: Chassis[OmsSettings], journal: Journal, mark: Mark | None, unit: Unit | None, common: ShardContext, shard: int
) -> ShardHost:
    settings, shards = chassis.settings, Shards(chassis.settings.nats.shards)
    negative: Set[str] = negative_prices(common.instruments.values())
    leases = None if unit is None else unit.leases
    made = ShardHost if leases is None else partial(LeasedHost, tenure=leases)
    return made(
        journal,
        common.clock,
        store=stores.order_store(chassis, shard),
        mark=mark,
        shard=shard,
        pace=journals.pace(settings.journal),
        replicas=settings.nats.replicas,
        feed=None if unit is None else unit.feeds[shard],
        negative_prices=negative,
        rules=list_rules(common.instruments, common.controls, shards),
        shards=shards,
        bounds=AlgoBounds(settings.groups.slices_max, settings.groups.refusals_max),
    )


def _check(parts: ShardParts) -> str:
    return f"journal {parts.name}".rstrip()


def _on_ready(chassis: Chassis[OmsSettings], metrics: OmsMetrics, parts: ShardParts, all_ready: list[bool]) -> Callable[[bool], None]:
    def on_ready(ready: bool) -> None:
        all_ready[parts.host.shard] = ready
        chassis.ready.set(_check(parts), ready, "recovering")
        metrics.ready(all(all_ready))
        if ready:
            parts.sessions.restart()
            parts.expirer.restart()

    return on_ready


def _on_landed(common: ShardContext, expirer: OrderExpiry, landed: Landed) -> None:
    common.alarms(landed)
    expirer.landed(landed)
    common.recent.landed(landed)


def _timeout_ns(settings: OmsSettings) -> int | None:
    timeout_s = settings.order_management.order_timeout_sec
    return None if timeout_s is None else int(timeout_s * 1e9)


def _stats(parts: ShardParts) -> dict[str, Any]:
    host = parts.host
    return {
        "ready": host.ready,
        "seq": host.head.seq,
        "recoveries": host.recoveries,
        "orders": {str(state): count for state, count in host.orders.states.items() if count},
        "reports": parts.sessions.stats(),
        "controls": parts.switch.stats(),
        "reduce_only": parts.reduce_only.stats(),
        "lists": parts.lists.stats(),
        "algos": parts.algos.stats(),
    }


def _series(parts: ShardParts) -> Iterator[Metric]:
    """Yield the series that are read on each scrape; OmsMetrics observes the others as they happen."""
    counter, gauge, host = metrics_page.counter, metrics_page.gauge, parts.host
    yield gauge("oms_journal_sequence", "Last sequence written", host.head.seq)
    yield gauge("oms_stamps_ahead_seconds", "How far the journal's timestamps are ahead of the wall clock", host.stamps.ahead_s)
    yield gauge("oms_orders_by_status", "Orders by status", {str(state): n for state, n in host.orders.states.items()}, "status")
    yield counter("oms_recoveries", "Times that the in-memory state was discarded and rebuilt", host.recoveries)
    yield counter("oms_reports", "Venue reports by outcome", parts.sessions.stats(), "outcome")
