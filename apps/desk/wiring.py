"""Wiring of desk: builds its parts and connects them."""

from functools import partial
from typing import Any

from fastapi import APIRouter

from adapters.clock import SystemClock
from apps.connections import access, control_journal, feeds, journals, nats
from apps.connections.past import PAST_MAX_S, WAITING_MAX
from apps.connections.service_stats import ask_stats
from apps.desk.assembly import Assembly
from apps.desk.client_stream import KNOWN_NS
from apps.desk.drop_copy import DropCopy
from apps.desk.fold import STATE_VERSION, DeskFold, DeskState
from apps.desk.gateway import Gateway
from apps.desk.pages import Pages
from apps.desk.past import CHANGES_MODULE, ORDERS_MODULE, Past
from apps.desk.peer import peers_at
from apps.desk.session import SessionEndpoint, secure_cookies
from apps.http import tls
from apps.journal.publisher import Publisher
from apps.runtime import metrics, tasks
from apps.runtime.chassis import Chassis, Service
from apps.runtime.helper_process import HelperProcess
from apps.runtime.histogram import Hops
from config.catalogue import load_instruments, load_venues
from config.settings import DeskSettings


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
    fold = DeskFold(bounds.closed_orders_max, bounds.events_max)
    snapshots = journals.snapshotter(chassis, fold, DeskState, STATE_VERSION)
    desk = Assembly(
        journal,
        fold,
        await nats.patiently(lambda: snapshots.recover(journal)),
        bounds,
        chassis.authority,
        clock,
        partial(ask_stats, client),
        whole=snapshots.whole,
        timed=partial(Hops(chassis.registry, clock).timed, "desk"),
        wait_s=settings.following.follower_wait_ms / 1000,
    )
    orders, streams, publisher = desk.orders, desk.streams, Publisher(client)
    drop_copy = DropCopy(nats.interest(chassis, client), publisher.put)
    desk.announce(drop_copy)
    await feeds.follow_ticks(chassis, client, desk.quotes.update, feeds.listed(catalogue.instruments, venues, settings.market), clock)
    controls = control_journal.ControlReader(client, desk.control)
    desk.streams.wait_for(controls.complete)
    chassis.spawn(controls.run, tasks.LISTINGS)
    chassis.spawn(publisher.run, tasks.OUTBOX_OF_NOTICES)
    chassis.spawn(orders.run, tasks.JOURNAL_FOLLOWER)
    chassis.spawn(desk.end.run, tasks.JOURNAL_END)
    chassis.spawn(lambda: desk.services.run(streams.wake_all), tasks.SERVICES)
    chassis.spawn(streams.look_after, tasks.STREAMS)
    journals.report_readiness(chassis, [(orders, lambda: orders.caught_up and desk.end.known_within(KNOWN_NS))])
    journals.keep(chassis, [(snapshots, orders)])
    gateway, routes = _page(chassis, clock)
    beside = partial(HelperProcess, deadline_s=PAST_MAX_S, waiting_max=WAITING_MAX, environment=chassis.environment)
    past = Past(beside(ORDERS_MODULE), beside(CHANGES_MODULE), lambda: orders.head.seq)
    for part in (streams, desk.told, past):
        routes.include_router(part.router())

    async def stop_intake() -> None:
        past.stop()
        await streams.stop()

    metrics.read(chassis.registry, streams.series)
    metrics.read(chassis.registry, gateway.series)

    def stats() -> dict[str, Any]:
        return {**desk.stats(), **gateway.stats(), "drop_copy": drop_copy.stats(), "snapshots": snapshots.stats()}

    return Service(router=routes, fast={("GET", "/stream"): streams}, stats=stats, stop_intake=stop_intake)


def _page(chassis: Chassis[DeskSettings], clock: SystemClock) -> tuple[Gateway, APIRouter]:
    """Build what the page needs: its files, sessions, and the gateway to the other services."""
    settings, routes = chassis.settings, APIRouter()
    peers = peers_at(settings.peers, tls.context_to_peers(settings))
    for peer in peers.values():
        chassis.exits.push_async_callback(peer.close)
    gateway = Gateway(peers, chassis.authority)
    session = SessionEndpoint(peers["risk"], chassis.authority, clock, secure=secure_cookies(settings.access))
    for part in (session.router(), gateway.router(), Pages().router()):
        routes.include_router(part)
    return gateway, routes
