"""Durations counted in exponential buckets: an addition for each, all other work when they are read."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric

from apps.runtime import metrics
from domain.ports import Clock

STEPS: Final = 16
"""Buckets in each doubling of time: a percentile is at most 6 % too high."""
BUCKETS_MAX: Final = STEPS * 40
HOP_BOUNDS_S: Final = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)

C = TypeVar("C", bound=Sequence[tuple[int, Any]])


class Durations:
    """Counts of durations in exponential buckets, of a fixed size."""

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS_MAX
        self.count = 0
        self.sum_ns = 0
        self.max_ns = 0

    def add(self, ns: int) -> None:
        doubling = max(ns.bit_length() - 5, 0)
        self.counts[min(doubling * STEPS + (ns >> doubling), BUCKETS_MAX - 1)] += 1
        self.count += 1
        self.sum_ns += ns
        if ns > self.max_ns:
            self.max_ns = ns

    def percentile(self, share: float) -> int:
        """Return the upper edge of the bucket that has this percentile, in nanoseconds; 0 if nothing was counted."""
        wanted, seen = share * self.count, 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return min(_upper_edge(bucket), self.max_ns)
        return 0

    def below(self, ns: int) -> int:
        """Return how many were certainly no longer than this."""
        return sum(count for bucket, count in enumerate(self.counts) if count and _upper_edge(bucket) <= ns)

    def buckets(self, bounds_s: Sequence[float]) -> list[tuple[str, float]]:
        """Return cumulative counts for Prometheus: how many were no longer than each bound."""
        return [*((repr(bound), float(self.below(int(bound * 1e9)))) for bound in bounds_s), ("+Inf", float(self.count))]

    def up_to_ns(self) -> dict[str, int]:
        """Return the counts by the upper edge of their bucket, so that two readings give the percentiles of the time between."""
        return {str(_upper_edge(bucket)): count for bucket, count in enumerate(self.counts) if count}

    def view(self) -> dict[str, float | int]:
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
        return {"count": self.count, **{k: self.percentile(v) / 1000 for k, v in shares.items()}, "max": self.max_ns / 1000}


def _upper_edge(bucket: int) -> int:
    doubling = max(bucket // STEPS - 1, 0)
    return (bucket - doubling * STEPS + 1 << doubling) - 1


class Hops:
    """Times from a decision in oms until a reader has applied it: one observation for each batch, by its newest event."""

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self._readers: dict[str, Durations] = {}
        metrics.read(registry, self._series)

    def timed(self, reader: str, apply: Callable[[C], Awaitable[None] | None]) -> Callable[[C], Awaitable[None] | None]:
        """Return `apply` with its time measured."""
        durations = self._readers.setdefault(reader, Durations())

        async def awaited(done: Awaitable[None], at: int) -> None:
            await done
            durations.add(max(0, self._clock.now_ns() - at))

        def whole(commits: C) -> Awaitable[None] | None:
            at: int = commits[-1][1].events[-1].at
            done = apply(commits)
            if done is not None:
                return awaited(done, at)
            durations.add(max(0, self._clock.now_ns() - at))
            return None

        return whole

    def _series(self) -> Iterator[Metric]:
        seconds = HistogramMetricFamily("journal_follow_seconds", "From a decision until a reader had applied it", labels=["reader"])
        for reader, durations in self._readers.items():
            seconds.add_metric([reader], durations.buckets(HOP_BOUNDS_S), durations.sum_ns / 1e9)
        yield seconds
