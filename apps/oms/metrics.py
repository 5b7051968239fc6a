"""What oms counts: orders by outcome, the time of a submit, commits and what they held."""

import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from apps.oms.intake import Answer

LATENCY_BUCKETS_S: Final = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
COMMIT_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
RECENT_MAX: Final = 10_000


class OmsMetrics:
    """Prometheus series and the recent submit latencies that `/stats` shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._orders = Counter("oms_orders", "Submits answered with an order.", ["outcome", "reason"], registry=registry)
        self._submit = Histogram("oms_submit_seconds", "POST /orders, request to answer.", buckets=LATENCY_BUCKETS_S, registry=registry)
        self._append = Histogram("oms_append_seconds", "One commit to its ack.", buckets=LATENCY_BUCKETS_S, registry=registry)
        self._size = Histogram("oms_commit_events", "Events in one commit.", buckets=COMMIT_BUCKETS, registry=registry)
        self._events = Counter("oms_events", "Events made durable.", registry=registry)
        self._refused = Counter("oms_transitions_refused", "Steps that the table lacks.", ["trigger"], registry=registry)
        self._doubted = Counter("oms_orders_doubted", "Orders that came to be in doubt.", ["reason"], registry=registry)
        self._quarantined = Counter("oms_reports_quarantined", "Venue reports nobody may apply yet.", ["reason"], registry=registry)
        self._repeated = Counter(
            "oms_facts_repeated", "Facts that said nothing new: counted, not recorded again.", ["kind"], registry=registry
        )
        self._ready = Gauge("oms_ready", "1 while memory equals the journal.", registry=registry)
        self._recent: deque[float] = deque(maxlen=RECENT_MAX)
        self._tally: Tally[str] = Tally()
        self._counter = cache(self._orders.labels)
        self.commits = 0

    @contextmanager
    def submit(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            self._submit.observe(seconds)
            self._recent.append(seconds)

    def answered(self, answer: Answer) -> None:
        outcome = "replayed" if answer.replayed else "rejected" if answer.order.refused else "submitted"
        reason = (answer.order.reason or "") if outcome == "rejected" else ""
        self._counter(outcome, reason).inc()
        self._tally[f"{outcome}:{reason}" if reason else outcome] += 1

    def appended(self, seconds: float, events: int) -> None:
        self.commits += 1
        self._append.observe(seconds)
        self._events.inc(events)
        self._size.observe(events)

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
            "answers": dict(self._tally),
            "commits": self.commits,
            "submit_ms": {"p50": percentile(0.50), "p99": percentile(0.99), "max": percentile(1.0), "recent": len(recent)},
        }
