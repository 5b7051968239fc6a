"""How far a venue's clock is from ours, by the smallest (received - at) of each minute."""

from typing import Final

MINUTE_NS: Final = 60 * 1_000_000_000
SKEW_NS: Final = 1_000_000_000
"""An offset beyond this is a fact, and so is each change of it by as much."""


class ClockSkew:
    """The smallest difference holds the least delay: what is left of it is the offset of the clocks, plus the shortest way."""

    def __init__(self) -> None:
        self.ends = 0
        """When the minute ends, by our time of receipt."""
        self._smallest: int | None = None
        self._said = 0

    def note(self, received: int, at: int) -> None:
        """Take the times of a live record, nanoseconds UTC."""
        offset = received - at
        if self._smallest is None or offset < self._smallest:
            self._smallest = offset

    def restart(self, received: int) -> None:
        """Begin the minute again: our clock went back, and what was measured before says nothing now."""
        self.ends, self._smallest = received + MINUTE_NS, None

    def ended(self, received: int) -> int | None:
        """Begin another minute. Return the offset of the one that is over, if it is beyond the limit or back within it, and not yet said.

        A positive offset means that the venue's clock is behind ours.
        """
        offset = self._smallest
        self.restart(received)
        if offset is None:
            return None
        said = offset if abs(offset) > SKEW_NS else 0
        if said == self._said or (said and self._said and abs(said - self._said) <= SKEW_NS):
            return None
        self._said = said
        return offset
