"""Fakes that keep the ports' promises in memory; they pass the same contract suites as the real machines."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence

import msgspec

from adapters.chain import GENESIS, following, verified
from domain.ports import EventRow, Fenced, Head, Recorded, Unavailable
from domain.position import Position
from domain.projections import FillRow, OrderEventRow, Owners, table_rows
from domain.values import IDENTIFIER, SYMBOL, rfc3339


class MemoryLog:
    """What several MemoryJournals share: the stored commits of one shard, and switches for the trouble a test wants."""

    def __init__(self) -> None:
        self.commits: list[tuple[Head, bytes]] = []
        self.arrived = asyncio.Event()
        self.down = False
        self.acks_to_lose = 0

    def store(self, head: Head, payload: bytes) -> None:
        self.commits.append((head, payload))
        self.arrived.set()
        self.arrived = asyncio.Event()


class MemoryJournal:
    """The journal's promises without a server. Two of them on one MemoryLog contend like two writers. Port: Journal."""

    def __init__(self, shared: MemoryLog | None = None) -> None:
        self.log = shared or MemoryLog()

    async def head(self) -> Head:
        self._check_up()
        return self.log.commits[-1][0] if self.log.commits else GENESIS

    async def read(self, seq: int) -> Recorded | None:
        self._check_up()
        if not 1 <= seq <= len(self.log.commits):
            return None
        return Recorded(*self.log.commits[seq - 1])

    async def append(self, payload: bytes, after: Head) -> Head:
        self._check_up()
        last = await self.head()
        if last.seq != after.seq:
            raise Fenced(f"sequence {last.seq} was written by another writer")
        head = Head(last.seq + 1, last.n + 1, following(last, payload))
        self.log.store(head, payload)
        await asyncio.sleep(0)
        if self.log.acks_to_lose:
            self.log.acks_to_lose -= 1
            raise Unavailable("the ack was lost", unknown=True)
        return head

    async def follow(self, after: Head, *, until: int | None = None) -> AsyncGenerator[Sequence[Recorded]]:
        head = after
        while until is None or head.seq < until:
            self._check_up()
            arrived = self.log.arrived
            batch = []
            for stored, payload in self.log.commits[head.seq : until]:
                head = verified(head, stored.seq, stored.n, stored.chain, payload)
                batch.append(Recorded(head, payload))
            if batch:
                yield batch
            else:
                await arrived.wait()

    def _check_up(self) -> None:
        if self.log.down:
            raise Unavailable("the log is down")


class MemoryPositions:
    """Port: Positions."""

    def __init__(self) -> None:
        self.positions: dict[tuple[str, str], Position] = {}
        self.seq = 0
        self.down = False

    async def checkpoint(self) -> int:
        self._check_up()
        return self.seq

    async def load(self) -> list[Position]:
        self._check_up()
        return [msgspec.structs.replace(position) for position in self.positions.values()]

    async def of(self, account: str) -> tuple[list[Position], int]:
        self._check_up()
        if not IDENTIFIER.fullmatch(account):
            raise ValueError(f"not an account: {account[:80]!r}")
        return [p for p in await self.load() if p.account == account], self.seq

    async def store(self, changed: Iterable[Position], *, after: int, seq: int) -> bool:
        self._check_up()
        positions = [msgspec.structs.replace(position) for position in changed]
        if not all(IDENTIFIER.fullmatch(p.account) and SYMBOL.fullmatch(p.symbol) for p in positions):
            raise ValueError("not an account and a symbol")
        if self.seq != after:
            return False
        self.positions |= {(p.account, p.symbol): p for p in positions}
        self.seq = seq
        return True

    async def clear(self) -> None:
        self._check_up()
        self.positions, self.seq = {}, 0

    def _check_up(self) -> None:
        if self.down:
            raise Unavailable("positions are down")


class MemoryFills:
    """Port: Fills."""

    def __init__(self) -> None:
        self.fill_rows: dict[tuple[int, str, str], FillRow] = {}
        self.event_rows: dict[tuple[int, int], OrderEventRow] = {}
        self.down = False
        self._owners = Owners()

    async def prepare(self) -> None:
        self._check_up()

    async def checkpoint(self) -> int:
        self._check_up()
        return max((seq for seq, _ in self.event_rows), default=0)

    async def write(self, rows: Sequence[EventRow]) -> None:
        self._check_up()
        missing = set(self._owners.missing(rows))
        for event in self.event_rows.values():
            if event.order_id in missing and event.account is not None and event.symbol is not None:
                self._owners.learn(event.order_id, (event.account, event.symbol))
        fills, events = table_rows(rows, self._owners)
        self.fill_rows |= {(row.timestamp // 1000, row.exec_id, row.venue): row for row in fills}
        self.event_rows |= {(row.seq, row.index): row for row in events}
        self._owners.stored(rows)

    async def fills(self, account: str, *, symbol: str | None, since_ns: int, limit: int) -> list[dict[str, object]]:
        self._check_up()
        wanted = [
            (key[0], row.seq, row.exec_id, row)
            for key, row in self.fill_rows.items()
            if row.account == account and symbol in (None, row.symbol) and key[0] >= since_ns // 1000
        ]
        newest = [row for *_, row in sorted(wanted, key=lambda w: w[:3], reverse=True)][:limit]
        return [msgspec.structs.asdict(row) | {"timestamp": rfc3339(row.timestamp)} for row in newest]

    def _check_up(self) -> None:
        if self.down:
            raise Unavailable("fills are down")
