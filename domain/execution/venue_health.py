"""Venue health: latency, rates of rejects and silence, and until when the venue is avoided. Integers only."""

from decimal import Decimal
from typing import Final

import msgspec

from domain.values import ZERO

WEIGHT_SHIFT: Final = 4
"""Each observation weighs a sixteenth: about the last thirty decide."""
WHOLE: Final = 10**6
"""Rates are parts per million."""
PENALTY_BPS: Final = Decimal(50)
"""The penalty of a venue that always fails: half a percent of the price. A tenth of failures costs a tenth of it."""
REJECTS_IN_A_ROW_MAX: Final = 20
BACK_OFF_NS: Final = 1_000_000_000
BACK_OFF_MAX_NS: Final = 60_000_000_000
_PENALTY: Final = PENALTY_BPS.scaleb(-6)


class VenueHealth(msgspec.Struct, gc=False):
    """Folded from the journal (answers) and the steady clock (silence). The same observations give the same health."""

    latency_ns: int = 0
    reject_rate: int = 0
    silence_rate: int = 0
    answers: int = 0
    rejects: int = 0
    silences: int = 0
    rejects_in_a_row: int = 0
    back_offs: int = 0
    until_ns: int = 0

    @property
    def latency_ms(self) -> Decimal:
        """The usual time from a journaled route to its journaled first report, in milliseconds, to the microsecond."""
        return Decimal(self.latency_ns // 1000).scaleb(-3)

    def answered(self, latency_ns: int) -> None:
        """Record the first report for a route. Whatever it reports, the venue is reachable."""
        self.answers += 1
        latency_ns = max(latency_ns, 0)
        self.latency_ns += (latency_ns - self.latency_ns) >> WEIGHT_SHIFT if self.answers > 1 else latency_ns
        self.silence_rate -= self.silence_rate >> WEIGHT_SHIFT
        self.until_ns = self.back_offs = 0

    def worked(self) -> None:
        """Record that the venue took the order."""
        self.reject_rate -= self.reject_rate >> WEIGHT_SHIFT
        self.rejects_in_a_row = 0

    def rejected(self) -> bool:
        """Record a reject; return whether there were too many in a row. If so, a caller that knows the time calls `back_off`."""
        self.rejects += 1
        self.rejects_in_a_row += 1
        self.reject_rate += (WHOLE - self.reject_rate) >> WEIGHT_SHIFT
        return self.rejects_in_a_row >= REJECTS_IN_A_ROW_MAX

    def silent(self, now_ns: int) -> None:
        """Record a route's deadline without any report: the venue is avoided for a while, each time for longer, until it answers."""
        self.silences += 1
        self.silence_rate += (WHOLE - self.silence_rate) >> WEIGHT_SHIFT
        self.back_off(now_ns)

    def back_off(self, now_ns: int) -> None:
        """Avoid the venue for a while. Uses steady time: no change of the wall clock makes the pause longer."""
        if now_ns < self.until_ns:
            return
        self.until_ns = now_ns + min(BACK_OFF_NS << min(self.back_offs, 10), BACK_OFF_MAX_NS)
        self.back_offs += 1

    def backed_off(self, now_ns: int) -> bool:
        return now_ns < self.until_ns

    @property
    def penalty_bps(self) -> Decimal:
        """What the venue's failures add to its cost."""
        failures = self.reject_rate + self.silence_rate
        return failures * _PENALTY if failures else ZERO
