"""Metrics of risk: decisions by outcome and reason, latency, leaked reservations. Sums are computed only when they are read."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from apps.runtime.histogram import Durations
from apps.runtime.log_limit import LogLimit
from apps.runtime.metrics import gauge
from domain.order.commands import RiskDecision

log = structlog.get_logger()

Figure = int | Mapping[str, int]
"""The value of a gauge; of several shards that of each, by its number."""
BOUNDS_S: Final = (0.000005, 0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.0015, 0.002, 0.005, 0.01, 0.05, 0.25, 1.0)


class RiskMetrics(Collector):
    """Counters and latency histograms. `way` is what was timed: one check, an HTTP request or a NATS batch."""

    WAYS: Final = ("check", "http", "nats")

    def __init__(self, registry: CollectorRegistry, slow_ms: float, gauges: Callable[[], dict[str, Figure]]) -> None:
        self._decisions: Counter[tuple[str, str]] = Counter()
        self.counts: Counter[str] = Counter(dry=0, leaked_reservations=0, malformed=0, slow=0, not_its_turn=0)
        self._latency = {way: Durations() for way in self.WAYS}
        self._slow_ns = int(slow_ms * 1_000_000)
        self._seldom = LogLimit()
        self._gauges = gauges
        registry.register(self)

    def decided(self, decision: RiskDecision, way: str, ns: int, *, dry: bool = False) -> None:
        """Count a decision. Dry checks are counted separately: they neither approve nor deny an order."""
        denial = decision.denial
        if dry:
            self.counts["dry"] += 1
        elif denial is None:
            self._decisions["approved", ""] += 1
        else:
            self._decisions["denied", denial.code] += 1
        self.took(way, ns, decision.order_id)

    def took(self, way: str, ns: int, order_id: str = "", orders: int = 1) -> None:
        """Observe a duration. Slow ones are logged, at most one per second."""
        self._latency[way].add(ns)
        if ns <= self._slow_ns:
            return
        self.counts["slow"] += 1
        held_back = self._seldom.now()
        if held_back is not None:
            log.warning("slow risk check", way=way, ms=round(ns / 1e6, 3), order_id=order_id, orders=orders, not_logged=held_back)

    def stats(self) -> dict[str, Any]:
        denied = {reason: n for (outcome, reason), n in self._decisions.items() if outcome == "denied"}
        approved = self._decisions["approved", ""]
        return {
            "checks": approved + sum(denied.values()) + self.counts["dry"],
            "approved": approved,
            "denied": denied,
            "latency_us": {way: histogram.view() for way, histogram in self._latency.items()},
            "checks_up_to_ns": self._latency["check"].up_to_ns(),
            **self.counts,
            **self._gauges(),
        }

    def collect(self) -> Iterator[Metric]:
        decisions = CounterMetricFamily("risk_checks", "Decisions by outcome and reason", labels=["outcome", "reason"])
        for labels, count in self._decisions.items():
            decisions.add_metric(labels, count)
        yield decisions
        seconds = HistogramMetricFamily("risk_check_seconds", "Duration of a check, an HTTP request or a NATS batch", labels=["way"])
        for way, durations in self._latency.items():
            seconds.add_metric([way], durations.buckets(BOUNDS_S), durations.sum_ns / 1e9)
        yield seconds
        for name, number in self.counts.items():
            yield CounterMetricFamily(f"risk_{name}", f"Count of {name.replace('_', ' ')}", value=number)
        for name, figure in self._gauges().items():
            yield gauge(f"risk_{name}", f"Number of {name.replace('_', ' ')} now", figure, "shard")
