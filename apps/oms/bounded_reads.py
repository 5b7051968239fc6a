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
ROWS_A_SECOND: Final = 15_000
"""Rows of the recorded market, of all readers, who need no key. A row costs some 10 us with its bar: a seventh of the event loop."""
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


class RowPace:
    """Spreads the rows of several readers over time, so that orders have the event loop between them."""

    def __init__(self, rows_a_second: int = ROWS_A_SECOND) -> None:
        self._rows_a_second = rows_a_second
        self._free_at = 0.0

    async def spend(self, rows: int) -> None:
        """Wait for as long as these rows may take, behind those of the other readers."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + rows / self._rows_a_second
        await asyncio.sleep(self._free_at - now)
