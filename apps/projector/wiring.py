"""projector, assembled: two projections that share one read of the journal; neither store delays the other."""

from functools import partial
from typing import Final

from adapters import bus
from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from apps.connections import access, control_journal, journals, nats, stores
from apps.journal.shared_journal import SharedReading
from apps.projector.fills import FillsProjection
from apps.projector.metrics import ProjectorMetrics
from apps.projector.positions import PositionsProjection
from apps.projector.projection_loop import ProjectionLoop
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
    for keeper, task in zip(keepers, (tasks.POSITIONS, tasks.FILLS), strict=True):
        chassis.ready.depend(keeper.projection.name, keeper.behind)
        chassis.spawn(keeper.run, task)
    return Service(stats=ProjectorMetrics(chassis.registry, positions, fills, keepers).stats)
