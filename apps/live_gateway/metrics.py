"""Prometheus metrics of live-gateway. Read on each scrape."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import Metric

from apps.journal.publisher import Publisher
from apps.live_gateway.request_handler import RequestHandler
from apps.live_gateway.session import Sessions
from apps.live_gateway.venue_host import VenueHost
from apps.runtime.metrics import counter, gauge


def series(hosts: Mapping[str, VenueHost], intake: RequestHandler, sessions: Sessions, publisher: Publisher) -> Iterator[Metric]:
    venues = {name: host.venue for name, host in hosts.items()}
    yield counter("gateway_venue_orders", "Orders accepted by a venue", {name: venue.taken for name, venue in venues.items()}, "venue")
    yield gauge("gateway_venue_open_orders", "Orders in a venue's book", {name: len(venue.open) for name, venue in venues.items()}, "venue")
    yield counter("gateway_venue_fills", "Trades of a venue", {name: venue.executions for name, venue in venues.items()}, "venue")
    yield counter(
        "gateway_venue_recoveries", "Recoveries of a venue from its journal", {n: h.recoveries for n, h in hosts.items()}, "venue"
    )
    sends = max((venue.sends_max for venue in venues.values()), default=0)
    yield gauge("gateway_sends_per_route_max", "Largest number of arrivals of one route; above 1, a route was sent twice", sends)
    yield counter("gateway_requests", "Requests by outcome", {"taken": intake.taken, "unreadable": intake.unreadable}, "outcome")
    stale = {name: host.stale_epochs for name, host in hosts.items()}
    yield counter("gateway_stale_epoch", "Requests refused because an exeq of a newer epoch is known", stale, "venue")
    dropped = {name: host.inbox.dropped for name, host in hosts.items()}
    yield counter(
        "gateway_market_dropped", "Quotes and prints that a slow venue did not process, because newer ones came", dropped, "venue"
    )
    yield counter("gateway_reports_resent", "Reports sent again on request", sessions.resent)
    yield counter("gateway_messages_dropped", "Messages that were not published; oms requests them again", publisher.dropped)
