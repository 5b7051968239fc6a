"""Ports: what the core needs from the outside, named for the need. Each adapter passes a contract suite in tests/contracts."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import msgspec

from domain.execution.owner import NO_OWNER, Owner
from domain.leases import LeaseEntry, LeaseValue
from domain.market.price_history import DailyClose
from domain.order.algo import AlgoFilter, Parent
from domain.order.events import Foreign
from domain.order.holdings import Key
from domain.order.index import OrderFilter
from domain.order.order import Order
from domain.position.equity import EquitySample
from domain.position.position import Position
from domain.position.rows import EventRow


class Fenced(Exception):
    """Another writer has the journal: step down and recover. Nothing of this writer was stored."""


class Unavailable(Exception):
    """A dependency did not answer in time. `unknown` if the data sent may have been stored all the same."""

    def __init__(self, reason: str, *, unknown: bool = False) -> None:
        super().__init__(reason)
        self.unknown = unknown


class ShardElsewhere(Unavailable):
    """Another unit owns the shard, or no unit does now. Nothing was accepted. `owner`: the unit that the lease names; empty for none."""

    def __init__(self, shard: int, owner: str) -> None:
        super().__init__(f"shard {shard} is owned by {owner}" if owner else f"no unit owns shard {shard} now")
        self.shard = shard
        self.owner = owner


class Missing(Unavailable):
    """The journal does not exist: it was never created, or it is gone."""


class Corrupt(Exception):
    """The journal does not verify. No process continues from here; the message names the sequence."""


class Head(msgspec.Struct, frozen=True, gc=False):
    """The last commit of a shard: its stream sequence, its number without gaps, and the chain value over all before it."""

    seq: int = 0
    n: int = 0
    chain: str = ""


FOREIGN_MAX: Final = 5000
"""How many foreign messages of one journal are remembered and may be skipped at once."""


class JournalEntry(msgspec.Struct, frozen=True, gc=False):
    """One commit as read back. `payload` is the bytes that were appended, verified against the chain."""

    head: Head
    payload: bytes


class Journal(Protocol):
    """The journal of one shard's commits: fenced, chained, durable when `append` returns."""

    @property
    def passed(self) -> Sequence[Foreign]:
        """Foreign messages that reads of this journal skipped, each once, in order; the first FOREIGN_MAX of them."""

    async def head(self) -> Head:
        """Return the last commit as the leader has it, even if a foreign message is behind it. Raises Unavailable."""

    async def foreign(self, after: Head) -> Sequence[Foreign]:
        """Return the foreign messages right behind the commit `after`; empty if a commit or nothing follows. Raises Unavailable."""

    async def append(self, payload: bytes, after: Head) -> Head:
        """Store one commit behind `after` and return the new head once it is on disk. Raises Fenced, Unavailable.

        Any message behind `after` fences, also a foreign one. To append behind a foreign message, pass its sequence in `after.seq`.
        """

    async def read(self, seq: int) -> JournalEntry | None:
        """Return one commit by its sequence, not verified against its neighbours; None if none is there. Raises Unavailable."""

    def follow(self, after: Head, *, until: int | None = None) -> AsyncGenerator[Sequence[JournalEntry]]:
        """Yield batches of verified commits behind `after`, in order; without end, or up to and including sequence `until`.

        A foreign message is skipped: the chain over the commits on both sides shows that no commit is missing in its place.
        Raises Corrupt, Unavailable.
        """


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's acceptance that a journal may continue from `head`.

    `lost`: the mark shows that there was more, or another commit. `skipped`: the foreign messages to skip.
    """

    head: Head
    mark: Head
    at: int
    who: str
    reason: str
    lost: bool = True
    skipped: tuple[Foreign, ...] = ()


class Watermark(Protocol):
    """The last commit of a journal that is known to be on disk, kept outside the journal's own store."""

    def read(self) -> Head | None:
        """Return the mark; None if there never was one. Raises Corrupt."""

    def raise_to(self, head: Head) -> None:
        """Raise the mark; it is on disk when this returns. A lower head changes nothing. Raises Unavailable."""

    def acceptance(self) -> Acceptance | None:
        """Return an operator's acceptance that no writer has used yet. Raises Corrupt."""

    def accept(self, acceptance: Acceptance) -> None:
        """Keep an acceptance for the writer's next start. Raises Unavailable."""

    def settle(self, head: Head) -> None:
        """Set the mark to `head`, whatever it was, and use up the acceptance. Raises Unavailable."""


