"""Metrics for Prometheus: one registry per service, series computed at each scrape, and the lag of the event loop."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector
from starlette.types import Send

LAG_EVERY_S: Final = 0.25
LAG_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

Series = Callable[[], Iterable[Metric]]


def registry() -> CollectorRegistry:
    """Return a new registry with the memory, descriptors, CPU seconds and garbage collections of this process."""
    fresh = CollectorRegistry()
    ProcessCollector(registry=fresh)
    GCCollector(registry=fresh)
    return fresh


class _Read(Collector):
    def __init__(self, series: Series) -> None:
        self._series = series

    def collect(self) -> Iterable[Metric]:
        return self._series()


def read(into: CollectorRegistry, series: Series) -> None:
    """Register series that are computed at each scrape from existing state, so that they cost an order nothing."""
    into.register(_Read(series))


def gauge(name: str, text: str, value: float | Mapping[str, float], label: str = "") -> GaugeMetricFamily:
    """Return a gauge of one value, or of one for each value of `label`."""
    if not isinstance(value, Mapping):
        return GaugeMetricFamily(name, text, value=value)
    family = GaugeMetricFamily(name, text, labels=[label])
    for of, number in value.items():
        family.add_metric([of], number)
    return family


def counter(name: str, text: str, value: float | Mapping[str, float], label: str = "") -> CounterMetricFamily:
    """Return a counter, as `gauge` does; `_total` is added to the name."""
    if not isinstance(value, Mapping):
        return CounterMetricFamily(name, text, value=value)
    family = CounterMetricFamily(name, text, labels=[label])
    for of, number in value.items():
        family.add_metric([of], number)
    return family


def by_shard(parts: Sequence[Series]) -> Series:
    """Return the series of several shards as one, each sample with the label `shard`; those of a single shard stay as they are."""
    return parts[0] if len(parts) == 1 else lambda: _labelled(parts)


def _labelled(parts: Sequence[Series]) -> Iterable[Metric]:
    families: dict[str, Metric] = {}
    for shard, part in enumerate(parts):
        for family in part():
            into = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            into.samples += [sample._replace(labels={**sample.labels, "shard": str(shard)}) for sample in family.samples]
    return families.values()


class Observations:
    """A histogram for a hot path: an observation is a search and two additions; the series are computed at each scrape."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` ascend; a value that equals one is counted with it."""
        self._bounds = tuple(float(bound) for bound in bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def histogram(self, name: str, text: str) -> HistogramMetricFamily:
        """Return the same family as prometheus_client's own Histogram."""
        names = (*map(repr, self._bounds), "+Inf")
        return HistogramMetricFamily(name, text, buckets=list(zip(names, accumulate(self._counts), strict=True)), sum_value=self.sum)


def loop_lag(into: CollectorRegistry) -> Histogram:
    return Histogram("event_loop_lag_seconds", "How late the event loop woke up", buckets=LAG_BUCKETS_S, registry=into)


async def measure_loop_lag(lag: Histogram) -> None:
    """Measure until cancelled how much later than requested the loop wakes up."""
    while True:
        asked = time.perf_counter() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        lag.observe(max(0.0, time.perf_counter() - asked))


async def serve_metrics(of: CollectorRegistry, send: Send) -> None:
    """Answer a request for /metrics."""
    page = generate_latest(of)
    headers = [(b"content-type", CONTENT_TYPE_PLAIN_0_0_4.encode()), (b"content-length", str(len(page)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": page})
