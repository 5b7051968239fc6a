"""Metrics of oms: orders by outcome, submit latency, commits and their size."""

from collections import Counter as Tally
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, Metric

from apps.oms.submit import SubmitResult
from apps.runtime import metrics

LATENCY_BUCKETS_S: Final = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
COMMIT_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
RECENT_MAX: Final = 10_000


class OmsMetrics:
    """Prometheus series, and the recent submit latencies of `/stats`. Values per order or commit are summed only when they are read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._submit = metrics.Observations(LATENCY_BUCKETS_S)
        self._append = metrics.Observations(LATENCY_BUCKETS_S)
        self._size = metrics.Observations(COMMIT_BUCKETS)
        self._answers: Tally[tuple[str, str]] = Tally()
        self._recent: deque[float] = deque(maxlen=RECENT_MAX)
        self.commits = 0
        metrics.read(registry, self._series)
        self._refused = Counter(
            "oms_transitions_refused", "Transitions that the lifecycle table does not allow.", ["trigger"], registry=registry
        )
        self._doubted = Counter("oms_orders_doubted", "Orders that became in doubt.", ["reason"], registry=registry)
        self._quarantined = Counter("oms_reports_quarantined", "Venue reports that were quarantined.", ["reason"], registry=registry)
        self._repeated = Counter(
            "oms_facts_repeated", "Events that repeat a recorded one: counted, not recorded again.", ["kind"], registry=registry
        )
        self._flagged = Counter("oms_lists_flagged", "Flags of lists that a person should look at.", ["flag"], registry=registry)
        self._ready = Gauge("oms_ready", "1 while memory matches the journal.", registry=registry)

    def submitted(self, seconds: float) -> None:
        """Observe the time from request to response, whatever its outcome."""
        self._submit.observe(seconds)
        self._recent.append(seconds)

    def answered(self, answer: SubmitResult) -> None:
        if answer.replayed:
            self._answers["replayed", ""] += 1
        elif answer.order.refused:
            self._answers["rejected", answer.order.reason or ""] += 1
        else:
            self._answers["submitted", ""] += 1

    def appended(self, seconds: float, events: int) -> None:
        self.commits += 1
        self._append.observe(seconds)
        self._size.observe(events)

    def list_flagged(self, flag: str) -> None:
        self._flagged.labels(flag).inc()

    def transition_refused(self, trigger: str) -> None:
        self._refused.labels(trigger).inc()

    def doubted(self, reason: str) -> None:
        self._doubted.labels(reason).inc()

    def quarantined(self, reason: str) -> None:
        self._quarantined.labels(reason).inc()

    def repeated(self, kind: str) -> None:
        self._repeated.labels(kind).inc()

    def ready(self, ready: bool) -> None:
        self._ready.set(ready)

    def stats(self) -> dict[str, Any]:
        recent = sorted(self._recent)

        def percentile(share: float) -> float | None:
            return round(recent[min(int(len(recent) * share), len(recent) - 1)] * 1000, 3) if recent else None

        return {
            "answers": {f"{outcome}:{reason}" if reason else outcome: count for (outcome, reason), count in self._answers.items()},
            "commits": self.commits,
            "submit_ms": {"p50": percentile(0.50), "p99": percentile(0.99), "max": percentile(1.0), "recent": len(recent)},
        }

    def _series(self) -> Iterator[Metric]:
        orders = CounterMetricFamily("oms_orders", "Submits that returned an order.", labels=["outcome", "reason"])
        for labels, count in self._answers.items():
            orders.add_metric(labels, count)
        yield orders
        yield self._submit.histogram("oms_submit_seconds", "POST /orders, request to response.")
        yield self._append.histogram("oms_append_seconds", "Time from a commit to its acknowledgement.")
        yield self._size.histogram("oms_commit_events", "Events in one commit.")
        yield metrics.counter("oms_events", "Events made durable.", self._size.sum)
