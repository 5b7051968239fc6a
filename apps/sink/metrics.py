"""Metrics and statistics of a sink. Read on each scrape."""

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import Metric

from apps.runtime.metrics import counter, gauge
from apps.sink.pipeline import Pipeline
from apps.sink.sinks import Upkeep
from domain.archive.ports import DeadLetters
from domain.ports import Unavailable


def series(pipelines: Sequence[Pipeline], letters: DeadLetters, unread_percent_max: int, upkeep: Sequence[Upkeep]) -> Iterator[Metric]:
    def each(value: str) -> Mapping[str, float]:
        return {pipeline.name: float(getattr(pipeline, value)) for pipeline in pipelines}

    unread = {pipeline.name: float(pipeline.source.unread_percent) for pipeline in pipelines}
    alarm = {name: float(percent >= unread_percent_max) for name, percent in unread.items()}
    behind = {pipeline.name: float(pipeline.source.behind) for pipeline in pipelines}
    yield counter("sink_rows", "Rows written to a place", each("rows"), "sink")
    yield counter("sink_writes", "Batches written to a place, each with its checkpoint", each("writes"), "sink")
    yield counter("sink_starts", "Starts from the checkpoint of a place", each("starts"), "sink")
    yield gauge("sink_rows_held", "Rows read and not written yet", each("held"), "sink")
    yield gauge("sink_lag_seconds", "Time since the place had all that its source had", each("lag_s"), "sink")
    yield gauge("sink_behind_messages", "Messages of the source that are not read yet", behind, "sink")
    yield gauge(
        "sink_stream_unread_percent", "How much of the stream's bound holds unread messages; at 100 it discards them", unread, "sink"
    )
    yield gauge("sink_stream_alarm", "1 while more of the stream's bound is unread than bounds.unread_percent_max", alarm, "sink")
    yield counter("sink_dead_letters", "Rows put aside because a place can never store them", counts(letters), "sink")
    for each_kept in upkeep:
        yield from each_kept.series()


def stats(pipelines: Sequence[Pipeline], letters: DeadLetters, upkeep: Sequence[Upkeep]) -> dict[str, object]:
    aside = counts(letters)
    own = {name: value for each in upkeep for name, value in each.stats().items()}
    return own | {
        "sinks": {
            pipeline.name: {
                "rows": pipeline.rows,
                "writes": pipeline.writes,
                "starts": pipeline.starts,
                "rows_held": pipeline.held,
                "lag_ms": int(pipeline.lag_s * 1000),
                "behind_messages": pipeline.source.behind,
                "unread_percent": pipeline.source.unread_percent,
                "dead_letters": int(aside.get(pipeline.name, 0)),
                "waits_for": pipeline.trouble,
                "checkpoint": pipeline.checkpoint,
            }
            for pipeline in pipelines
        }
    }


def counts(letters: DeadLetters) -> Mapping[str, float]:
    try:
        return letters.counts()
    except Unavailable:
        return {}