class Positions(Protocol):
    """Positions for readers, stored in one step with the journal sequence they represent."""

    async def checkpoint(self) -> int:
        """Return the last journal sequence applied; 0 if empty. Raises Unavailable."""

    async def load(self) -> list[Position]:
        """Return all positions. Raises Unavailable."""

    async def of(self, account: str) -> tuple[list[Position], int]:
        """Return one account's positions and the sequence they are as of. Raises Unavailable."""

    async def store(self, changed: Iterable[Position], *, after: int, seq: int) -> bool:
        """Write positions and move the checkpoint from `after` to `seq` in one step. Return False (nothing written) if it was elsewhere."""

    async def clear(self) -> None:
        """Delete all positions and the checkpoint, to rebuild from the journal."""


class FillPlace(NamedTuple):
    """The place of a row among the fills: it descends by all four fields, and no two rows share one."""

    at_ns: int
    seq: int
    exec_id: str
    venue: str


class Fills(Protocol):
    """The tables that other programs read: `fills` and `order_events`. Writing the same rows again changes nothing."""

    async def prepare(self) -> None:
        """Create the tables if they are missing. Raises Unavailable."""

    async def checkpoint(self) -> int:
        """Return the highest journal sequence whose rows are known to be stored; 0 if empty. Raises Unavailable."""

    async def holds(self, row: EventRow) -> tuple[bool, bool]:
        """Return whether this event is in `order_events`, and its trade in `fills` (True if it is no trade). Fast. Raises Unavailable."""

    async def clear(self) -> None:
        """Empty both tables, to fill them again from the journal. Raises Unavailable."""

    async def write(self, rows: Sequence[EventRow]) -> None:
        """Write events with sequence and index in the commit: trades to `fills`, all to `order_events`. Raises Unavailable."""

    async def fills(
        self, account: str, *, symbol: str | None, since_ns: int, limit: int, until_ns: int | None = None, below: "FillPlace | None" = None
    ) -> list[dict[str, object]]:
        """Return rows of the fills table from `since_ns` until before `until_ns`, newest first, those behind `below`.

        Columns are as in the API page. Times are those of the rows, to the microsecond. Raises Unavailable.
        """

    async def reaches(self) -> int:
        """Return the highest sequence whose rows can be read now; 0 if there are none. Raises Unavailable."""

    async def rows(self, after: int, until: int) -> list[dict[str, object]]:
        """Return rows of the fills table of these sequences, `until` included, in no order. Slow. Raises Unavailable."""

    async def count(self, until: int) -> int:
        """Return how many rows of the fills table are of no later sequence, whether valid or not. Raises Unavailable."""


class Prices(Protocol):
    """Daily closes, the input of value at risk: one for each day and symbol; the last write wins."""

    async def prepare(self) -> None:
        """Create the table if it is missing. Raises Unavailable."""

    async def ping(self) -> None:
        """Raise Unavailable if the store does not answer."""

    async def write(self, closes: Sequence[DailyClose]) -> None:
        """Store closes; they are readable when this returns. The same ones again change nothing. Raises Unavailable."""

    async def forget(self, symbol: str, source: str | None, first: int, last: int) -> int:
        """Delete real closes of these days, of one source or all; return how many. They are gone when this returns. Raises Unavailable."""

    async def recent(self, symbols: Iterable[str], days: int) -> list[DailyClose]:
        """Return the last `days` real closes of each symbol, and the last `days` simulated ones. Raises Unavailable."""


class EquitySamples(Protocol):
    """Samples of equity: one for each account and moment; the last write wins."""

    async def prepare(self) -> None:
        """Create the table if it is missing. Raises Unavailable."""

    async def write(self, samples: Sequence[EquitySample]) -> None:
        """Store samples, readable a moment later. The same ones again change nothing. Raises Unavailable."""

    async def history(self, account: str, step: str, *, since_ns: int, until_ns: int, limit: int) -> list[EquitySample]:
        """Return the last sample of each interval that has one, newest first, from `since_ns` until before `until_ns`.

        `step` is one of domain.position.equity.STEPS. Raises Unavailable.
        """

    async def last_before(self, account: str, until_ns: int) -> EquitySample | None:
        """Return the last sample before a moment. Raises Unavailable."""

    async def drop_before(self, until_ns: int) -> None:
        """Remove samples before a moment; a store may keep the rest of that month. Raises Unavailable."""


