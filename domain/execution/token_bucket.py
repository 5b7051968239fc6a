"""Tokens: so many a second, and so many at once. One number remembers all of it, and time arrives with the question."""

from typing import Final

SECOND_NS: Final = 1_000_000_000


class TokenBucket:
    """The moment at which all tokens will be back says how many are there now."""

    def __init__(self, per_sec: int, burst: int) -> None:
        self._each_ns = SECOND_NS // per_sec
        self._depth_ns = burst * self._each_ns
        self._full_at = 0

    def ready(self, now_ns: int) -> bool:
        return self.wait_ns(now_ns) <= 0

    def take(self, now_ns: int) -> None:
        """One token, also when there is none: whoever may not wait makes the next one wait longer."""
        self._full_at = max(self._full_at, now_ns) + self._each_ns

    def wait_ns(self, now_ns: int) -> int:
        """How long until there is a token; zero or less when there is one."""
        return self._full_at + self._each_ns - self._depth_ns - now_ns

    def tokens(self, now_ns: int) -> int:
        return (self._depth_ns - max(self._full_at - now_ns, 0)) // self._each_ns
