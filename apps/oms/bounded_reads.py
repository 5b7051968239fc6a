"""Reads of tables beside the orders: few at once, each with a deadline, so that a slow store costs oms nothing but the answer itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from apps.http.problem import Refusal
from domain.ports import Unavailable

T = TypeVar("T")

AT_ONCE_MAX: Final = 2
"""Reads in progress."""
WAITING_MAX: Final = 16
"""Reads that wait for one of them to end, from all clients."""
DEADLINE_S: Final = 6.0
"""For one read, the wait included."""
RETRY_AFTER: Final = {"Retry-After": "1"}


class BoundedReads:
    """Lets AT_ONCE_MAX reads through."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE_MAX)
        self._inside = 0

    async def read(self, code: str, reading: Callable[[], Awaitable[T]]) -> T:
        """Return what `reading` returns. Refusal 429 `overloaded`, and 503 `code` if the store does not answer in time."""
        if self._inside >= AT_ONCE_MAX + WAITING_MAX:
            raise Refusal(429, "overloaded", "too many reads of tables are waiting; retry", headers=RETRY_AFTER)
        self._inside += 1
        try:
            async with asyncio.timeout(DEADLINE_S), self._slots:
                return await reading()
        except TimeoutError:
            raise Refusal(503, code, f"the store did not answer within {DEADLINE_S:g} s", headers=RETRY_AFTER) from None
        except Unavailable as trouble:
            raise Refusal(503, code, str(trouble), headers=RETRY_AFTER) from trouble
        finally:
            self._inside -= 1
