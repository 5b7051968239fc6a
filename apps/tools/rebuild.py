"""Positions from the journal alone, held against the positions that readers see. No printing here."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Final, Protocol

import msgspec

from adapters.codec import ORDER_COMMITS
from adapters.valkey import ValkeyPositions
from domain.ports import Head, Journal, Positions, Unavailable
from domain.position.comparison import PositionDifference, differences, extra
from domain.position.position import Position, PositionBook

PROJECTOR_LOOKS_S: Final = 2.5
"""A running projector looks at the checkpoint every second."""
VALKEY_TIMEOUT_MS: Final = 5_000.0
SETTLE_MAX_S: Final = 60.0
POLL_S: Final = 0.05


@contextlib.asynccontextmanager
async def stored_positions(valkey_url: str) -> AsyncIterator[Positions]:
    """The positions that readers see."""
    store = ValkeyPositions.at(valkey_url, timeout_ms=VALKEY_TIMEOUT_MS)
    try:
        yield store
    finally:
        await store.close()


class Rebuilt:
    """The fold of all commits up to `head`, and how many they were."""

    def __init__(self, journal: Journal, progress: Callable[[int], None] = lambda _: None) -> None:
        self.book = PositionBook()
        self.accounts: dict[str, dict[str, Position]] = {}
        self.head = Head()
        self.events = 0
        self._journal = journal
        self._progress = progress

    def begin(self, head: Head, book: PositionBook) -> None:
        """From a saved fold instead of the journal's beginning."""
        self.head, self.book = head, book
        for position in book.positions.values():
            self.accounts.setdefault(position.account, {})[position.symbol] = position

    async def advance(self, until: int) -> None:
        """Fold on, up to and including sequence `until`, which must be in the journal. Corrupt, Unavailable."""
        if until <= self.head.seq:
            return
        async with aclosing(self._journal.follow(self.head, until=until)) as batches:
            async for batch in batches:
                for recorded in batch:
                    events = ORDER_COMMITS.read(recorded).events
                    for event in events:
                        if position := self.book.apply(event, recorded.head.seq):
                            self.accounts.setdefault(position.account, {})[position.symbol] = position
                    self.events += len(events)
                self.head = batch[-1].head
                self._progress(self.head.seq)


class Replay(Protocol):
    """What positions are compared with: a fold that can be led on."""

    head: Head
    accounts: dict[str, dict[str, Position]]

    async def advance(self, until: int) -> None: ...


class PositionsComparison(msgspec.Struct):
    """What differs, as of which sequence, and which flat positions are not stored any more (they may expire)."""

    differences: list[PositionDifference]
    expired: int
    seq: int


async def compare(rebuilt: Replay, positions: Positions, only: str | None = None) -> PositionsComparison:
    """Each account at the sequence that its stored positions stand for: a running projector moves them on while we read."""
    found = PositionsComparison([], 0, rebuilt.head.seq)
    empty = await positions.checkpoint() == 0
    done: set[str] = set()
    while waiting := sorted({account for account in rebuilt.accounts if only in (None, account)} - done):
        for account in waiting:
            await _compare_account(account, rebuilt, positions, found, empty)
            done.add(account)
    if only is not None and only not in done:
        await _compare_account(only, rebuilt, positions, found, empty)
    if only is None and not (empty or found.differences or found.expired):
        # Only while all is well: a store that misses a position forgets all of them when it is loaded, and we are here to look.
        found.differences += [extra(p) for p in await positions.load() if p.account not in done]
    return found


async def _compare_account(account: str, rebuilt: Replay, positions: Positions, found: PositionsComparison, empty: bool) -> None:
    stored, seq = await positions.of(account)
    if not empty:
        if seq < rebuilt.head.seq:
            raise Unavailable("the stored positions went back in time: a projector is building them anew")
        await rebuilt.advance(seq)
        found.seq = seq
    ours, theirs = rebuilt.accounts.get(account, {}), {position.symbol: position for position in stored}
    for symbol in sorted(ours.keys() | theirs.keys()):
        if not empty and symbol not in theirs and not ours[symbol].quantity:
            found.expired += 1
        else:
            found.differences += differences(ours.get(symbol), theirs.get(symbol))


async def repair(rebuilt: Rebuilt, journal: Journal, positions: Positions) -> None:
    """Store every position anew. `rebuilt` is empty, and stands at the journal's end afterwards. Unavailable when it cannot be finished.

    The last commit comes a moment later than the rest: a running projector, whose memory may be as wrong as what it stored, so sees
    that the checkpoint is not where it left it, reads the positions anew, and adds the last commit itself.
    """
    end = (await journal.head()).seq
    await rebuilt.advance(end - 1)
    await positions.clear()
    await positions.store(rebuilt.book.positions.values(), after=0, seq=end - 1)  # when refused, a projector is rebuilding all of it
    if not await _reaches(positions, end, PROJECTOR_LOOKS_S):
        await rebuilt.advance(end)
        changed = [position for position in rebuilt.book.positions.values() if position.seq == end]
        await positions.store(changed, after=end - 1, seq=end)
    await rebuilt.advance(end)
    if not await _reaches(positions, end, SETTLE_MAX_S):
        raise Unavailable(f"the positions did not come to sequence {end} within {SETTLE_MAX_S:g} s")


async def _reaches(positions: Positions, seq: int, within_s: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while await positions.checkpoint() < seq:
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True