class StoredOrders(msgspec.Struct, frozen=True):
    """The start of a restart. Everything up to `checkpoint` is in the store; `head`, a commit it has seen, identifies the journal."""

    checkpoint: int
    head: Head
    report_seqs: dict[str, int]
    open: list[Order]
    counts: dict[str, int]
    owner: Owner = NO_OWNER
    naming: frozenset[str] = frozenset()
    """The accounts that ever named a replace."""
    held: dict[Key, Decimal] = {}
    """Holdings as of `head`, by account and symbol; an absent one is flat."""
    parents: Sequence[Parent] = ()
    """The parents that have not ended."""


class StoredPicture(msgspec.Struct, frozen=True):
    """An order store at one moment: as `StoredOrders`, with every row in the order of order_id; None for a row that does not verify."""

    checkpoint: int
    head: Head
    rows: Iterator[tuple[str, Order | None]]
    held: Mapping[Key, Decimal]


class OrderStore(Protocol):
    """A writer's own projection of its orders: closed ones are kept here and not in memory. Rebuilt from the journal if lost."""

    def load(self) -> StoredOrders | None:
        """Return the stored orders; None if nothing verifies."""

    def clear(self) -> None:
        """Delete everything."""

    def find(self, order_id: str) -> Order | None:
        """Return one order as last saved. Fast enough for the event loop. Raises Unavailable."""

    def members(self, group_id: str) -> list[Order]:
        """Return the orders of a list as last saved. Fast enough for the event loop. Raises Unavailable."""

    def named(self, account: str, client_order_id: str) -> str | None:
        """Return the order whose replace the client called so. As fast as `find`. Raises Unavailable."""

    def page(self, wanted: OrderFilter, below: tuple[int, str] | None, limit: int, *, oldest_first: bool = False) -> list[Order]:
        """Return the orders that `wanted` takes, newest first, older than `below` (created_at, order_id). Slow. Raises Unavailable.

        `oldest_first`: in the other order, those newer than `below`.
        """

    def parent(self, algo_id: str) -> Parent | None:
        """Return one parent as last saved. As fast as `find`. Raises Unavailable."""

    def parents(self, wanted: AlgoFilter, below: tuple[int, str] | None, limit: int) -> list[Parent]:
        """Return the parents that `wanted` takes, newest first, older than `below` (created_at, algo_id). Slow. Raises Unavailable."""

    def picture(self) -> AbstractContextManager[StoredPicture | None]:
        """Open a consistent view for a checker, from any process; None if nothing was ever saved. Raises Unavailable, Corrupt."""

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
        """Save orders and parents with their encoded bytes, the checkpoint, and the shard's owner, in one step. From any thread.

        `held` are the holdings that changed since the last save, as of `head`; zero removes one. Raises Unavailable.
        """

    def close(self) -> None: ...


class Snapshots(Protocol):
    """Fold states beside the journal, so that a restart need not read all of it. Never an authority: rebuilt if lost."""

    def store(self, name: str, schema: str, head: Head, body: bytes) -> None:
        """Keep the state that `name` had at `head`, and the one before it. All or nothing. Raises Unavailable."""

    def kept(self, name: str, *schemas: str) -> Iterator[tuple[Head, bytes]]:
        """Yield the states of one of these schemas that verify, newest first. Others are skipped and logged. From any thread."""


class Leases(Protocol):
    """The lease store: who should own what. A hint, for every reader may see an old state; only a write shows the newest revision.

    Keys and values are those of domain.leases. Shards, units and venues expire a minute after their last write.
    """

    async def read(self, key: str) -> LeaseEntry:
        """Return an entry, perhaps an old one. Revision 0 if it was never written, or has expired. Raises Unavailable."""

    def watch(self) -> AsyncGenerator[Sequence[LeaseEntry]]:
        """Yield all entries, then the changes. A key that expires is not shown. Raises Unavailable: watch again.

        A server that is cut off from the others shows nothing and raises nothing: only an own write that comes back is a sign of life.
        """

    async def write(self, key: str, value: LeaseValue, after: int) -> int:
        """Write a key whose last revision is `after` and return its new one. Raises Fenced (another revision), Unavailable."""

    async def give_back(self, key: str, after: int) -> int:
        """Write that the key has no value any more, like `write`."""


class Clock(Protocol):
    """Nanoseconds. `now_ns` is UTC, for timestamps and calendar times; it never goes back, but may jump ahead and then stay constant.

    `monotonic_ns` has an arbitrary origin and a steady pace whatever the wall clock does: for ages, pauses and rate limits.
    """

    def now_ns(self) -> int: ...

    def monotonic_ns(self) -> int: ...
