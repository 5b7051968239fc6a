"""projector, assembled: two projections that share one read of the journal; neither store delays the other."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from nats.aio.client import Client

from adapters import bus
from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.risk_snapshot import ValkeySnapshots
from apps.connections import access, control_journal, journals, nats, stores
from apps.journal.shared_journal import SharedReading
from apps.projector.equity import EquitySampler
from apps.projector.fills import FillsProjection
from apps.projector.metrics import Projections, ProjectorMetrics
from apps.projector.positions import PositionsProjection
from apps.projector.projection_loop import ProjectionLoop
from apps.runtime import metrics as metrics_page
from apps.runtime import tasks
from apps.runtime.chassis import Chassis, Service
from apps.runtime.histogram import Hops
from config.catalogue import load_instruments
from config.settings import ProjectorSettings
from domain.market.listings import currency_of
from domain.ports import Fills
from domain.risk.controls import Controls
from domain.shards import Shards

FILLS_WAIT_S: Final = 0.05
"""Rows are written about once a second, so reading the journal in larger batches adds no visible delay."""


async def build(chassis: Chassis[ProjectorSettings]) -> Service:
    """Build projector: one loop per projection over a shared read of the journal."""
    client = await nats.connect(chassis)
    access.follow_access(chassis, client)
    await nats.turn(chassis, client)
    known = Controls()
    chassis.spawn(control_journal.ControlReader(client, known.apply).run, tasks.LISTINGS)
    currency = partial(currency_of, load_instruments().instruments, known.listings)
    await journals.followed_shards(chassis, client)
    hops, written = Hops(chassis.registry, SystemClock()), stores.fills_by_shard(chassis)
    shards = [await _projections(chassis, client, shard, currency, fills, hops) for shard, fills in enumerate(written)]
    sampler = _sampler(chassis, [shard.positions for shard in shards])
    for number, shard in enumerate(shards):
        name = Shards(len(shards)).name(number)
        for keeper, task in zip(shard.keepers, (tasks.POSITIONS, tasks.FILLS), strict=True):
            chassis.ready.depend(f"{keeper.projection.name} {name}".rstrip(), keeper.behind)
            chassis.spawn(keeper.run, task, name)
    measures = ProjectorMetrics(chassis.registry, shards)
    return Service(stats=lambda: measures.stats() | {"equity": sampler.stats()})


async def _projections(
    chassis: Chassis[ProjectorSettings], client: Client, shard: int, currency: Callable[[str], str | None], store: Fills, hops: Hops
) -> Projections:
    """Build the projections of one shard over a shared read of its journal."""
    settings = chassis.settings
    reading = SharedReading(await journals.order_journal(client, shard, settings.nats.shards), ORDER_COMMITS)
    positions = PositionsProjection(stores.positions(chassis, shard), partial(bus.publish, client), currency)
    fills = FillsProjection(store, batch_rows=settings.questdb.batch_size, flush_s=float(settings.questdb.flush_interval_sec))
    keepers = [
        ProjectionLoop(reading, projection, wait_s=wait_s, hops=hops)
        for projection, wait_s in ((positions, float(settings.projection.projection_wait_ms) / 1000), (fills, FILLS_WAIT_S))
    ]
    return Projections(positions, fills, keepers)


def _sampler(chassis: Chassis[ProjectorSettings], positions: Sequence[PositionsProjection]) -> EquitySampler:
    """Start the samples of equity. Neither /ready nor /health depends on them."""
    settings = chassis.settings
    valkey, projection = settings.valkey, settings.projection
    published = ValkeySnapshots.at(
        str(valkey.url),
        database=projection.portfolios_db,
        timeout_ms=float(valkey.timeout_ms),
        connections_max=valkey.max_connections,
    )
    chassis.exits.push_async_callback(published.close)
    every_s, keep_days = projection.equity_interval_sec, projection.equity_keep_days

    def accounts() -> set[str]:
        return set().union(*(each.accounts() for each in positions))

    sampler = EquitySampler(published, accounts, stores.equity(chassis), SystemClock(), every_s, keep_days)
    chassis.spawn(sampler.run, tasks.EQUITY)
    metrics_page.read(chassis.registry, sampler.series)
    return sampler
