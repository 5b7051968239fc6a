"""`python -m apps.exeq`: execution, wired so that it can be read aloud."""

from collections.abc import Sequence
from typing import Any

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS, Commit
from adapters.controls import CONTROL_COMMITS, open_controls
from apps import wiring
from apps.exeq.doubts import Doubts
from apps.exeq.executor import Bounds, Executor
from apps.exeq.routes import router
from apps.follower import Follower
from apps.outbox import Outbox
from apps.service import Chassis, Service, run_service
from config.catalogue import load_instruments, load_venues
from config.loading import load_exeq
from config.settings import ExeqSettings
from domain.controls import ControlEvent, Controls
from domain.executions import STATE_VERSION, ExecutionsState
from domain.ports import Head
from domain.quotes import Market
from domain.routing import Venue


async def build(chassis: Chassis[ExeqSettings]) -> Service:
    settings, clock = chassis.settings, SystemClock()
    venues = _venues()
    chassis.ready.set("journal", False, "catching up with the journal")
    client = await wiring.connect(chassis)
    journal = await wiring.order_journal(client)
    controls, market, outbox = Controls(), Market(), Outbox(client)
    await wiring.follow_ticks(client, market, clock)

    bounds = Bounds(settings.routing.policy, settings.routing.route_batch_max, int(settings.routing.max_quote_age_sec * 1e9))
    executor = Executor(client, outbox, market, controls, venues, clock, bounds)
    wait_s = float(settings.following.follower_wait_ms) / 1000
    snapshots = wiring.snapshotter(chassis, executor.executions, ExecutionsState, STATE_VERSION)
    head = await wiring.patiently(lambda: snapshots.recover(journal))
    orders = Follower(journal, ORDER_COMMITS, snapshots.whole(executor.apply), after=head, wait_s=wait_s)
    blocks = Follower(await wiring.patiently(lambda: open_controls(client)), CONTROL_COMMITS, _into(controls), after=Head(), wait_s=0)
    executor.caught_up = lambda: orders.caught_up and blocks.caught_up
    executor.is_past = orders.is_past
    executor.failed = chassis.fail

    chassis.spawn(outbox.run(), "outbox")
    chassis.spawn(blocks.run(), "control follower")
    chassis.spawn(orders.run(), "journal follower")
    chassis.spawn(executor.run(), "executor")
    doubts = Doubts(client, executor)
    chassis.spawn(doubts.run(), "doubts")
    chassis.spawn(wiring.tell_ready(chassis, orders, executor.caught_up), "readiness")
    wiring.keep(chassis, snapshots, orders)

    def stats() -> dict[str, Any]:
        return {
            **executor.stats(),
            **doubts.stats(),
            "seq": orders.head.seq,
            "ready": executor.caught_up(),
            "requests_dropped": outbox.dropped,
            "snapshots": snapshots.stats(),
        }

    return Service(router=router(executor, venues, market, clock, bounds.quote_age_max_ns), stats=stats)


def _venues() -> dict[str, Venue]:
    found = load_venues(load_instruments().instruments).venues
    return {name: Venue(name, venue.maker_bps, venue.taker_bps, venue.symbols) for name, venue in found.items()}


def _into(controls: Controls) -> Any:
    def apply(commits: Sequence[tuple[int, Commit[ControlEvent]]]) -> None:
        for _, commit in commits:
            for event in commit.events:
                controls.apply(event)

    return apply


if __name__ == "__main__":
    run_service("exeq", load_exeq, build)
