"""Rows of ticks as the Parquet objects of the market have them, in the columns of the tables in QuestDB."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import pyarrow

from adapters import tick_parquet
from adapters.objects import Objects
from adapters.questwire import columns
from domain.archive.day_proof import Row
from domain.archive.market_names import ROOT
from domain.archive.market_rows import BOOK_TOP, QUOTES, TRADES, top
from domain.market.close_file import day_text
from domain.market.file_times import DAY_NS, day_of
from domain.market.records import Book, BookKind
from domain.ports import Corrupt
from domain.values import rfc3339

T = TypeVar("T")

KINDS: Final[Mapping[str, str]] = {QUOTES: "quotes", TRADES: "trades", BOOK_TOP: "books"}
"""Table -> the kind of object that has its rows."""

UNREADABLE: Final = (pyarrow.ArrowException, ValueError, KeyError, OSError)
"""What Arrow raises for bytes that are no Parquet, or have other columns."""
DROPPED: Final = "sinks/questdb/dropped"
"""Below it: an empty object for each day that was dropped from a table."""


class HeldObject(NamedTuple):
    """An object, and the venue's first and last time in it."""

    name: str
    first: int
    last: int


class ArchivedDays:
    """Port: apps.sink.tick_days.Archive."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def note_dropped(self, table: str, day: int) -> None:
        """Note that a day was equal and is dropped from the table. Unavailable."""
        await self._objects.put_new(f"{DROPPED}/{table}/{day_text(day)}", b"")

    async def dropped(self, table: str) -> set[int]:
        """Return the days that were noted. Unavailable."""
        return {day_of(name.rpartition("/")[2]) for name in await self._objects.names(f"{DROPPED}/{table}")}

    async def held(self, table: str, received: Iterable[int]) -> list[HeldObject]:
        """Return the objects of these days of receipt. Corrupt if one cannot be read; Unavailable."""
        found: list[HeldObject] = []
        for venue in await self._objects.folders(f"{ROOT}/{KINDS[table]}"):
            for day in sorted(received):
                for name in await self._objects.names(f"{venue}/day={rfc3339(day * DAY_NS)[:10]}"):
                    span = await self._read(name, tick_parquet.span)
                    found += [HeldObject(name, *span)] if span else []
        return found

    async def rows(self, table: str, held: Iterable[HeldObject], begin: int, end: int) -> list[Row]:
        """Return the rows from `begin` until before `end`. Corrupt if an object cannot be read; Unavailable."""
        found: list[Row] = []
        for each in held:
            if each.first < end and each.last >= begin:
                found += await self._read(each.name, partial(_rows, table, begin, end))
        return found

    async def _read(self, name: str, read: Callable[[bytes], T]) -> T:
        data = await self._objects.get(name)
        try:
            return await asyncio.to_thread(read, data)
        except UNREADABLE as error:
            raise Corrupt(f"{name} in the archive cannot be read") from error


def _rows(table: str, begin: int, end: int, data: bytes) -> list[Row]:
    names, found = [name for name, _ in columns(table)], list[Row]()
    for row in tick_parquet.read(data, begin, end):
        if table != BOOK_TOP:
            found.append(tuple(row[name] or None if name == "flags" else row[name] for name in names))
        elif row["kind"] == BookKind.SNAPSHOT:
            for level in top(_book(row)):
                values = {name: getattr(level, name) for name in names} | {"flags": row["flags"] or None}
                found.append(tuple(values[name] for name in names))
    return found


def _book(row: Mapping[str, Any]) -> Book:
    bids, asks = ([(level["price"], level["size"]) for level in row[side]] for side in ("bids", "asks"))
    return Book(
        symbol=row["symbol"], venue=row["venue"], kind=BookKind.SNAPSHOT, bids=bids, asks=asks, seq=row["seq"], at=row["at"],
        received=row["received"],
    )  # fmt: skip
