"""The fills table compared with the journal's trades, in blocks during the pass: each row with its event."""

import asyncio
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from apps.tools.verify.fold import JournalFold, Seen
from apps.tools.verify.orders import said
from apps.tools.verify.report import CheckLine
from domain.ports import Fills, Unavailable
from domain.position.rows import EventRow, fill_row
from domain.values import ZERO, plain, rfc3339

NAME: Final = "fills"
BLOCK_ROWS: Final = 20_000
"""Rows in memory at a time, from each side."""
LOOKS_MAX: Final = 8
LOOK_AGAIN_S: Final = 0.5
"""Pause between two reads: a table may show its last rows a moment after it reported them."""

Row = dict[str, Any]
Key = tuple[str, str]
"""Venue and exec_id, the unique key of a row."""


class FillsTable:
    """The fills table, compared up to the sequence that it had reached at the start. Trades are collected during the pass."""

    def __init__(self, fills: Fills) -> None:
        self._fills = fills
        self._expected: list[Row] = []
        self._until = self._seen = self._compared = 0
        self._rows = 0
        self._sums: dict[tuple[str, str], Decimal] = {}
        self._found = ""
        self._away: Unavailable | None = None

    async def begin(self, end: int) -> None:
        """Find the sequence that the table has reached. If it stays empty, it is compared as of `end`."""
        try:
            for _ in range(LOOKS_MAX):
                self._until = await self._fills.reaches()
                if self._until or not end:
                    break
                await asyncio.sleep(LOOK_AGAIN_S)
        except Unavailable as trouble:
            self._away = trouble
        if self._until > end:
            self._found = f"the table is at sequence {self._until} and the journal ends at {end}: it is of another journal"
        self._until = min(self._until or end, end)

    async def see(self, commits: Seen) -> None:
        """Collect trades of these commits. An error is kept for `compare`: it must not stop the pass."""
        try:
            await self._see(commits)
        except Unavailable as trouble:
            self._away = trouble

    async def _see(self, commits: Seen) -> None:
        for seq, events in commits:
            if seq > self._until or self._found or self._away:
                return
            self._seen = seq
            rows = (fill_row(EventRow(event=event, seq=seq, index=index)) for index, event in enumerate(events))
            self._expected += [msgspec.structs.asdict(row) | {"timestamp": rfc3339(row.timestamp)} for row in rows if row is not None]
            if len(self._expected) >= BLOCK_ROWS:
                await self._compare_block()

    async def compare(self, fold: JournalFold) -> CheckLine:
        """Compare the rest after the pass; return the result. Unavailable."""
        if self._away is not None:
            raise self._away
        if not self._found:
            await self._compare_block()
        if not self._found and (count := await self._fills.count(self._until)) != self._rows:
            self._found = f"the table has {count} rows up to sequence {self._until}, the journal {self._rows} trades and busts"
        behind = await fold.end() - self._until
        counts: dict[str, int | str] = {"rows": self._rows, "as_of": self._until, "behind": behind, "notional": self._notional()}
        return CheckLine(NAME, "different", counts, self._found) if self._found else CheckLine(NAME, "ok", counts)

    def _notional(self) -> str:
        return plain(sum(self._sums.values(), ZERO))

    async def _compare_block(self) -> None:
        """Compare the collected trades with their rows. Missing rows are read again; other differences are final."""
        expected, after, self._expected, self._compared = self._expected, self._compared, [], self._seen
        for _ in range(LOOKS_MAX):
            rows = await self._fills.rows(after, self._seen)
            if len(rows) >= len(expected):
                break
            await asyncio.sleep(LOOK_AGAIN_S)
        self._found = first_difference(expected, rows)
        self._rows += len(expected)
        for row in expected:
            key = (row["account"], row["symbol"])
            self._sums[key] = self._sums.get(key, ZERO) + row["quantity"] * row["price"]


def first_difference(expected: Sequence[Row], rows: Iterable[Row]) -> str:
    """Return the first difference in journal order; empty if each trade has exactly one row and no other row exists."""
    found: dict[Key, Row] = {}
    for row in rows:
        if found.setdefault(_key(row), row) is not row:
            return f"{_named(row)} is in the table twice"
    for trade in expected:
        if (key := _key(trade)) not in found:
            return f"{_named(trade)} is in the journal and not in the table"
        row = found.pop(key)
        for column, value in trade.items():
            if row.get(column) != value:
                return f"{_named(trade)} {column}: {said(value)} by the journal, {said(row.get(column))} in the table"
    return f"{_named(min(found.values(), key=lambda row: row['seq']))} is in the table and not in the journal" if found else ""


def _key(row: Row) -> Key:
    return row["venue"], row["exec_id"]


def _named(row: Row) -> str:
    return f"fill {row['exec_id']} of {row['venue']} at sequence {row['seq']}"
