"""projector, assembled: two projections that share one read of the journal; neither store delays the other."""

from functools import partial
from typing import Final

from adapters import bus
from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.risk_snapshot import ValkeySnapshots
from apps.connections import access, control_journal, journals, nats, stores
from apps.journal.shared_journal import SharedReading
from apps.projector.equity import EquitySampler
from apps.projector.fills import FillsProjection
from apps.projector.metrics import ProjectorMetrics
from apps.projector.positions import PositionsProjection
from apps.projector.projection_loop import ProjectionLoop
from apps.runtime import metrics as metrics_page
from apps.runtime import tasks
from apps.runtime.chassis import Chassis, Service
from apps.runtime.histogram import Hops
from config.catalogue import load_instruments
from config.settings import ProjectorSettings
from domain.market.listings import currency_of
from domain.risk.controls import Controls

FILLS_WAIT_S: Final = 0.05
"""Rows are written about once a second, so reading the journal in larger batches adds no visible delay."""


async def build(chassis: Chassis[ProjectorSettings]) -> Service:
    """Build projector: one loop per projection over a shared read of the journal."""
    settings = chassis.settings
    client = await nats.connect(chassis)
    access.follow_access(chassis, client)
    await nats.turn(chassis, client)
    reading = SharedReading(await journals.order_journal(client), ORDER_COMMITS)

    known = Controls()
    chassis.spawn(control_journal.ControlReader(client, known.apply).run, tasks.LISTINGS)
    currency = partial(currency_of, load_instruments().instruments, known.listings)
    positions = PositionsProjection(stores.positions(chassis), partial(bus.publish, client), currency)
    fills = FillsProjection(
        stores.fills(chassis), batch_rows=settings.questdb.batch_size, flush_s=float(settings.questdb.flush_interval_sec)
    )
    hops = Hops(chassis.registry, SystemClock())
    keepers = [
        ProjectionLoop(reading, projection, wait_s=wait_s, hops=hops)
        for projection, wait_s in ((positions, float(settings.projection.projection_wait_ms) / 1000), (fills, FILLS_WAIT_S))
    ]
    sampler = _sampler(chassis, positions)
    for keeper, task in zip(keepers, (tasks.POSITIONS, tasks.FILLS), strict=True):
        chassis.ready.depend(keeper.projection.name, keeper.behind)
        chassis.spawn(keeper.run, task)
    measures = ProjectorMetrics(chassis.registry, positions, fills, keepers)
    return Service(stats=lambda: measures.stats() | {"equity": sampler.stats()})


def _sampler(chassis: Chassis[ProjectorSettings], positions: PositionsProjection) -> EquitySampler:
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
    sampler = EquitySampler(published, positions.accounts, stores.equity(chassis), SystemClock(), every_s, keep_days)
    chassis.spawn(sampler.run, tasks.EQUITY)
    metrics_page.read(chassis.registry, sampler.series)
    return sampler
