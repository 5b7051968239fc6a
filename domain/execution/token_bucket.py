"""A token bucket: a rate per second and a burst. Its state is one number, and the time is an argument."""

from typing import Final

SECOND_NS: Final = 1_000_000_000


class TokenBucket:
    """A token bucket. Its only state is the time at which all tokens will be back."""

    __slots__ = ("_depth_ns", "_each_ns", "_full_at")

    def __init__(self, per_sec: int, burst: int) -> None:
        self._each_ns = SECOND_NS // per_sec
        self._depth_ns = burst * self._each_ns
        self._full_at = 0

    def ready(self, now_ns: int) -> bool:
        return self.wait_ns(now_ns) <= 0

    def take(self, now_ns: int) -> None:
        """Take one token, even if none is available: a caller that may not wait makes the next one wait longer."""
        self._full_at = max(self._full_at, now_ns) + self._each_ns

    def wait_ns(self, now_ns: int) -> int:
        """Return how long until a token is available; zero or less if one is."""
        return self._full_at + self._each_ns - self._depth_ns - now_ns

    def tokens(self, now_ns: int) -> int:
        return (self._depth_ns - max(self._full_at - now_ns, 0)) // self._each_ns

    def full_in_ns(self, now_ns: int) -> int:
        """Return how long until all tokens are back."""
        return max(self._full_at - now_ns, 0)
