"""Metrics and statistics of normalizer. Read on each scrape."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import Metric

from apps.journal.publisher import Publisher
from apps.normalizer.market_watch import MarketWatch
from apps.normalizer.venue_run import VenueShared
from apps.runtime.metrics import counter, gauge


def series(watch: MarketWatch, shared: VenueShared, publisher: Publisher) -> Iterator[Metric]:
    runs = watch.runs
    published = {kind: sum(run.out.published[kind] for run in runs.values()) for kind in ("quotes", "trades", "books", "facts")}
    yield counter("normalizer_records", "Records stored in the market's streams, by kind", published, "kind")
    yield counter("normalizer_facts", "Facts about feeds, by kind", shared.facts.counts, "fact")
    yield counter("normalizer_frames", "Frames read", shared.quality.frames)
    yield counter("normalizer_frames_rejected", "Frames that could not be read", shared.quality.rejected)
    dropped = sum((run.fold.dropped for run in runs.values()), Counter[str]())
    yield counter("normalizer_dropped", "Frames, updates and trades that decoders dropped without a fact, by reason", dropped, "reason")
    yield gauge("normalizer_books_valid", "Books that are valid now", {name: len(run.fold.owners) for name, run in runs.items()}, "venue")
    yield gauge("normalizer_crossed_symbols", "Symbols whose bid at one venue reaches the ask of another", watch.across.crossed)
    yield gauge(
        "normalizer_lag_seconds", "Age of the last frames when they were read", {n: r.lag_ns() / 1e9 for n, r in runs.items()}, "venue"
    )
    yield counter("normalizer_ticks", "Quotes sent to the core", {name: run.ticks_sent for name, run in runs.items()}, "venue")
    yield counter("normalizer_depths", "Books sent to exeq and the paper venues", {n: r.depths_sent for n, r in runs.items()}, "venue")
    yield counter("normalizer_prints", "Messages of prints sent to the paper venues", {n: r.prints_sent for n, r in runs.items()}, "venue")
    yield counter(
        "normalizer_ticks_conflated", "Quotes replaced before they were sent", {n: r.ticks.conflated for n, r in runs.items()}, "venue"
    )
    yield counter(
        "normalizer_decoder_failures",
        "Failures of a decoder; each ends the venue's connections",
        {n: r.failures for n, r in runs.items()},
        "venue",
    )
    yield gauge(
        "normalizer_wishes_open",
        "Symbols or connections that the gateway is asked for",
        {n: r.wishes.open for n, r in runs.items()},
        "venue",
    )
    yield counter("normalizer_asked", "Requests to the gateway, by kind", watch.asked, "wish")
    yield counter("normalizer_messages_dropped", "Quotes and bars that were not sent because the core's NATS was away", publisher.dropped)
    yield shared.latency.histogram("normalizer_tick_seconds", "From the receipt of a frame to its quote on the way to the core")


def stats(watch: MarketWatch, shared: VenueShared, publisher: Publisher) -> dict[str, Any]:
    return {
        "frames": {"read": shared.quality.frames, "rejected": shared.quality.rejected},
        "facts": dict(shared.facts.counts),
        "asked": dict(watch.asked),
        "crossed_symbols": watch.across.crossed,
        "messages_dropped": publisher.dropped,
        "venues": {
            name: {
                "epoch": run.fold.epoch,
                "symbols": len(run.fold.symbols),
                "valid_books": len(run.fold.owners),
                "lag_ms": run.lag_ns() // 1_000_000,
                "published": dict(run.out.published),
                "steps_waiting": run.out.waiting,
                "repeated": run.out.repeated,
                "ticks": {"sent": run.ticks_sent, "conflated": run.ticks.conflated},
                "depths_sent": run.depths_sent,
                "prints_sent": run.prints_sent,
                "trades": {"duplicates": run.bars.duplicates, "too_late_for_bars": run.bars.too_late},
                "late_frames": run.fold.late_frames,
                "dropped_without_a_fact": dict(run.fold.dropped),
                "decoder_failures": run.failures,
                "wishes_open": run.wishes.open,
                "starts": watch.readers[name].starts,
                "unreadable_messages": watch.readers[name].unreadable,
            }
            for name, run in watch.runs.items()
        },
    }
