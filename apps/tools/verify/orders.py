"""The order store of oms, compared row by row with the fold of the journal."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from apps.http.app import encode
from apps.tools.verify.fold import JournalFold
from apps.tools.verify.report import CheckLine
from domain.audit.state_hash import ListHash, order_state
from domain.order.order import Order
from domain.ports import Corrupt, Head, StoredPicture, Unavailable
from domain.values import ZERO, plain

NAME: Final = "order store"
LOOK_AGAIN_S: Final = 0.5
LOOKS_MAX: Final = 60
SAID_MAX: Final = 200
"""Maximum characters of a value in a difference."""
Pair = tuple[str, Order | None, Order | None, bool]
"""order_id, the order by the journal, the stored order, and whether a row exists."""


class StoredOrdersView:
    """The order store, compared as of its checkpoint. A newer row is compared as of its own last commit.

    Positions advance while they are compared, and the pass with them, so the store may have to catch up with the pass first.
    """

    def __init__(self, picture: Callable[[], AbstractContextManager[StoredPicture | None]]) -> None:
        self._picture = picture
        self._rows = self._as_of = self._stood = 0
        self._ahead: list[Order] = []
        self._state = ListHash()

    async def stands(self) -> int | None:
        try:
            with self._picture() as picture:
                self._stood = picture.checkpoint if picture else 0
                return self._stood or None
        except Corrupt:
            return None

    async def compare(self, fold: JournalFold) -> CheckLine:
        try:
            await self._come_to(fold)
            with self._picture() as picture:
                found = await self._different(fold, picture)
        except Corrupt as damage:
            found = str(damage)
        counts: dict[str, int | str] = {"orders": self._rows, "as_of": self._as_of}
        if found:
            return CheckLine(NAME, "different", counts, found)
        return CheckLine(NAME, "ok", counts | {"state": self._state.name()})

    async def _come_to(self, fold: JournalFold) -> None:
        """Wait for a store behind the pass, as long as oms may take to save. A store that went back is not waited for."""
        for _ in range(LOOKS_MAX):
            before = self._stood
            stands = await self.stands()
            if stands is None or stands >= fold.head.seq or stands < before:
                return
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _different(self, fold: JournalFold, picture: StoredPicture | None) -> str:
        """Return the first difference; empty if none."""
        if picture is None:
            return f"it is empty, and the journal has {len(fold.lines)} orders" if len(fold.lines) else ""
        if found := await _of_another_journal(fold, picture):
            return found
        if fold.head.seq > picture.checkpoint:
            raise Unavailable(
                f"the order store is at sequence {picture.checkpoint}, behind what was compared before: oms is saving or rebuilding it"
            )
        await fold.advance(picture.checkpoint)
        self._as_of = picture.checkpoint
        if picture.head.seq == picture.checkpoint and (found := _held_otherwise(fold, picture)):
            return found  # during a save, holdings are as of a later commit than the rows: the next verification compares them
        for pair in _merged(fold, picture):
            self._rows += 1
            if found := self._pair(fold.head, *pair):
                return found
        return await self._newer_rows(fold)

    def _pair(self, head: Head, order_id: str, made: Order | None, stored: Order | None, is_there: bool) -> str:
        if made is not None:
            self._state.add(order_state(made))
        if not is_there:
            return f"order {order_id} is in the journal and not in the store"
        if stored is None:
            return f"the row of order {order_id} does not verify"
        if stored.seqs and stored.seqs[-1] > head.seq:
            self._ahead.append(stored)
            return ""
        return f"order {order_id} is in the store and not in the journal" if made is None else difference(made, stored)

    async def _newer_rows(self, fold: JournalFold) -> str:
        """Compare rows that were saved before a change of another order was on disk."""
        for stored in sorted(self._ahead, key=lambda order: order.seqs[-1]):
            if stored.seqs[-1] > await fold.end():
                return f"order {stored.order_id} is stored as of sequence {stored.seqs[-1]}, but the journal ends at {await fold.end()}"
            await fold.advance(stored.seqs[-1])
            line = fold.lines.get(stored.order_id)
            if line is None:
                return f"order {stored.order_id} is in the store and not in the journal"
            if found := difference(line.order, stored):
                return found
        return ""


def _held_otherwise(fold: JournalFold, picture: StoredPicture) -> str:
    """Return the first account and symbol for which the store has another quantity than the journal; empty if none."""
    made = {key: position.quantity for key, position in fold.audit.book.positions.items()}
    for account, symbol in sorted(made.keys() | picture.held.keys()):
        ours, theirs = made.get((account, symbol), ZERO), picture.held.get((account, symbol), ZERO)
        if ours != theirs:
            return f"{account} holds {plain(ours)} {symbol} by the journal, {plain(theirs)} in the store"
    return ""


def difference(made: Order, found: Order) -> str:
    """Return the first field in which an order differs from the journal's; empty if none."""
    for field in Order.__struct_fields__:
        ours, theirs = getattr(made, field), getattr(found, field)
        if field != "commit" and ours != theirs:
            return f"order {made.order_id} {field}: {said(ours)} by the journal, {said(theirs)} in the store"
    return ""


def said(value: object) -> str:
    text = encode(value).decode()
    return text if len(text) <= SAID_MAX else f"{text[:SAID_MAX]}…"


async def _of_another_journal(fold: JournalFold, picture: StoredPicture) -> str:
    if not picture.head.seq:
        return ""
    recorded = await fold.journal.read(picture.head.seq)
    if recorded is not None and recorded.head == picture.head:
        return ""
    return f"it was made from another journal: sequence {picture.head.seq} is not the commit that it has applied"


def _merged(fold: JournalFold, picture: StoredPicture) -> Iterator[Pair]:
    """Yield both sides merged by order_id, each order once."""
    made, stored = iter(fold.lines.items_in_order()), iter(picture.rows)
    ours, theirs = next(made, None), next(stored, None)
    while ours is not None or theirs is not None:
        if theirs is None or (ours is not None and ours[0] < theirs[0]):
            assert ours is not None
            yield ours[0], ours[1].order, None, False
            ours = next(made, None)
        elif ours is None or theirs[0] < ours[0]:
            yield theirs[0], None, theirs[1], True
            theirs = next(stored, None)
        else:
            yield ours[0], ours[1].order, theirs[1], True
            ours, theirs = next(made, None), next(stored, None)
