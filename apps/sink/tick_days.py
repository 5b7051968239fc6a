"""Drops old days of ticks from QuestDB, each only after its rows were counted and hashed equal in the archive."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import structlog
from prometheus_client.core import Metric

from apps.runtime import tasks
from apps.runtime.metrics import counter, gauge
from domain.archive.day_proof import KEYS, DayProof, Row
from domain.archive.market_rows import TRADES
from domain.market.close_file import day_text
from domain.ports import Clock, Corrupt

log = structlog.get_logger()

DAY_NS: Final = 86_400 * 10**9
SLICE_NS: Final = 60 * 10**9
"""How much of a day is in memory at a time."""
LOOK_EVERY_S: Final = 600.0
AGAIN_AFTER_LOOKS: Final = 36
"""A day that is not equal is compared again after this number of looks, six hours."""


class StoredDays(Protocol):
    """Port: adapters.questdays.QuestDbTickDays."""

    async def prepare(self, keep_days: int) -> None: ...

    async def days(self, table: str) -> list[int]: ...

    async def received(self, table: str, day: int) -> set[int]: ...

    async def slices(self, table: str, day: int, length: int) -> set[int]: ...

    async def rows(self, table: str, begin: int, end: int) -> list[Row]: ...

    async def drop(self, table: str, day: int) -> bool: ...


class TimeSpan(Protocol):
    """An object of the archive: the first and the last time of the venue in it."""

    @property
    def first(self) -> int: ...

    @property
    def last(self) -> int: ...


class Archive(Protocol):
    """Port: adapters.archived_days.ArchivedDays."""

    async def note_dropped(self, table: str, day: int) -> None: ...

    async def dropped(self, table: str) -> set[int]: ...

    async def held(self, table: str, received: Iterable[int]) -> Sequence[Any]: ...

    async def rows(self, table: str, held: Iterable[Any], begin: int, end: int) -> list[Row]: ...


class TickDays:
    """A day is dropped once all of it is older than `keep_days`. The newest day stays, and a day that is not equal.

    Of trades the days after one that is not equal stay too, because a day of trades is dropped with all before it.
    """

    task = tasks.TICK_DAYS
    every_s = LOOK_EVERY_S
    waiting = "old ticks stay"

    def __init__(
        self, stored: StoredDays, archive: Archive, key_of: Callable[[str, Any], Callable[[Row], Any]], clock: Clock, keep_days: int
    ):
        self._stored = stored
        self._archive = archive
        self._key_of = key_of
        self._clock = clock
        self._keep_days = keep_days
        self._looks = 0
        self._looked: dict[tuple[str, int], int] = {}
        self.trouble = ""
        self.dropped = dict.fromkeys(KEYS, 0)
        self.unequal: dict[tuple[str, int], str] = {}

    async def look(self) -> None:
        """Compare the days that are old enough, the oldest first, and drop those that are equal. Unavailable."""
        await self._stored.prepare(self._keep_days)
        before = self._clock.now_ns() // DAY_NS - self._keep_days
        self._looks += 1
        for table in KEYS:
            days = await self._stored.days(table)
            self.unequal = {at: why for at, why in self.unequal.items() if at[0] != table or at[1] in days}
            old = [day for day in days[:-1] if day < before]
            before_now = await self._archive.dropped(table) if old else set()
            for day in old:
                if not await self._is_gone(table, day, rest=day in before_now) and table == TRADES:
                    break

    async def _is_gone(self, table: str, day: int, *, rest: bool) -> bool:
        """Drop a day if it is equal; return whether it is gone. It is noted first: what comes late for it is only a part of the day."""
        if not await self._is_equal(table, day, rest=rest):
            return False
        await self._archive.note_dropped(table, day)
        if not await self._stored.drop(table, day):
            return False
        self.dropped[table] += 1
        log.info("ticks of a day were dropped", table=table, day=day_text(day))
        return True

    async def _is_equal(self, table: str, day: int, *, rest: bool) -> bool:
        at = table, day
        if at in self.unequal and self._looks - self._looked[at] < AGAIN_AFTER_LOOKS:
            return False
        try:
            trouble = await self._compare(table, day, rest=rest)
        except Corrupt as unreadable:
            trouble = str(unreadable)
        self._looked[at] = self._looks
        if trouble is None:
            self.unequal.pop(at, None)
            return True
        if self.unequal.get(at) != trouble:
            log.warning("ticks of a day stay: the archive does not have the same rows", table=table, day=day_text(day), reason=trouble)
        self.unequal[at] = trouble
        return False

    async def _compare(self, table: str, day: int, *, rest: bool) -> str | None:
        """Return how the day differs from the archive; None if it does not."""
        received = await self._stored.received(table, day)
        held = await self._archive.held(table, received | {day, day + 1})
        proof = DayProof(self._key_of(table, KEYS[table]), rest=rest)
        slices = await self._stored.slices(table, day, SLICE_NS) | _slices(held, day)
        for begin in sorted(slices):
            stored = await self._stored.rows(table, begin, begin + SLICE_NS)
            archived = await self._archive.rows(table, held, begin, begin + SLICE_NS)
            await asyncio.to_thread(proof.add, stored, archived)
        return proof.trouble

    def series(self) -> Iterator[Metric]:
        yield counter("sink_days_dropped", "Days of ticks dropped from QuestDB, by table", self.dropped, "table")
        yield gauge("sink_days_unequal", "Old days of ticks that stay, because the archive does not have the same rows", len(self.unequal))

    def stats(self) -> dict[str, object]:
        unequal = [{"table": table, "day": day_text(day), "reason": reason} for (table, day), reason in sorted(self.unequal.items())]
        return {"tick_days": {"dropped": dict(self.dropped), "unequal": unequal, "waits_for": self.trouble}}


def _slices(held: Iterable[TimeSpan], day: int) -> set[int]:
    """Return the begins of the slices of a day that objects may have rows of."""
    begin, end = day * DAY_NS, (day + 1) * DAY_NS
    spans = ((max(each.first, begin) // SLICE_NS * SLICE_NS, min(each.last + 1, end)) for each in held)
    return {slice_begin for first, until in spans for slice_begin in range(first, until, SLICE_NS)}
