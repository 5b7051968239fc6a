"""Wiring of desk: builds its parts and connects them."""

from functools import partial
from typing import Any

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from apps.connections import access, control_journal, feeds, journals, nats
from apps.connections.service_stats import ask_stats
from apps.desk.client_stream import Lag, Sources
from apps.desk.end import JournalEnd
from apps.desk.events_source import EventsSource
from apps.desk.fold import STATE_VERSION, Commits, DeskFold, DeskState
from apps.desk.forgotten import remember
from apps.desk.frames import Frames
from apps.desk.marks import Marks
from apps.desk.services import Services
from apps.desk.stream import StreamEndpoint
from apps.journal.subscription import JournalSubscription
from apps.runtime import metrics, tasks
from apps.runtime.chassis import Chassis, Service
from apps.runtime.histogram import Hops
from config.catalogue import load_instruments, load_venues
from config.settings import DeskSettings
from domain.risk.controls import Controls


async def build(chassis: Chassis[DeskSettings]) -> Service:
    """Build desk. The lines follow the order in which parts depend on each other."""
    settings, clock = chassis.settings, SystemClock()
    bounds = settings.stream
    catalogue = load_instruments()
    venues = load_venues(catalogue.instruments).venues
    chassis.ready.set("journal", False, "catching up with the journal")
    client = await nats.connect(chassis)
    access.follow_access(chassis, client)
    journal = await journals.order_journal(client)
    controls, marks, lag = Controls(), Marks(), Lag()
    fold = DeskFold(bounds.closed_orders_max, bounds.events_max)
    snapshots = journals.snapshotter(chassis, fold, DeskState, STATE_VERSION)
    head = await nats.patiently(lambda: snapshots.recover(journal))
    fold.restored_at(head.seq)

    def apply_remembered(commits: Commits) -> None:
        streams.changed(fold.apply(commits))
        lag.ms = max(0, clock.now_ns() - commits[-1][1].events[-1].at) // 1_000_000

    whole = snapshots.whole(apply_remembered)

    async def apply(commits: Commits) -> None:
        await nats.patiently(lambda: remember(fold, journal, commits))
        whole(commits)

    timed = Hops(chassis.registry, clock).timed("desk", apply)
    orders = JournalSubscription(journal, ORDER_COMMITS, timed, after=head, wait_s=settings.following.follower_wait_ms / 1000)
    end = JournalEnd(journal, orders, clock)
    frames = Frames(fold, lambda: orders.head, controls, clock, chassis.keys.owner_of)
    services = Services(partial(ask_stats, client), lambda: end.seq)
    sources = Sources(frames, end, EventsSource(frames, journal), marks, services, journal, bounds, lag)
    streams = StreamEndpoint(sources, chassis.authority, bounds)

    def control_changed(event: Any) -> None:
        controls.apply(event)
        streams.wake_all()

    await feeds.follow_ticks(chassis, client, marks.update, feeds.listed(catalogue.instruments, venues), clock)
    chassis.spawn(lambda: control_journal.learn(client, control_changed), tasks.LISTINGS)
    chassis.spawn(orders.run, tasks.JOURNAL_FOLLOWER)
    chassis.spawn(end.run, tasks.JOURNAL_END)
    chassis.spawn(lambda: services.run(streams.wake_all), tasks.SERVICES)
    chassis.spawn(streams.look_after, tasks.STREAMS)
    journals.report_readiness(chassis, orders, lambda: orders.caught_up and end.known())
    journals.keep(chassis, snapshots, orders)
    metrics.read(chassis.registry, streams.series)

    def stats() -> dict[str, Any]:
        memory = {"orders_in_memory": fold.orders_in_memory(), "events_in_memory": len(fold.events)}
        return {"seq": orders.head.seq, "lag_ms": lag.ms, "streams": streams.stats(), **memory, "snapshots": snapshots.stats()}

    return Service(router=streams.router(), fast={("GET", "/stream"): streams}, stats=stats, stop_intake=streams.stop)
