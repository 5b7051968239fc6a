"""`python -m apps.exeq`: execution, wired so that it can be read aloud."""

from functools import partial
from typing import Any

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.local_kills import DIRECTORY, LocalKills
from apps import metrics, wiring
from apps.controls import Scopes
from apps.durations import Hops
from apps.exeq import local, measures
from apps.exeq.doubts import Doubts
from apps.exeq.executor import Executor
from apps.exeq.router import Router
from apps.exeq.routes import router
from apps.exeq.rules import routed_venue, routing_rules
from apps.exeq.stops import Stops
from apps.exeq.switch import Switch
from apps.exeq.upkeep import VenuesUpkeep
from apps.follower import Follower
from apps.outbox import Outbox
from apps.service import Chassis, Service, run_service
from config.catalogue import load_instruments, load_venues
from config.loading import load_exeq
from config.settings import ExeqSettings
from domain.controls import Controls
from domain.executions import STATE_VERSION, Executions, ExecutionsState
from domain.quotes import Market


async def build(chassis: Chassis[ExeqSettings]) -> Service:
    settings, clock = chassis.settings, SystemClock()
    instruments = load_instruments().instruments
    venues = {name: routed_venue(venue) for name, venue in load_venues(instruments).venues.items()}
    rules = routing_rules(settings.routing, venues)
    chassis.ready.set("journal", False, "catching up with the journal")
    client = await wiring.connect(chassis)
    journal = await wiring.order_journal(client)
    market, outbox, controls = Market(), Outbox(client), Controls()
    directory = settings.service.data_dir
    switch = Switch(controls, LocalKills(directory / DIRECTORY) if directory else None)
    await wiring.follow_ticks(client, market, clock)

    executions = Executions(holds_stops=settings.routing.stops == "exeq")
    routing = Router(venues, instruments, market, clock, rules, executions)
    routing.killed = switch.venue_killed
    executor = Executor(client, outbox, switch, clock, executions, routing, settings.routing.route_batch_max)
    wait_s = float(settings.following.follower_wait_ms) / 1000
    snapshots = wiring.snapshotter(chassis, executions, ExecutionsState, STATE_VERSION)
    head = await wiring.patiently(lambda: snapshots.recover(journal))
    timed = Hops(chassis.registry, clock).timed("exeq", snapshots.whole(executor.apply))
    orders = Follower(journal, ORDER_COMMITS, timed, after=head, wait_s=wait_s)
    switch.known = known = await wiring.follow_controls(chassis, client, outbox, controls.apply, switch.heard)
    executor.caught_up = lambda: orders.caught_up and known()
    executor.is_past = orders.is_past
    executor.failed = chassis.fail

    chassis.spawn(outbox.run(), "outbox")
    chassis.spawn(switch.run(client), "local switches")
    chassis.spawn(orders.run(), "journal follower")
    chassis.spawn(executor.run(), "executor")
    reconciling = VenuesUpkeep((v.name for v in venues.values() if not v.plain), float(settings.routing.reconcile_venues_interval_sec))
    chassis.spawn(reconciling.run(), "venues upkeep")
    doubts = Doubts(client, executor)
    doubts.on_back = reconciling.wanted
    chassis.spawn(doubts.run(), "doubts")
    chassis.spawn(Stops(executor, executions, market, clock, rules.quote_age_max_ns).run(), "stops")
    chassis.spawn(wiring.tell_ready(chassis, orders, executor.caught_up), "readiness")
    wiring.keep(chassis, snapshots, orders)
    metrics.read(chassis.registry, partial(measures.series, executor, doubts, switch, controls, outbox, clock))

    def stats() -> dict[str, Any]:
        return {
            **executor.stats(),
            **doubts.stats(),
            "venues_upkeep": reconciling.stats(),
            "seq": orders.head.seq,
            "ready": executor.caught_up(),
            "requests_dropped": outbox.dropped,
            "killed": sorted({*controls.kills, *switch.local}),
            "snapshots": snapshots.stats(),
        }

    routes = router(executor, market, clock)
    routes.include_router(local.router(switch, outbox, Scopes(instruments, venues), clock))
    return Service(router=routes, stats=stats)


if __name__ == "__main__":
    run_service("exeq", load_exeq, build)
