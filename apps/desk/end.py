"""How far the journal is known, so that a stream says nothing about now that it does not know."""

import asyncio
import contextlib
from typing import Any, Final

from apps.journal.subscription import JournalSubscription
from domain.ports import Clock, Journal, Unavailable

ASK_EVERY_S: Final = 0.25
ANSWER_S: Final = 1.0
KNOWN_NS: Final = 2_000_000_000
"""For how long after the journal was read to its end a heartbeat may say so."""


class JournalEnd:
    """Compares the end of the journal with what was applied. It asks the server, so a frozen one is noticed."""

    def __init__(self, journal: Journal, follower: JournalSubscription[Any], clock: Clock) -> None:
        self._journal = journal
        self._follower = follower
        self._clock = clock
        self._reached_at: int | None = None
        self.complete = False
        """Whether the journal was read to its end since the start."""
        self._seq = 0

    @property
    def seq(self) -> int:
        """The last known sequence of the journal."""
        return max(self._seq, self._follower.head.seq)

    def known(self) -> bool:
        """Return whether the journal was read to its end within KNOWN_NS."""
        return self._reached_at is not None and self._clock.monotonic_ns() - self._reached_at < KNOWN_NS

    async def run(self) -> None:
        while True:
            asked_at = self._clock.monotonic_ns()
            with contextlib.suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(ANSWER_S):
                    self._seq = (await self._journal.head()).seq
                    await self._follower.wait_for(self._seq)
                    self._reached_at = asked_at
                    self.complete = True
            await asyncio.sleep(ASK_EVERY_S)
