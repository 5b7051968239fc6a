"""How far a journal is known. It does not rely on the connection: a server or a network that stopped without a word is noticed."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from apps.journal.subscription import JournalSubscription
from domain.ports import Clock, Journal, Unavailable

ASK_EVERY_S: Final = 0.25
ANSWER_S: Final = 1.0
"""How long the server may take to answer, and the follower to apply what was there."""


class JournalEnd:
    """Asks four times a second where the journal ends, and waits until its follower has applied everything up to there."""

    def __init__(
        self, journal: Journal, follower: JournalSubscription[Any], clock: Clock, reached: Callable[[int], None] = lambda at_ns: None
    ) -> None:
        """`reached` is called with each moment (monotonic nanoseconds) of which everything has been applied."""
        self._journal = journal
        self._follower = follower
        self._clock = clock
        self._reached = reached
        self._reached_at: int | None = None
        self._seq = 0

    @property
    def seq(self) -> int:
        """The last known sequence of the journal."""
        return max(self._seq, self._follower.head.seq)

    @property
    def complete(self) -> bool:
        """Whether the journal was read to its end since the start."""
        return self._reached_at is not None

    def known_within(self, age_ns: int) -> bool:
        """Return whether the journal had been read to its end at some moment of this last time."""
        return self._reached_at is not None and self._clock.monotonic_ns() - self._reached_at < age_ns

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            asked_at = self._clock.monotonic_ns()
            with contextlib.suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(ANSWER_S):
                    self._seq = (await self._journal.head()).seq
                    await self._follower.wait_for(self._seq)
                    if self._follower.caught_up:
                        self._reached_at = asked_at
                        self._reached(asked_at)
            await asyncio.sleep(ASK_EVERY_S)
