"""desk's streams without a server but its own port: a journal in memory, and clients over real connections."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random
from typing import Any, Final

import httpx

from adapters.chain import GENESIS, following
from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryJournal
from apps.desk.assembly import Assembly
from apps.desk.client import ClientState, StreamMessage, follow, messages
from apps.desk.fold import DeskFold
from apps.http.access import Access
from apps.http.app import Listener, application, fast_path, serve
from apps.http.authority import Authority, KeysKnown
from apps.http.route_scopes import TABLES
from apps.runtime.chassis import cancelled
from config.access_mode import OPEN, Mode
from config.sections import StreamSection
from domain.access.keys import KeyRing
from domain.order import events as e
from domain.order.lifecycle import State
from domain.order.order import Order, evolved
from domain.ports import Head
from domain.position.position import PositionBook
from domain.values import Liquidity
from tests.contracts.facts import AT, filled, queued, submitted

FAST: Final = {"frame_ms": 5, "heartbeat_ms": 40}
PATIENCE_S: Final = 60.0


def life(order_id: str, account: str, fills: int = 2, close: bool = True, at: int = AT) -> list[tuple[e.OrderEvent, ...]]:
    """The commits of one order: submitted and queued, then `fills` trades, the last of which closes it unless it stays open."""
    commits: list[tuple[e.OrderEvent, ...]] = [(submitted(order_id, account, at=at), queued(order_id, at))]
    for number in range(fills):
        last = close and number == fills - 1
        state = State.FILLED if last else State.PARTIALLY_FILLED
        quantity = str(10 - number) if last else "1"
        commits.append((filled(f"{order_id}-x{number}", quantity, order_id=order_id, account=account, status=state, at=at + number),))
    return commits


Commits = list[tuple[e.OrderEvent, ...]]
ACCOUNTS = ("alice", "bob", "carol")


def lives(number: int, seed: int = 0) -> Commits:
    random = Random(seed)
    queues = [life(f"O{n}", random.choice(ACCOUNTS), random.randint(0, 3), random.random() < 0.7) for n in range(number)]
    commits: Commits = []
    while queues := [queue for queue in queues if queue]:
        commits.append(random.choice(queues[:10]).pop(0))
    return commits


def late_fill(order_id: str, account: str) -> e.OrderFilled:
    return e.OrderFilled(
        order_id=order_id,
        at=AT + 99,
        status=State.FILLED,
        account=account,
        client_order_id=f"client-{order_id}",
        symbol="BTCUSDT",
        side=submitted("x").side,
        quantity=Decimal(1),
        price=Decimal(51),
        fee=Decimal("0.1"),
        liquidity=Liquidity.MAKER,
        exec_id=f"{order_id}-late",
        venue="PAPER_A",
        route_id="R1",
        late=True,
        overfill=True,
    )


def quarantined(order_id: str, reason: str) -> e.ReportQuarantined:
    return e.ReportQuarantined(order_id=order_id, at=AT, status=State.NEW, reason=reason, venue="PAPER_A", report="{}")


class Desk:
    """A running desk over a journal in memory, which is kept when the desk starts again."""

    def __init__(self, journal: MemoryJournal, assembly: Assembly, fold: DeskFold, keys: KeyRing, known: KeysKnown) -> None:
        self.journal = journal
        self.assembly = assembly
        self.fold = fold
        self.keys = keys
        self.known = known
        self.url = ""
        self.http = httpx.AsyncClient()

    async def commit(self, *events: e.OrderEvent) -> Head:
        head = await self.journal.head()
        return await self.journal.append(ORDER_COMMITS.encode(0, head.n + 1, events), head)

    async def commits(self, commits: list[tuple[e.OrderEvent, ...]]) -> Head:
        head = GENESIS
        for events in commits:
            head = await self.commit(*events)
        return head

    async def commits_at_once(self, commits: list[tuple[e.OrderEvent, ...]]) -> None:
        """Append all before desk reads any of them, so that it applies them together."""
        head = await self.journal.head()
        for events in commits:
            payload = ORDER_COMMITS.encode(0, head.n + 1, events)
            head = Head(head.seq + 1, head.n + 1, following(head, payload))
            self.journal.log.store(head, payload)

    async def applied(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.assembly.orders.wait_for((await self.journal.head()).seq)
            while not self.assembly.end.complete:
                await asyncio.sleep(0.001)

    async def read(self, until: str, params: dict[str, Any] | None = None, **headers: str) -> list[StreamMessage]:
        """The messages of one stream up to the first of this kind."""
        found: list[StreamMessage] = []
        async with asyncio.timeout(PATIENCE_S), self.http.stream("GET", self.url, params=params, headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            async for message in messages(answer):
                found.append(message)
                if message.event == until:
                    return found
        raise AssertionError(f"the stream ended before {until}: {[each.event for each in found]}")

    def follow(self, state: ClientState, **params: Any) -> AsyncIterator[StreamMessage]:
        return follow(self.http, self.url, params, state)

    async def until(self, state: ClientState, seq: int, **params: Any) -> list[StreamMessage]:
        """Follow until the state is of this sequence at least."""
        found = []
        async with asyncio.timeout(PATIENCE_S):
            async for message in self.follow(state, **params):
                found.append(message)
                if state.seq >= seq and message.id:
                    return found
        raise AssertionError


@asynccontextmanager
async def desk(
    journal: MemoryJournal | None = None, *, closed_max: int = 100_000, events_max: int = 100_000, mode: Mode = OPEN, **bounds: Any
) -> AsyncIterator[Desk]:
    journal = journal or MemoryJournal()
    clock, keys = SystemClock(), KeyRing()
    known = KeysKnown(clock)
    authority = Authority(mode, keys, TABLES["desk"], clock, known)
    section = StreamSection(**{**FAST, "closed_orders_max": closed_max, "events_max": events_max, **bounds})

    async def no_answer(_: str) -> None:
        return None

    fold = DeskFold(closed_max, events_max)
    made = Assembly(journal, fold, GENESIS, section, authority, clock, no_answer)
    app = fast_path(application("desk", made.streams.router(), made.told.router()), {("GET", "/stream"): made.streams})
    tasks = [asyncio.ensure_future(work) for work in (made.orders.run(), made.end.run(), made.streams.look_after())]
    listener: Listener = await serve(app, "127.0.0.1", 0, Access(), authority, drain_sec=0.5)
    running = Desk(journal, made, fold, keys, known)
    running.url = f"http://127.0.0.1:{listener.port}/stream"
    try:
        await running.applied()
        yield running
    finally:
        await running.http.aclose()
        await made.streams.stop()
        await listener.stop()
        for task in tasks:
            await cancelled(task)


async def journal_at(journal: MemoryJournal, seq: int) -> tuple[dict[str, Order], PositionBook]:
    """Orders and positions by the journal alone, up to a sequence."""
    events: dict[str, list[e.OrderEvent]] = {}
    book = PositionBook()
    for at in range(1, seq + 1):
        entry = await journal.read(at)
        assert entry is not None
        for event in ORDER_COMMITS.read(entry).events:
            events.setdefault(event.order_id, []).append(event)
            book.apply(event, at)
    orders = {order_id: order for order_id, found in events.items() if order_id and (order := evolved(found)) is not None}
    return orders, book


async def assert_is_of_the_journal(state: ClientState, journal: MemoryJournal, accounts: tuple[str, ...] = ()) -> None:
    """What a client has is what the journal says at its sequence."""
    orders, book = await journal_at(journal, state.seq)
    shown = {
        order_id: (str(order.status), order.cum_quantity, order.leaves_quantity, order.average_price, order.fees)
        for order_id, order in orders.items()
        if not accounts or order.account in accounts
    }
    names = ("status", "cum_quantity", "leaves_quantity", "average_price", "fees")
    assert {order_id: tuple(row[name] for name in names) for order_id, row in state.orders.items()} == shown
    moved = {key: position for key, position in book.positions.items() if not accounts or key[0] in accounts}
    assert {key: (row["quantity"], row["realised_pnl"], row["seq"]) for key, row in state.positions.items()} == {
        key: (position.quantity, position.realised_pnl, position.seq) for key, position in moved.items()
    }


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, json.loads(answer.content)["code"]
