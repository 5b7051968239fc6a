"""`python -m apps.projector`: two projections of one journal, each with its own follower, so that neither store holds up the other."""

from functools import partial
from typing import Final

from adapters import bus
from adapters.clock import SystemClock
from apps import tasks, wiring
from apps.chassis import Chassis, Service
from apps.durations import Hops
from apps.projector.fills import FillsProjection
from apps.projector.keeping import Keeper
from apps.projector.measures import Measures
from apps.projector.positions import PositionsProjection
from apps.service import run_service
from config.catalogue import load_instruments
from config.loading import load_projector
from config.settings import ProjectorSettings

FILLS_WAIT_S: Final = 0.05
"""Rows are written about once a second: reading the journal in larger pieces costs nobody anything."""


async def build(chassis: Chassis[ProjectorSettings]) -> Service:
    settings = chassis.settings
    client = await wiring.connect(chassis)
    await wiring.turn(chassis, client)
    journal = await wiring.order_journal(client)

    currencies = {symbol: instrument.currency for symbol, instrument in load_instruments().instruments.items()}
    positions = PositionsProjection(wiring.positions(chassis), partial(bus.publish, client), currencies)
    fills = FillsProjection(
        wiring.fills(chassis), batch_rows=settings.questdb.batch_size, flush_s=float(settings.questdb.flush_interval_sec)
    )
    hops = Hops(chassis.registry, SystemClock())
    keepers = [
        Keeper(journal, positions, wait_s=float(settings.projection.projection_wait_ms) / 1000, hops=hops),
        Keeper(journal, fills, wait_s=FILLS_WAIT_S, hops=hops),
    ]
    for keeper, task in zip(keepers, (tasks.POSITIONS, tasks.FILLS), strict=True):
        chassis.ready.depend(keeper.projection.name, keeper.behind)
        chassis.spawn(keeper.run, task)
    return Service(stats=Measures(chassis.registry, positions, fills, keepers).stats)


if __name__ == "__main__":
    run_service("projector", load_projector, build)
