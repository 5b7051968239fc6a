"""In-memory fakes of the ports; they pass the same contract suites as the real adapters."""

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import msgspec

from adapters.chain import GENESIS, ChainReading, following
from adapters.codec import decoder
from domain.execution.owner import NO_OWNER, Owner
from domain.order.algo import AlgoFilter, Parent
from domain.order.events import Foreign
from domain.order.holdings import Key
from domain.order.index import OrderFilter, names_of
from domain.order.order import Order
from domain.ports import FOREIGN_MAX, Acceptance, Fenced, FillPlace, Head, JournalEntry, StoredOrders, StoredPicture, Unavailable
from domain.position.position import Position
from domain.position.rows import EventRow, FillRow, OrderEventRow, Owners, fill_row, table_rows
from domain.values import IDENTIFIER, SYMBOL, rfc3339

_ORDER = decoder(Order)
_PARENT = decoder(Parent)
NO_COMMIT: Final = -1
"""The number of a message that is not a commit."""


class MemoryLog:
    """The stored commits of one shard, shared by several MemoryJournals, with switches for failures in tests."""

    def __init__(self) -> None:
        self.commits: list[tuple[Head, bytes]] = []
        self.arrived = asyncio.Event()
        self.down = False
        self.acks_to_lose = 0

    def store(self, head: Head, payload: bytes) -> None:
        self.commits.append((head, payload))
        self.arrived.set()
        self.arrived = asyncio.Event()

    def put_foreign(self, payload: bytes) -> None:
        """Store a message that is not from a writer: it has a sequence, and neither number nor chain value."""
        self.store(Head(len(self.commits) + 1, NO_COMMIT), payload)

    @property
    def last(self) -> int:
        """The sequence of the last message."""
        return self.commits[-1][0].seq if self.commits else 0


class MemoryJournal:
    """A journal without a server. Port: Journal. Two of them on one MemoryLog contend like two writers."""

    def __init__(self, shared: MemoryLog | None = None) -> None:
        self.log = shared or MemoryLog()
        self._passed: dict[int, Foreign] = {}

    @property
    def passed(self) -> Sequence[Foreign]:
        return [self._passed[seq] for seq in sorted(self._passed)][:FOREIGN_MAX]

    async def head(self) -> Head:
        self._check_up()
        return next((head for head, _ in reversed(self.log.commits) if head.n != NO_COMMIT), GENESIS)

    async def foreign(self, after: Head) -> Sequence[Foreign]:
        self._check_up()
        found: list[Foreign] = []
        for head, payload in self.log.commits[after.seq :]:
            if head.n != NO_COMMIT or len(found) == FOREIGN_MAX:
                break
            found.append(Foreign(head.seq, hashlib.sha256(payload).hexdigest()))
        return found

    async def read(self, seq: int) -> JournalEntry | None:
        self._check_up()
        if not 1 <= seq <= len(self.log.commits) or self.log.commits[seq - 1][0].n == NO_COMMIT:
            return None
        return JournalEntry(*self.log.commits[seq - 1])

    async def append(self, payload: bytes, after: Head) -> Head:
        self._check_up()
        if self.log.last != after.seq:
            raise Fenced(f"sequence {self.log.last} was written by another writer")
        head = Head(after.seq + 1, after.n + 1, following(after, payload))
        self.log.store(head, payload)
        await asyncio.sleep(0)
        if self.log.acks_to_lose:
            self.log.acks_to_lose -= 1
            raise Unavailable("the ack was lost", unknown=True)
        return head

    async def follow(self, after: Head, *, until: int | None = None) -> AsyncGenerator[Sequence[JournalEntry]]:
        reading = ChainReading(after)
        while until is None or reading.at < until:
            self._check_up()
            arrived = self.log.arrived
            batch = []
            for stored, payload in self.log.commits[reading.at : until]:
                found = reading.take(stored.seq, "" if stored.n == NO_COMMIT else f"{stored.n}-memory", stored.chain, payload)
                if isinstance(found, Foreign):
                    self._passed[found.seq] = found
                else:
                    batch.append(found)
            if batch:
                yield batch
            elif until is None or reading.at < until:
                await arrived.wait()

    def _check_up(self) -> None:
        if self.log.down:
            raise Unavailable("the log is down")


