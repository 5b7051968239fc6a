"""Prometheus metrics of exeq: its queue, its routes, and the health of the venues. Read on each scrape."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import Metric

from apps.exeq.executor import Executor
from apps.exeq.in_doubt import WHENEVER, InDoubtRoutes
from apps.exeq.kill_switch import ExeqKillSwitch
from apps.journal.publisher import Publisher
from apps.runtime.metrics import counter, gauge
from domain.execution.venue_health import VenueHealth
from domain.ports import Clock
from domain.risk.controls import Controls


def series(switch: ExeqKillSwitch, controls: Controls, publisher: Publisher) -> Iterator[Metric]:
    yield counter("exeq_requests_dropped", "Requests that were not published; the venue is queried about them", publisher.dropped)
    yield gauge("exeq_kills_unreadable", "1 while the local kill switches cannot be read and nothing is sent", bool(switch.trouble))
    yield gauge("exeq_kills", "Kill switches in force", len({*controls.kills, *switch.local}))


def of_shard(executor: Executor, doubts: InDoubtRoutes, clock: Clock) -> Iterator[Metric]:
    """Yield the series that each shard has for itself."""
    executions = executor.executions
    oldest = executions.queue.oldest()
    names = executor.router.venues
    working = Counter(leg.venue for order in executions.working.values() for leg in order.legs)
    waiting = Counter(request.venue for request in executions.unanswered(WHENEVER))
    yield gauge("exeq_queue_depth", "Orders that wait for a route", len(executions.queue))
    yield gauge("exeq_queue_oldest_seconds", "How long the oldest of them has waited", _age_s(clock.now_ns(), oldest))
    yield gauge("exeq_orders_held", "Queued orders that no venue can take now", executor.held)
    yield gauge("exeq_orders_in_doubt", "Orders in doubt", doubts.in_doubt)
    yield gauge("exeq_routes_working", "Routes at a venue", {name: working[name] for name in names}, "venue")
    yield gauge("exeq_routes_unanswered", "Routes without a first report", {name: waiting[name] for name in names}, "venue")
    yield counter("exeq_sends", "Requests sent to venues", executor.sends)
    yield counter("exeq_sends_withheld", "Requests withheld right before the wire", executor.withheld)
    yield counter("exeq_routes_of_others", "Routes of another exeq or an earlier epoch; the venue is queried about them", executor.others)
    yield gauge("exeq_epoch", "The epoch under which this exeq sends; 0 while it does not send", executor.ownership.epoch or 0)


def of_venues(executors: Sequence[Executor], clock: Clock) -> Iterator[Metric]:
    """Yield the series of venues, which all shards share. A venue is open if orders of every shard may be routed to it."""
    first, now = executors[0], clock.monotonic_ns()
    standings = [executor.router.standings(now) for executor in executors]
    names = first.router.venues
    health = {name: first.executions.health_of(name) for name in names}
    open_to = {name: all(standing[name].closed is None for standing in standings) for name in names}
    yield gauge("exeq_venue_open", "1 while orders may be routed to the venue", open_to, "venue")
    yield gauge(
        "exeq_venue_latency_seconds", "Time from the journaled route to the first report, smoothed", _of(health, "latency_ns", 1e9), "venue"
    )
    yield counter("exeq_venue_answers", "First reports on a route", _of(health, "answers"), "venue")
    yield counter("exeq_venue_rejects", "Routes that the venue rejected", _of(health, "rejects"), "venue")
    yield counter("exeq_venue_silences", "Routes whose deadline passed without a report", _of(health, "silences"), "venue")


def _age_s(now: int, since: int | None) -> float:
    """Return the age in seconds, at least 0: the two wall clocks may differ, as one of them is oms's."""
    return max(now - since, 0) / 1e9 if since is not None else 0.0


def _of(health: Mapping[str, VenueHealth], field: str, unit: float = 1) -> dict[str, float]:
    return {name: getattr(each, field) / unit for name, each in health.items()}
