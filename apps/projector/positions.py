"""Projection of positions: each batch of commits is one atomic step in the store; then each changed position is published."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from decimal import Decimal
from typing import Final

import structlog

from adapters import subjects
from apps.http.app import encode
from apps.journal.subscription import Applied
from apps.projector.projection_loop import StartOver
from domain.order.events import OrderEvent
from domain.ports import Positions, Unavailable
from domain.position.position import Position, PositionBook

log = structlog.get_logger()

STORE_POSITIONS_MAX: Final = 1000
"""A batch is split after this many changed positions, at the end of a commit, so that one step stays within the store's timeout."""
CHECK_EVERY_S: Final = 1.0
"""How often the checkpoint is checked while idle: the store may have been flushed or restored."""
YIELD_EVERY: Final = 50
"""Messages published in a row before other tasks run."""

Publish = Callable[[str, bytes], Awaitable[None]]
"""Publishes a payload on a subject. Raises Unavailable while disconnected."""


def message(position: Position, currency: str | None) -> bytes:
    """Encode a message on `positions.<account>`: the five fields of the specification and four more.

    Prices and money are in `currency`. `timestamp`: seconds since the epoch, exact to the microsecond.
    """
    return encode(
        {
            "account": position.account,
            "symbol": position.symbol,
            "quantity": position.quantity,
            "price": position.last_price,
            "timestamp": Decimal(position.updated_at // 1000).scaleb(-6),
            "average_price": position.average_price,
            "realised_pnl": position.realised_pnl,
            "currency": currency,
            "seq": position.seq,
        }
    )


class PositionsProjection:
    """A PositionBook in memory that is ahead of the store only between a change and its step."""

    name = "positions"

    def __init__(self, store: Positions, publish: Publish, currency: Callable[[str], str | None]) -> None:
        """`currency` returns the currency of a symbol; None is published as null."""
        self.seq = 0
        self.newest = 0
        self.stored = 0
        self.published = 0
        self._store = store
        self._publish = publish
        self._currency = currency
        self._book = PositionBook()
        self._published_seq: int | None = None
        self._one_at_a_time = asyncio.Lock()

    def accounts(self) -> set[str]:
        """Return the accounts that ever traded."""
        return {account for account, _ in self._book.positions}

    async def begin(self) -> int:
        """Load the store and return its checkpoint, read before the positions: if another writer intervenes, the next step is refused.

        Positions that were stored although the reply was lost are published now.
        """
        self.seq = await self._store.checkpoint()
        if not self.seq:
            await self._store.clear()  # remains of an interrupted clear
        self._book = PositionBook()
        self._book.positions = {(p.account, p.symbol): p for p in await self._store.load()}
        self.newest = max((p.seq for p in self._book.positions.values()), default=0)
        if self._published_seq is None:
            self._published_seq = self.seq
        await self._publish_newer(self._book.positions.values())
        return self.seq

    async def recognises(self, events: Sequence[OrderEvent]) -> bool:
        moved = [p for p in self._book.positions.values() if p.seq == self.newest]
        return any(event.at == p.updated_at and getattr(event, "account", "") == p.account for p in moved for event in events)

    async def apply(self, commits: Applied[OrderEvent]) -> None:
        changed: dict[tuple[str, str], Position] = {}
        async with self._one_at_a_time:
            for seq, commit in commits:
                for event in commit.events:
                    if (position := self._book.apply(event, seq)) is not None:
                        changed[position.account, position.symbol] = position
                if len(changed) >= STORE_POSITIONS_MAX:
                    await self._step(changed, seq)
                    changed = {}
            if commits[-1][0] > self.seq:
                await self._step(changed, commits[-1][0])

    async def run(self) -> None:
        """Detect a store that went back, and publish what could not be published before. Raises StartOver."""
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            async with self._one_at_a_time:
                found = await self._store.checkpoint()
                if found != self.seq:
                    raise StartOver(f"the store is at {found}, not at {self.seq}: it was flushed or restored, or another writer uses it")
                await self._publish_newer(self._book.positions.values())

    async def _step(self, changed: dict[tuple[str, str], Position], seq: int) -> None:
        try:
            stored = await self._store.store(changed.values(), after=self.seq, seq=seq)
        except Unavailable as trouble:
            raise StartOver(str(trouble)) from trouble
        if not stored:
            raise StartOver(f"the store is not at {self.seq}: it was flushed or restored, or another writer uses it")
        all_published = self._published_seq is not None and self._published_seq >= self.seq
        self.seq = seq
        self.stored += len(changed)
        await self._publish_newer(changed.values() if all_published else self._book.positions.values())

    async def _publish_newer(self, candidates: Iterable[Position]) -> None:
        """Publish positions newer than the last published sequence, so that a rebuild publishes nothing. A failure is retried later."""
        published = self._published_seq or 0
        if published >= self.seq:
            return
        try:
            for position in candidates:
                if position.seq > published:
                    await self._publish(subjects.positions(position.account), message(position, self._currency(position.symbol)))
                    self.published += 1
                    if not self.published % YIELD_EVERY:
                        await asyncio.sleep(0)
        except Unavailable as trouble:
            log.warning("position updates wait", reason=str(trouble))
            return
        self._published_seq = self.seq
