"""Looking at many accounts beside the checks: a little at a time, because an order waits 5 ms for its answer."""

import asyncio
from typing import Final

AT_ONCE_MAX: Final = 80
"""Holdings, some 10 us each."""
ACCOUNT_WEIGHT: Final = 4
"""An account by itself takes as long as so many of its holdings."""
PAUSE_S: Final = 0.002
"""A single turn of the loop would not do: a question takes three to be read."""


class TimeSlice:
    """Gives the loop to the checks after every so many holdings."""

    def __init__(self) -> None:
        self._looked_at = 0

    async def after(self, weight: int) -> None:
        self._looked_at += weight
        if self._looked_at >= AT_ONCE_MAX:
            self._looked_at = 0
            await asyncio.sleep(PAUSE_S)
