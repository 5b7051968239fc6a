"""What the core needs of the world, named for the need. Adapters fill these; each has a contract suite in tests/contracts."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import msgspec

from domain.execution.owner import NO_OWNER, Owner
from domain.market.price_history import DailyClose
from domain.order.events import Foreign
from domain.order.holdings import Key
from domain.order.index import OrderFilter
from domain.order.order import Order
from domain.position.position import Position
from domain.position.rows import EventRow


class Fenced(Exception):
    """Another writer has the journal: step down and recover. Nothing of ours was stored."""


class Unavailable(Exception):
    """The world did not answer in time. `unknown` when what we sent may have been stored all the same."""

    def __init__(self, reason: str, *, unknown: bool = False) -> None:
        super().__init__(reason)
        self.unknown = unknown


class Missing(Unavailable):
    """There is no such journal: it was never made, or it is gone."""


class Corrupt(Exception):
    """The journal does not verify. Nobody goes on from here; the message names the sequence."""


class Head(msgspec.Struct, frozen=True, gc=False):
    """The last commit of a shard: its stream sequence, its number without holes, and the chain value over all before it."""

    seq: int = 0
    n: int = 0
    chain: str = ""


FOREIGN_MAX: Final = 5000
"""Foreign messages of one journal that are remembered and may be skipped at once."""


class JournalEntry(msgspec.Struct, frozen=True, gc=False):
    """One commit as it was read back. `payload` is the bytes that were appended, verified against the chain."""

    head: Head
    payload: bytes


class Journal(Protocol):
    """One shard's log of commits: fenced, chained, durable when `append` returns."""

    @property
    def passed(self) -> Sequence[Foreign]:
        """Foreign messages that readings of this journal went past, each once, in their order; the first FOREIGN_MAX of them."""

    async def head(self) -> Head:
        """The last commit as the leader has it, also when a foreign message is behind it. Unavailable."""

    async def foreign(self, after: Head) -> Sequence[Foreign]:
        """Foreign messages right behind the commit `after`; empty when a commit or nothing follows. Unavailable."""

    async def append(self, payload: bytes, after: Head) -> Head:
        """Store one commit behind `after` and return the new head once it is on disk. Fenced, Unavailable.

        A message behind `after` fences, a foreign one too. To append behind a foreign message, name its sequence in `after.seq`.
        """

    async def read(self, seq: int) -> JournalEntry | None:
        """One commit by its sequence, not verified against its neighbours; None when there is none there. Unavailable."""

    def follow(self, after: Head, *, until: int | None = None) -> AsyncGenerator[Sequence[JournalEntry]]:
        """Batches of verified commits behind `after`, in order; for ever, or up to and with sequence `until`. Corrupt, Unavailable.

        A foreign message is passed: the chain over the commits on both sides of it shows that no commit is missing in its place.
        """


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's word that a journal may continue from `head`.

    `lost`: although the mark says that there was more, or something else. `skipped`: past these foreign messages.
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
        """None when there never was one. Corrupt."""

    def raise_to(self, head: Head) -> None:
        """On disk when it returns; a lower head changes nothing. Unavailable."""

    def acceptance(self) -> Acceptance | None:
        """What an operator accepted and nobody went on from yet. Corrupt."""

    def accept(self, acceptance: Acceptance) -> None:
        """Keep it for the writer's next start. Unavailable."""

    def settle(self, head: Head) -> None:
        """The writer goes on from `head`, whatever the mark was; the acceptance is used up. Unavailable."""


class Positions(Protocol):
    """Positions for readers, with the journal sequence they stand for, stored in one step."""

    async def checkpoint(self) -> int:
        """The last journal sequence applied; 0 when empty. Unavailable."""

    async def load(self) -> list[Position]:
        """All of them. Unavailable."""

    async def of(self, account: str) -> tuple[list[Position], int]:
        """One account's positions and the sequence they are as of. Unavailable."""

    async def store(self, changed: Iterable[Position], *, after: int, seq: int) -> bool:
        """Write positions and move the checkpoint from `after` to `seq` in one step; False (nothing written) when it stood elsewhere."""

    async def clear(self) -> None:
        """Forget all positions and the checkpoint, to rebuild from the journal."""


class FillPlace(NamedTuple):
    """Where a row has its place among the fills: it goes down by all four, and no two rows have the same."""

    at_ns: int
    seq: int
    exec_id: str
    venue: str


