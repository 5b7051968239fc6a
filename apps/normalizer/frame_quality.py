"""How many frames of the last minute could not be read."""

from collections import deque
from typing import Final

BUCKET_NS: Final = 5_000_000_000
BUCKETS: Final = 12
"""A minute."""
BAD_PERCENT_MAX: Final = 1
FRAMES_MIN: Final = 100
"""Fewer frames prove nothing."""


class FrameQuality:
    """Counts frames by five seconds of our steady clock."""

    def __init__(self) -> None:
        self._buckets: deque[list[int]] = deque(maxlen=BUCKETS + 1)
        self.frames = 0
        self.rejected = 0

    def count(self, frames: int, rejected: int, now: int) -> None:
        start = now // BUCKET_NS
        if not self._buckets or self._buckets[-1][0] != start:
            self._buckets.append([start, 0, 0])
        bucket = self._buckets[-1]
        bucket[1] += frames
        bucket[2] += rejected
        self.frames += frames
        self.rejected += rejected

    def trouble(self, now: int) -> str | None:
        """Return why the frames of the last minute are not good enough; None if they are."""
        since = now // BUCKET_NS - BUCKETS
        frames = sum(each[1] for each in self._buckets if each[0] > since)
        rejected = sum(each[2] for each in self._buckets if each[0] > since)
        if frames < FRAMES_MIN or rejected * 100 <= frames * BAD_PERCENT_MAX:
            return None
        return f"{rejected} of {frames} frames of the last minute cannot be read"
