"""Wiring of a sink: the pipelines of sink-ticks or of sink-alt, by the name of the service."""

from functools import partial
from typing import Any, Final

from nats.aio.client import Client

from apps.connections import access, nats
from apps.connections.tick_places import dead_letters
from apps.runtime import metrics, tasks
from apps.runtime.chassis import Chassis, Service
from apps.sink.metrics import series, stats
from apps.sink.pipeline import Pipeline
from apps.sink.routes import sink_routes
from apps.sink.sinks import SinkParts, keep_up
from domain.archive.ports import DeadLetters

ALT: Final = "sink-alt"


async def build(chassis: Chassis[Any]) -> Service:
    """Build a sink: connections, then one pipeline for each source and place."""
    bounds = chassis.settings.bounds
    client = await nats.connect(chassis)
    access.follow_access(chassis, client)
    await nats.turn(chassis, client)
    letters = dead_letters(chassis, bounds.dead_letters_max)
    pipelines, routers, upkeep = await _parts(chassis, client, letters)
    for pipeline in pipelines:
        chassis.ready.depend(pipeline.name, partial(_trouble, pipeline, float(bounds.lag_max_sec)))
        chassis.spawn(pipeline.run, tasks.SINK, pipeline.name)
    for run, task in ((partial(keep_up, each), each.task) for each in upkeep):
        chassis.spawn(run, task)
    metrics.read(chassis.registry, lambda: series(pipelines, letters, bounds.unread_percent_max, upkeep))
    routes = sink_routes(letters)
    for router in routers:
        routes.include_router(router)
    return Service(router=routes, stats=lambda: stats(pipelines, letters, upkeep))


async def _parts(chassis: Chassis[Any], client: Client, letters: DeadLetters) -> SinkParts:
    """Build what makes it this sink. What the other one imports for its places would take 100 MB here."""
    if chassis.name == ALT:
        from apps.sink.alt import alt_parts

        return await alt_parts(chassis, client, letters)
    from apps.sink.ticks import tick_parts

    return await tick_parts(chassis, client, letters)


async def _trouble(pipeline: Pipeline, lag_max_s: float) -> str | None:
    """Return why a place is not up to date: it or its source is away, or it lags."""
    if pipeline.trouble:
        return pipeline.trouble
    if pipeline.lag_s > pipeline.bounds.wait_s + lag_max_s:
        return f"lags by {pipeline.lag_s:.0f} s and {pipeline.source.behind} messages"
    return None
