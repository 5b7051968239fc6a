"""Time slices for loops over many accounts: an order waits at most 5 ms for its decision."""

import asyncio
from typing import Final

AT_ONCE_MAX: Final = 80
"""Holdings in one slice, about 10 us each."""
ACCOUNT_WEIGHT: Final = 4
"""The cost of an account itself, in holdings."""
PAUSE_S: Final = 0.002
"""Pause between slices. One turn of the event loop is not enough: a request takes three to be read."""


class TimeSlice:
    """Yields the event loop to the checks after every AT_ONCE_MAX holdings."""

    def __init__(self) -> None:
        self._looked_at = 0

    async def after(self, weight: int) -> None:
        self._looked_at += weight
        if self._looked_at >= AT_ONCE_MAX:
            self._looked_at = 0
            await asyncio.sleep(PAUSE_S)