class MemoryPositions:
    """Positions in memory. Port: Positions."""

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
    """Fills in memory. Port: Fills."""

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

    async def holds(self, row: EventRow) -> tuple[bool, bool]:
        self._check_up()
        event, fill = self.event_rows.get((row.seq, row.index)), fill_row(row)
        there = event is not None and (event.timestamp // 1000, event.order_id) == (row.event.at // 1000, row.event.order_id)
        return there, fill is None or (fill.timestamp // 1000, fill.exec_id, fill.venue) in self.fill_rows

    async def clear(self) -> None:
        self._check_up()
        self.fill_rows, self.event_rows = {}, {}

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

    async def fills(
        self, account: str, *, symbol: str | None, since_ns: int, limit: int, until_ns: int | None = None, below: FillPlace | None = None
    ) -> list[dict[str, object]]:
        self._check_up()
        wanted = [
            (FillPlace(at_us * 1000, row.seq, row.exec_id, row.venue), row)
            for (at_us, *_), row in self.fill_rows.items()
            if row.account == account and symbol in (None, row.symbol)
            if at_us >= since_ns // 1000 and (until_ns is None or at_us < until_ns // 1000)
        ]
        older = [each for each in wanted if below is None or each[0] < below]
        newest = [row for _, row in sorted(older, key=lambda each: each[0], reverse=True)][:limit]
        return [_fill_answer(row) for row in newest]

    async def reaches(self) -> int:
        return await self.checkpoint()

    async def rows(self, after: int, until: int) -> list[dict[str, object]]:
        self._check_up()
        return [_fill_answer(row) for row in self.fill_rows.values() if after < row.seq <= until]

    async def count(self, until: int) -> int:
        self._check_up()
        return sum(row.seq <= until for row in self.fill_rows.values())

    def _check_up(self) -> None:
        if self.down:
            raise Unavailable("fills are down")


def _fill_answer(row: FillRow) -> dict[str, object]:
    return msgspec.structs.asdict(row) | {"timestamp": rfc3339(row.timestamp)}


class MemoryOrderStore:
    """Orders as bytes in a dict, so that no caller shares a live object with it. Port: domain.ports.OrderStore."""

    def __init__(self) -> None:
        self._orders: dict[str, bytes] = {}
        self._parents: dict[str, bytes] = {}
        self._meta: tuple[int, Head, dict[str, int], Owner, dict[Key, Decimal]] | None = None
        self.down = False

    def load(self) -> StoredOrders | None:
        if self._meta is None:
            return None
        orders = [_stored(body) for body in self._orders.values()]
        checkpoint, head, report_seqs, owner, held = self._meta
        counts = Counter(str(order.status) for order in orders)
        still_open = [order for order in orders if not order.closed]
        naming = frozenset(account for order in orders for account, _ in names_of(order))
        parents = [parent for parent in map(_stored_parent, self._parents.values()) if not parent.closed]
        return StoredOrders(checkpoint, head, dict(report_seqs), still_open, dict(counts), owner, naming, dict(held), parents)

    def clear(self) -> None:
        self._orders, self._parents, self._meta = {}, {}, None

    def find(self, order_id: str) -> Order | None:
        self._check_up()
        body = self._orders.get(order_id)
        return None if body is None else _stored(body)

    def members(self, group_id: str) -> list[Order]:
        self._check_up()
        return [order for order in map(_stored, self._orders.values()) if order.group_id == group_id]

    def named(self, account: str, client_order_id: str) -> str | None:
        self._check_up()
        return next(
            (order.order_id for order in map(_stored, self._orders.values()) if (account, client_order_id) in names_of(order)), None
        )

    def page(self, wanted: OrderFilter, below: tuple[int, str] | None, limit: int, *, oldest_first: bool = False) -> list[Order]:
        self._check_up()
        orders = sorted(map(_stored, self._orders.values()), key=lambda o: (o.created_at, o.order_id), reverse=not oldest_first)
        if below is not None:
            orders = [o for o in orders if ((o.created_at, o.order_id) > below if oldest_first else (o.created_at, o.order_id) < below)]
        return [o for o in orders if wanted.takes(o)][:limit]

    def parent(self, algo_id: str) -> Parent | None:
        self._check_up()
        body = self._parents.get(algo_id)
        return None if body is None else _stored_parent(body)

    def parents(self, wanted: AlgoFilter, below: tuple[int, str] | None, limit: int) -> list[Parent]:
        self._check_up()
        found = sorted(map(_stored_parent, self._parents.values()), key=lambda p: (p.created_at, p.algo_id), reverse=True)
        return [p for p in found if wanted.takes(p) and (below is None or (p.created_at, p.algo_id) < below)][:limit]

    @contextlib.contextmanager
    def picture(self) -> Iterator[StoredPicture | None]:
        self._check_up()
        if self._meta is None:
            yield None
            return
        checkpoint, head, *_, held = self._meta
        yield StoredPicture(checkpoint, head, ((order_id, _stored(body)) for order_id, body in sorted(self._orders.items())), held)

    def save(
        self,
        rows: Sequence[tuple[Order, bytes]],
        *,
        checkpoint: int,
        head: Head,
        report_seqs: dict[str, int],
        owner: Owner = NO_OWNER,
        held: Mapping[Key, Decimal] = MappingProxyType({}),
        parents: Sequence[tuple[Parent, bytes]] = (),
    ) -> None:
        self._check_up()
        self._parents.update((parent.algo_id, body) for parent, body in parents)
        self._orders.update((order.order_id, body) for order, body in rows)
        before = self._meta[-1] if self._meta else {}
        all_held = {key: quantity for key, quantity in (before | dict(held)).items() if quantity}
        self._meta = (checkpoint, head, dict(report_seqs), owner, all_held)

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _check_up(self) -> None:
        if self.down:
            raise Unavailable("the order store is down")


def _stored(body: bytes) -> Order:
    order: Order = _ORDER.decode(body)
    order.commit = 0
    return order


def _stored_parent(body: bytes) -> Parent:
    parent: Parent = _PARENT.decode(body)
    parent.commit = 0
    return parent


class MemorySnapshots:
    """Snapshots in memory. Port: Snapshots."""

    def __init__(self) -> None:
        self.files: dict[str, list[tuple[str, Head, bytes]]] = {}
        self.down = False

    def store(self, name: str, schema: str, head: Head, body: bytes) -> None:
        if self.down:
            raise Unavailable("snapshots are down")
        self.files[name] = [(schema, head, body), *self.files.get(name, [])[:1]]

    def kept(self, name: str, *schemas: str) -> Iterator[tuple[Head, bytes]]:
        if not self.down:
            yield from ((head, body) for written, head, body in self.files.get(name, []) if written in schemas)


class MemoryWatermark:
    """A watermark in memory. Port: Watermark."""

    def __init__(self) -> None:
        self.mark: Head | None = None
        self.accepted: Acceptance | None = None
        self.down = False

    def read(self) -> Head | None:
        return self.mark

    def raise_to(self, head: Head) -> None:
        self._check_up()
        if self.mark is None or head.seq > self.mark.seq:
            self.mark = head

    def acceptance(self) -> Acceptance | None:
        return self.accepted

    def accept(self, acceptance: Acceptance) -> None:
        self._check_up()
        self.accepted = acceptance

    def settle(self, head: Head) -> None:
        self._check_up()
        self.mark, self.accepted = head, None

    def _check_up(self) -> None:
        if self.down:
            raise Unavailable("the mark cannot be written")
