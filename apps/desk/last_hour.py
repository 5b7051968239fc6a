"""The last hour as numbers for curves: latencies, commits a second and lag, sampled from what the services say about themselves."""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from domain.values import rfc3339

EVERY_NS: Final = 10 * 1_000_000_000
SAMPLES_MAX: Final = 360
"""One hour."""

Found = Mapping[str, Mapping[str, Any] | None]
"""What each service says about itself; None if it did not answer."""


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One moment. A latency is None if nothing was measured since the sample before, or if the service did not answer."""

    at: str
    seq: int
    commits_a_second: float | None
    submit_ms: float | None
    """P99 of oms, of its last 10 000 submits."""
    check_us: float | None
    """P99 of risk, of the checks since the sample before."""
    lag: int | None
    """Commits that the service furthest behind has not applied yet."""


class LastHour:
    """The samples, the oldest one first. A restart of desk empties them."""

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=SAMPLES_MAX)
        self._at: int | None = None
        self._seq = 0
        self._submits = 0
        self._checks: Mapping[str, int] = {}

    def take(self, found: Found, lags: list[int], seq: int, now: int, at: int) -> None:
        """Take a sample if one is due. `seq`: the end of the journal; `now`: monotonic nanoseconds; `at`: nanoseconds UTC."""
        before = self._at
        if before is not None and now - before < EVERY_NS:
            return
        oms, risk = found.get("oms"), found.get("risk")
        submits = sum((oms.get("answers") or {}).values()) if oms else self._submits
        checks = risk.get("checks_up_to_ns") or {} if risk else self._checks
        if before is not None:
            rate = round((seq - self._seq) * 1e9 / (now - before), 1)
            submit = (oms.get("submit_ms") or {}).get("p99") if oms and submits != self._submits else None
            check = _percentile(_since(checks, self._checks), 0.99)
            self.samples.append(Sample(rfc3339(at), seq, rate, submit, check, max(lags, default=None)))
        self._at, self._seq, self._submits, self._checks = now, seq, submits, checks

    def encoded(self) -> bytes:
        return msgspec.json.encode({"every_sec": EVERY_NS // 1_000_000_000, "samples": list(self.samples)})


def _since(now: Mapping[str, int], before: Mapping[str, int]) -> dict[int, int]:
    """Return how many were counted since, by their upper bound; all of now if the service started again."""
    restarted = any(now.get(edge, 0) < count for edge, count in before.items())
    return {int(edge): count - (0 if restarted else before.get(edge, 0)) for edge, count in now.items()}


def _percentile(counts: Mapping[int, int], share: float) -> float | None:
    """Return the percentile in microseconds; None if nothing was counted."""
    wanted, seen = share * sum(counts.values()), 0
    for edge, count in sorted(counts.items()):
        seen += count
        if count and seen >= wanted:
            return edge / 1000
    return None