class Fills(Protocol):
    """The tables other programs read: `fills` and `order_events`. Writing the same rows again changes nothing."""

    async def prepare(self) -> None:
        """Make the tables when they are missing. Unavailable."""

    async def checkpoint(self) -> int:
        """The highest journal sequence whose rows are known to be stored; 0 when empty. Unavailable."""

    async def holds(self, row: EventRow) -> tuple[bool, bool]:
        """Is this very event in `order_events`, and its trade in `fills` (True of what is no trade)? Quick. Unavailable."""

    async def clear(self) -> None:
        """Empty both tables, to fill them again from the journal. Unavailable."""

    async def write(self, rows: Sequence[EventRow]) -> None:
        """Events with sequence and place in the commit; trades go to `fills`, all go to `order_events`. Unavailable."""

    async def fills(
        self, account: str, *, symbol: str | None, since_ns: int, limit: int, until_ns: int | None = None, below: "FillPlace | None" = None
    ) -> list[dict[str, object]]:
        """Rows of the fills table from `since_ns` until before `until_ns`, newest first, those behind `below`; columns as in the API page.

        Times are those of the rows, to the microsecond. Unavailable.
        """

    async def reaches(self) -> int:
        """The highest sequence of which rows can be read now; 0 when there are none. Unavailable."""

    async def rows(self, after: int, until: int) -> list[dict[str, object]]:
        """Rows of the fills table of these sequences, `until` included, in no order. Not quick. Unavailable."""

    async def count(self, until: int) -> int:
        """How many rows the fills table has that are not of a later sequence, whatever else is wrong with them. Unavailable."""


class Prices(Protocol):
    """Daily closes, by which value at risk is measured: one for each day and symbol, whoever wrote last."""

    async def prepare(self) -> None:
        """Make the table when it is missing. Unavailable."""

    async def ping(self) -> None:
        """Unavailable when it does not answer."""

    async def write(self, closes: Sequence[DailyClose]) -> None:
        """Store them; they can be read when it returns. The same ones again change nothing. Unavailable."""

    async def forget(self, symbol: str, source: str | None, first: int, last: int) -> int:
        """Take back real closes of these days, all or those of one source; how many. They are gone when it returns. Unavailable."""

    async def recent(self, symbols: Iterable[str], days: int) -> list[DailyClose]:
        """The last `days` real closes of each symbol, and the last `days` that a simulated market generated. Unavailable."""


class StoredOrders(msgspec.Struct, frozen=True):
    """Where a restart begins. All up to `checkpoint` is in the store; by `head`, a commit it has seen, the journal is recognised."""

    checkpoint: int
    head: Head
    report_seqs: dict[str, int]
    open: list[Order]
    counts: dict[str, int]
    owner: Owner = NO_OWNER
    held: dict[Key, Decimal] = {}
    """What accounts held as of `head`; what is not named is flat."""


class StoredPicture(msgspec.Struct, frozen=True):
    """An order store at one moment: as `StoredOrders`, with every row in the order of order_id; None for a row that does not verify."""

    checkpoint: int
    head: Head
    rows: Iterator[tuple[str, Order | None]]
    held: Mapping[Key, Decimal]


class OrderStore(Protocol):
    """A writer's own projection of its orders: closed ones are kept here and not in memory. Made again from the journal when lost."""

    def load(self) -> StoredOrders | None:
        """None when there is nothing that verifies."""

    def clear(self) -> None:
        """Forget everything."""

    def find(self, order_id: str) -> Order | None:
        """One order as it was last saved. Quick enough for the event loop. Unavailable."""

    def page(self, wanted: OrderFilter, below: tuple[int, str] | None, limit: int) -> list[Order]:
        """Newest first, older than `below` (created_at, order_id), that `wanted` takes. Not quick. Unavailable."""

    def picture(self) -> AbstractContextManager[StoredPicture | None]:
        """For whoever checks it, from any process; None when nothing was ever saved. Unavailable, Corrupt."""

    def save(
        self,
        rows: Sequence[tuple[Order, bytes]],
        *,
        checkpoint: int,
        head: Head,
        report_seqs: dict[str, int],
        owner: Owner = NO_OWNER,
        held: Mapping[Key, Decimal] = MappingProxyType({}),
    ) -> None:
        """Orders with their bytes as they stood, the checkpoint, and the shard's owner, in one step. From any thread. Unavailable.

        `held` are the holdings that moved since the last save, as of `head`; a zero takes one out.
        """

    def close(self) -> None: ...


class Snapshots(Protocol):
    """The states of folds beside the journal, so that a restart need not read all of it. Never an authority: lost, they are made again."""

    def store(self, name: str, schema: str, head: Head, body: bytes) -> None:
        """Keep the state that `name` had at `head`, and the one before it. Whole or not at all. Unavailable."""

    def kept(self, name: str, *schemas: str) -> Iterator[tuple[Head, bytes]]:
        """Those of one of these schemas that verify, newest first. What does not is passed over and logged. From any thread."""


class Clock(Protocol):
    """Nanoseconds: `now_ns` UTC, for stamps and moments of the calendar; it never goes back, but may jump ahead and then stand still.

    `monotonic_ns` from an arbitrary beginning, at the pace of time whatever the wall clock does: for ages, pauses and limits of rate.
    """

    def now_ns(self) -> int: ...

    def monotonic_ns(self) -> int: ...
