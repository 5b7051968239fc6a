"""Prometheus metrics of gateway, and its /stats. Read on each scrape."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, Metric

from apps.gateway.control import VenueControl
from apps.gateway.routes import feed_view
from apps.gateway.venue_feed import FeedState, VenueFeed
from apps.runtime.metrics import Observations, counter, gauge
from domain.execution.token_bucket import SECOND_NS


def series(feeds: Mapping[str, VenueFeed], control: VenueControl, latency: Observations) -> Iterator[Metric]:
    def of(name: str) -> dict[str, float]:
        return {venue: float(getattr(feed, name)) for venue, feed in feeds.items()}

    def written(name: str) -> dict[str, float]:
        return {venue: float(getattr(feed.writer, name)) for venue, feed in feeds.items()}

    live = {venue: float(feed.state is FeedState.LIVE) for venue, feed in feeds.items()}
    yield gauge("market_venue_live", "1 while a venue is connected and sends", live, "venue")
    yield counter("market_venue_frames", "Messages received from a venue", of("frames"), "venue")
    yield counter("market_venue_reconnects", "Connections to a venue after the first", of("reconnects"), "venue")
    yield gauge("market_venue_failures", "Failed attempts to connect since the last good connection", of("failures"), "venue")
    yield counter("market_raw_frames", "Frames that the stream has acknowledged, of every kind", written("written"), "venue")
    yield counter("market_raw_messages", "Messages of frames that the stream has acknowledged", written("messages"), "venue")
    yield counter("market_raw_repeats", "Times that a message was sent again for want of an ack", written("repeated"), "venue")
    yield counter("market_raw_frames_dropped", "Frames dropped for lack of memory or for their size", written("dropped"), "venue")
    yield gauge("market_raw_waiting_bytes", "Memory of frames that the stream has not acknowledged", written("bytes"), "venue")
    oldest = {venue: feed.writer.oldest_ns() / SECOND_NS for venue, feed in feeds.items()}
    yield gauge("market_raw_waiting_seconds", "Age of the oldest frame that the stream has not acknowledged", oldest, "venue")
    yield latency.histogram("market_raw_latency_seconds", "From the receipt of a message's oldest frame to its ack")
    rest = CounterMetricFamily("market_venue_rest", "Replies over REST; status 0 is none", labels=["venue", "status"])
    for venue, feed in feeds.items():
        for status, number in sorted(feed.fetcher.statuses.items()):
            rest.add_metric([venue, status], number)
    yield rest
    outcomes = {"accepted": float(control.accepted), "refused": float(control.refused)}
    yield counter("market_control_requests", "Requests to the sessions with venues, by outcome", outcomes, "outcome")


def stats(feeds: Mapping[str, VenueFeed], control: VenueControl) -> dict[str, object]:
    writers = [feed.writer for feed in feeds.values()]
    return {
        "frames": sum(feed.frames for feed in feeds.values()),
        "frames_written": sum(writer.written for writer in writers),
        "frames_dropped": sum(writer.dropped for writer in writers),
        "messages": sum(writer.messages for writer in writers),
        "control": {"accepted": control.accepted, "refused": control.refused},
        "venues": {name: feed_view(feed) for name, feed in sorted(feeds.items())},
    }
