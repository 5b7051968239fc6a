"""Positions rebuilt from the journal alone, compared with the stored positions that readers see. Nothing is printed here."""

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
from domain.shards import ONE_SHARD, Shards

PROJECTOR_LOOKS_S: Final = 2.5
"""How long to wait for a running projector, which reads the checkpoint every second."""
VALKEY_TIMEOUT_MS: Final = 5_000.0
SETTLE_MAX_S: Final = 60.0
POLL_S: Final = 0.05


@contextlib.asynccontextmanager
async def stored_positions(valkey_url: str, shards: Shards = ONE_SHARD, shard: int = 0) -> AsyncIterator[Positions]:
    """Open the stored positions of a shard that readers see."""
    store = ValkeyPositions.at(valkey_url, timeout_ms=VALKEY_TIMEOUT_MS, shards=shards, shard=shard)
    try:
        yield store
    finally:
        await store.close()


class Rebuilt:
    """The fold of all commits up to `head`, and the number of events."""

    def __init__(self, journal: Journal, progress: Callable[[int], None] = lambda _: None) -> None:
        self.book = PositionBook()
        self.accounts: dict[str, dict[str, Position]] = {}
        self.head = Head()
        self.events = 0
        self._journal = journal
        self._progress = progress

    def begin(self, head: Head, book: PositionBook) -> None:
        """Start from a saved fold instead of the journal's beginning."""
        self.head, self.book = head, book
        for position in book.positions.values():
            self.accounts.setdefault(position.account, {})[position.symbol] = position

    async def advance(self, until: int) -> None:
        """Fold up to and including sequence `until`, which must be in the journal. Corrupt, Unavailable."""
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
    """The fold that positions are compared with; it can be advanced."""

    head: Head
    accounts: dict[str, dict[str, Position]]

    async def advance(self, until: int) -> None: ...


class PositionsComparison(msgspec.Struct):
    """The differences, their sequence, and the number of flat positions that are no longer stored (they may expire)."""

    differences: list[PositionDifference]
    expired: int
    seq: int


async def compare(rebuilt: Replay, positions: Positions, only: str | None = None) -> PositionsComparison:
    """Compare each account as of the sequence of its stored positions: a running projector advances them during the comparison."""
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
        # Only without differences: loading a store that misses a position clears it, and a comparison must not change the store.
        found.differences += [extra(p) for p in await positions.load() if p.account not in done]
    return found


async def _compare_account(account: str, rebuilt: Replay, positions: Positions, found: PositionsComparison, empty: bool) -> None:
    stored, seq = await positions.of(account)
    if not empty:
        if seq < rebuilt.head.seq:
            raise Unavailable("the stored positions went back: a projector is rebuilding them")
        await rebuilt.advance(seq)
        found.seq = seq
    ours, theirs = rebuilt.accounts.get(account, {}), {position.symbol: position for position in stored}
    for symbol in sorted(ours.keys() | theirs.keys()):
        if not empty and symbol not in theirs and not ours[symbol].quantity:
            found.expired += 1
        else:
            found.differences += differences(ours.get(symbol), theirs.get(symbol))


async def repair(rebuilt: Rebuilt, journal: Journal, positions: Positions) -> None:
    """Store all positions again. `rebuilt` is empty before and at the journal's end afterwards. Unavailable if it cannot be finished.

    The last commit is stored a moment later than the rest. A running projector, whose memory may be as wrong as the store, then finds
    that the checkpoint has moved, reads the positions again, and adds the last commit itself.
    """
    end = (await journal.head()).seq
    await rebuilt.advance(end - 1)
    await positions.clear()
    await positions.store(rebuilt.book.positions.values(), after=0, seq=end - 1)  # if this is refused, a projector is rebuilding everything
    if not await _reaches(positions, end, PROJECTOR_LOOKS_S):
        await rebuilt.advance(end)
        changed = [position for position in rebuilt.book.positions.values() if position.seq == end]
        await positions.store(changed, after=end - 1, seq=end)
    await rebuilt.advance(end)
    if not await _reaches(positions, end, SETTLE_MAX_S):
        raise Unavailable(f"the positions did not reach sequence {end} within {SETTLE_MAX_S:g} s")


async def _reaches(positions: Positions, seq: int, within_s: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while await positions.checkpoint() < seq:
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True
