"""Recording of controls: durable, and read back into effect here, before the response is sent."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from adapters.codec import CommitCodec
from apps.journal.subscription import JournalSubscription
from apps.journal.watermark import Mark
from domain.ports import Fenced, Head, Journal, Unavailable

E = TypeVar("E", bound="Stamped")

ATTEMPTS_MAX: Final = 3
READ_BACK_S: Final = 2.0


class Stamped(Protocol):
    """An event with its time, in nanoseconds UTC."""

    @property
    def at(self) -> int: ...


class ControlFold(Protocol[E]):
    """The fold of the events: the version of the last one, and the newest events."""

    version: int
    history: deque[E]


def _with_time(event: Any, at: int) -> Any:
    return msgspec.structs.replace(event, at=at)


class ControlLog(Generic[E]):
    """The only writer of a journal of controls in this process.

    If another process also writes, its events are read first, never overwritten.
    """

    def __init__(
        self,
        journal: Journal,
        codec: CommitCodec[E],
        follower: JournalSubscription[Any],
        controls: ControlFold[E],
        mark: Mark | None = None,
    ) -> None:
        """`mark` is raised before the response is sent, so that a later loss of the event is detected."""
        self._journal = journal
        self._codec = codec
        self._follower = follower
        self._controls = controls
        self._mark = mark
        self._turn = asyncio.Lock()

    async def record(self, make: Callable[[int], E]) -> Head:
        """Record the event that `make` builds for a version; it is durable and in effect here on return.

        Exceptions of `make` reach the caller. Raises Unavailable.
        """
        async with self._turn:
            for _ in range(ATTEMPTS_MAX):
                before = self._follower.head
                payload = self._codec.encode(0, before.n + 1, (self._stamped(make(self._controls.version + 1)),))
                try:
                    stored = await self._journal.append(payload, before)
                except Fenced:
                    await self._refuse_foreign(before)
                    await self._read_to((await self._journal.head()).seq)
                    continue
                if self._mark is not None:
                    await self._mark.raise_now(stored)
                await self._read_to(stored.seq, unknown=True)
                return stored
        raise Unavailable("other writers keep changing the controls")

    async def _refuse_foreign(self, head: Head) -> None:
        if found := await self._journal.foreign(head):
            raise Unavailable(f"sequence {found[0].seq} of the control journal is no commit; see: trade journal show")

    def _stamped(self, event: E) -> E:
        """Keep timestamps monotonic: the wall clock may have been set back since the last control."""
        latest = self._controls.history[-1].at if self._controls.history else 0
        later: E = event if event.at >= latest else _with_time(event, latest)
        return later

    async def _read_to(self, seq: int, *, unknown: bool = False) -> None:
        try:
            await asyncio.wait_for(self._follower.wait_for(seq), READ_BACK_S)
        except TimeoutError as error:
            raise Unavailable("the controls were not read back in time", unknown=unknown) from error
