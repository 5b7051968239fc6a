"""Records of the market as Parquet objects whose names are ranges: the place of ticks in S3, or in a directory.

An object is created once and never changed. The name says which messages it holds, so the names are the checkpoint. `checkpoint.json`
repeats it with the position in the stream: it is written behind the objects, and the names correct it.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from adapters import tick_parquet
from adapters.codec import decoder, encode
from adapters.object_writer import ObjectWriter
from adapters.objects import Objects
from domain.archive.checkpoint import EPOCHS_KEPT, Checkpoint
from domain.archive.market_names import ROOT, MarketRange, folder, range_of_name
from domain.archive.market_rows import EVERY_VENUE
from domain.archive.misfit import misfit
from domain.archive.ports import ArchiveRow, RowsRefused
from domain.market.file_times import DAY_NS
from domain.ports import Missing
from domain.values import rfc3339

KINDS: Final = ("quotes", "trades", "books", "facts")
DAYS_LISTED: Final = 2
"""The newest days of a venue are listed at a start: the end of each of its epochs that still runs is in one of them."""

_CHECKPOINTS: Final = decoder(Checkpoint)


class MarketObjects:
    """Port: domain.archive.ports.Place. `sink` names the checkpoint and the writer: each source that is written here has its own.

    The day of an object is that of its first record's receipt (of a fact, its own time). A message is never cut. A message without a
    number (a loss, or a fact of no frame) is an object of its own, named by what it says.
    """

    def __init__(self, objects: Objects, sink: str, fails: Callable[[str], None]) -> None:
        self._objects = objects
        self._sink = sink
        self._fails = fails
        self._writer = ObjectWriter(objects, f"{self._folder}/writers", f"the place of {sink} in {objects.url}")

    async def claim(self) -> Checkpoint:
        await self._writer.claim()
        return await self.checkpoint()

    async def write(self, rows: Sequence[ArchiveRow], checkpoint: Checkpoint) -> None:
        if refused := [(row, why) for row in rows if (why := misfit(row.value))]:
            raise RowsRefused(refused)
        for made in objects_of(rows):
            data = await asyncio.to_thread(tick_parquet.written, made.rows[0].table, made.rows)
            await self._writer.check()
            await self._objects.put_new(made.name, data)
        self._fails("after_rows")
        await self._writer.check()
        await self._objects.put(self._checkpoint_name, encode(checkpoint))

    async def checkpoint(self) -> Checkpoint:
        """Return what the names say, and the position in the stream as it was last noted."""
        try:
            noted = _CHECKPOINTS.decode(await self._objects.get(self._checkpoint_name))
        except Missing:
            noted = Checkpoint()
        points = {part: dict(epochs) for part, epochs in noted.points.items()}
        for each in await self._ranges():
            epochs = points.setdefault(each.part, {})
            epochs[each.epoch] = max(each.last, epochs.get(each.epoch, 0))
        return Checkpoint({part: _newest(epochs) for part, epochs in points.items()}, noted.hint)

    async def ping(self) -> None:
        await self._objects.names(self._folder)

    async def close(self) -> None:
        """Leave everything in the store."""

    async def _ranges(self) -> Iterable[MarketRange]:
        found: list[MarketRange] = []
        for kind in KINDS:
            for venue in await self._objects.folders(f"{ROOT}/{kind}"):
                for day in sorted(await self._objects.folders(venue))[-DAYS_LISTED:]:
                    found += filter(None, map(range_of_name, await self._objects.names(day)))
        return found

    @property
    def _folder(self) -> str:
        return f"sinks/{self._sink}"

    @property
    def _checkpoint_name(self) -> str:
        return f"{self._folder}/checkpoint.json"


class MadeObject(NamedTuple):
    name: str
    rows: Sequence[ArchiveRow]


def objects_of(rows: Sequence[ArchiveRow]) -> Iterator[MadeObject]:
    """Cut rows into objects: of one part and epoch, of one day, in the order of the log."""
    parts: dict[tuple[str, int], list[ArchiveRow]] = {}
    for row in rows:
        parts.setdefault((row.part, row.epoch), []).append(row)
    for (part, epoch), its in parts.items():
        kind, _, venue = part.partition(".")
        if kind not in KINDS or not its[0].n:
            for row in its:
                yield MadeObject(_own_name(row), [row])
            continue
        days = _days(its)
        for day, same in groupby(its, key=lambda row: days[row.n]):
            held = list(same)
            yield MadeObject(MarketRange(kind, venue, _day(day), epoch, held[0].n, held[-1].n).name, held)


def _days(rows: Iterable[ArchiveRow]) -> Mapping[int, int]:
    """Return the day of each message, by its number."""
    days: dict[int, int] = {}
    for row in rows:
        days.setdefault(row.n, (getattr(row.value, "received", 0) or row.value.at) // DAY_NS)
    return days


def _own_name(row: ArchiveRow) -> str:
    venue = "all" if row.value.venue == EVERY_VENUE else row.value.venue
    digest = hashlib.blake2b(encode([row.origin, row.value]), digest_size=12).hexdigest()
    return f"{folder('facts', venue, _day(row.value.at // DAY_NS))}/at={row.value.at}-{digest}.parquet"


def _day(number: int) -> str:
    return rfc3339(number * DAY_NS)[:10]


def _newest(epochs: Mapping[int, int]) -> Mapping[int, int]:
    return {epoch: epochs[epoch] for epoch in sorted(epochs)[-EPOCHS_KEPT:]}
