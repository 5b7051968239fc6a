"""Memory and store together are the journal: after any stop, with any save lost, closed orders forgotten and found again."""

import asyncio
import contextlib
import shutil
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

import tests.golden as golden
from adapters.chain import GENESIS
from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS, decoder
from adapters.memory import MemoryJournal, MemoryLog, MemoryOrderStore
from adapters.orderstore import SCHEMA, SqliteOrderStore
from apps.journal.group_commit import Pace
from apps.journal.order_repository import OrderRepository
from apps.journal.shard_host import ShardHost
from apps.oms.reads import OrderReads
from domain.execution.owner import NO_OWNER, Owner
from domain.order.algo import Parent
from domain.order.commands import CancelOrder, ReportKind, RiskDecision, RouteOrder, SubmitOrder, Terms, VenueReport
from domain.order.events import Leg
from domain.order.holdings import Key
from domain.order.index import OrderFilter, Orders
from domain.order.lifecycle import State
from domain.order.order import Order, evolve
from domain.ports import Head
from domain.values import OrderType, Side, order_id_of, use_exact_arithmetic

SOON_S = 120.0
OLD_STORE: Final = Path(__file__).parents[1] / "data/orders_schema_2.db"
ORDER = decoder(Order)


def terms(name: str) -> Terms:
    return Terms(
        order_id=order_id_of("alice", name),
        account="alice",
        client_order_id=name,
        symbol="BTCUSDT",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal("2"),
        price=Decimal("100"),
    )


def submit(name: str) -> SubmitOrder:
    order_id = order_id_of("alice", name)
    return SubmitOrder(order_id=order_id, terms=terms(name), decision=RiskDecision(order_id=order_id, limits_version=1))


def fill(name: str, number: int, quantity: str) -> VenueReport:
    order_id = order_id_of("alice", name)
    return VenueReport(
        report=ReportKind.FILL,
        order_id=order_id,
        route_id=f"{order_id}-1",
        venue="PAPER_A",
        report_seq=number,
        at=1,
        account="alice",
        symbol="BTCUSDT",
        side=Side.BUY,
        exec_id=f"x{number}",
        quantity=Decimal(quantity),
        price=Decimal("99"),
        fee=Decimal("0.1"),
    )


def route(name: str) -> RouteOrder:
    order_id = order_id_of("alice", name)
    return RouteOrder(order_id=order_id, legs=(Leg(f"{order_id}-1", "PAPER_A", Decimal("2")),), policy="test")


class Desk:
    """A host that can be stopped as by kill -9 and begun again over the same journal and store."""

    def __init__(self, log: MemoryLog, store: MemoryOrderStore) -> None:
        self.host = ShardHost(MemoryJournal(log), SystemClock(), store=store, pace=Pace(wait_s=0))
        self._task = asyncio.create_task(self.host.run())

    async def ready(self) -> "Desk":
        async with asyncio.timeout(SOON_S):
            while not self.host.ready:
                await asyncio.sleep(0.001)
        return self

    async def kill(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def saved(self) -> None:
        """Until all is saved, and what is closed has left memory."""
        async with asyncio.timeout(SOON_S):
            while self.host.book.unsaved() or any(order.closed for order in self.host.orders.by_id.values()):
                await asyncio.sleep(0.01)


async def replayed(log: MemoryLog) -> dict[str, Order]:
    """The orders as the journal alone has them."""
    orders: dict[str, Order] = {}
    async for batch in MemoryJournal(log).follow(GENESIS, until=len(log.commits)):
        for recorded in batch:
            for event in ORDER_COMMITS.decode(recorded.payload).events:
                orders[event.order_id] = evolve(orders.get(event.order_id), event)
    return orders


def bare(order: Order | None) -> tuple[object, ...] | None:
    if order is None:
        return None
    return order.status, order.version, order.cum_quantity, order.notional, order.trades, order.routes, order.updated_at


class HeldStore(MemoryOrderStore):
    """Its first write takes until a test lets it go on. What it was given is looked at then."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.let = threading.Event(), threading.Event()
        self.given: list[tuple[State, State]] = []

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
        self.begun.set()
        assert self.let.wait(SOON_S)
        self.given += [(order.status, ORDER.decode(body).status) for order, body in rows]
        super().save(rows, checkpoint=checkpoint, head=head, report_seqs=report_seqs, owner=owner, held=held, parents=parents)


async def test_what_is_being_written_stays_as_it_was_while_the_order_moves_on() -> None:
    store = HeldStore()
    desk = await Desk(MemoryLog(), store).ready()
    await desk.host.perform(submit("a"))
    while not store.begun.is_set():
        await asyncio.sleep(0.001)
    await desk.host.perform(CancelOrder(order_id=terms("a").order_id))
    store.let.set()
    await desk.saved()
    assert store.given == [(State.QUEUED, State.QUEUED), (State.CANCELLED, State.CANCELLED)]
    await desk.kill()


async def test_a_list_has_an_order_that_is_just_being_written() -> None:
    log, store = MemoryLog(), HeldStore()
    desk = await Desk(log, store).ready()
    reads = OrderReads(desk.host)
    await desk.host.perform(submit("a"))
    while not store.begun.is_set():
        await asyncio.sleep(0.001)
    listed = (await reads.page(OrderFilter(), 10, None))["orders"]
    store.let.set()
    assert [(one["client_order_id"], one["status"]) for one in listed] == [("a", "queued")]
    await desk.kill()


async def test_a_closed_order_leaves_memory_and_is_found_again() -> None:
    desk = await Desk(MemoryLog(), MemoryOrderStore()).ready()
    await desk.host.perform(submit("a"))
    await desk.host.perform(CancelOrder(order_id=terms("a").order_id))
    await desk.saved()
    assert terms("a").order_id not in desk.host.orders.by_id
    found = desk.host.find(terms("a").order_id)
    assert found is not None
    assert found.status is State.CANCELLED
    await desk.kill()


async def test_a_late_fill_brings_a_forgotten_order_back() -> None:
    # FAILURES 29
    desk = await Desk(MemoryLog(), MemoryOrderStore()).ready()
    await desk.host.perform(submit("a"))
    await desk.host.perform(route("a"))
    await desk.host.perform(fill("a", 1, "2"))
    await desk.saved()
    landed = await desk.host.perform(fill("a", 2, "1"))
    assert landed.events[0].overfill  # type: ignore[union-attr]
    await desk.saved()
    found = desk.host.find(terms("a").order_id)
    assert found is not None
    assert found.cum_quantity == 3
    assert not desk.host.orders.by_id
    await desk.kill()


async def test_a_submit_is_recognised_whatever_its_age_and_after_a_restart() -> None:
    # FAILURES 5
    log, store = MemoryLog(), MemoryOrderStore()
    desk = await Desk(log, store).ready()
    first = await desk.host.perform(submit("a"))
    await desk.host.perform(CancelOrder(order_id=terms("a").order_id))
    await desk.saved()
    await desk.kill()
    again = await Desk(log, store).ready()
    landed = await again.host.perform(submit("a"))
    assert landed.events == ()
    assert landed.order is not None
    assert landed.order.seqs[0] == first.seq
    await again.kill()


async def test_a_store_of_another_journal_is_not_believed() -> None:
    store = MemoryOrderStore()
    desk = await Desk(MemoryLog(), store).ready()
    await desk.host.perform(submit("a"))
    await desk.saved()
    await desk.kill()
    other = await Desk(MemoryLog(), store).ready()
    assert other.host.find(terms("a").order_id) is None
    assert store.load() is None
    await other.kill()


async def test_a_store_that_cannot_be_written_keeps_orders_in_memory() -> None:
    # FAILURES 48
    store = MemoryOrderStore()
    desk = await Desk(MemoryLog(), store).ready()
    await desk.host.perform(submit("a"))
    await desk.saved()
    store.down = True
    await desk.host.perform(CancelOrder(order_id=terms("a").order_id))
    await asyncio.sleep(0.5)
    assert desk.host.book.save_failures
    found = desk.host.find(terms("a").order_id)
    assert found is not None
    assert found.status is State.CANCELLED
    await desk.kill()


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from(["submit", "route", "fill", "cancel", "save", "kill", "old store"]), max_size=25))
def test_after_any_stop_memory_and_store_are_the_journal(steps: list[str]) -> None:
    use_exact_arithmetic()
    asyncio.run(_live_through(steps))


async def _live_through(steps: list[str]) -> None:
    log, store = MemoryLog(), MemoryOrderStore()
    desk = await Desk(log, store).ready()
    names, number = [f"o{n}" for n in range(4)], 0
    kept = dict(store._orders), store._meta
    for turn, step in enumerate(steps):
        name = names[turn % len(names)]
        known = desk.host.find(terms(name).order_id)
        match step:
            case "submit":
                await desk.host.perform(submit(name))
            case "route" if known:
                await desk.host.perform(route(name))
            case "fill" if known:
                number += 1
                await desk.host.perform(fill(name, number, "1"))
            case "cancel" if known:
                await desk.host.perform(CancelOrder(order_id=known.order_id))
            case "save":
                kept = dict(store._orders), store._meta
                await desk.saved()
            case "kill" | "old store":
                await desk.kill()
                if step == "old store":
                    store._orders, store._meta = dict(kept[0]), kept[1]
                desk = await Desk(log, store).ready()
    truth = await replayed(log)
    for name in names:
        order_id = terms(name).order_id
        assert bare(desk.host.find(order_id)) == bare(truth.get(order_id))
    open_ids = {order_id for order_id, order in truth.items() if not order.closed}
    assert {order.order_id for order in desk.host.orders.open_of("alice")} == open_ids
    counted = {state: count for state, count in desk.host.orders.states.items() if count}
    assert sum(counted.values()) == len(truth)
    assert all(counted.get(state, 0) == sum(o.status is state for o in truth.values()) for state in State)
    assert desk.host.orders.report_seqs == ({"PAPER_A": number} if number else {})
    bought = sum(order.cum_quantity for order in truth.values())
    assert desk.host.book.holdings.quantities == ({("alice", "BTCUSDT"): bought} if bought else {})
    await desk.saved()
    kept_now = store.load()
    assert (kept_now.held if kept_now else {}) == desk.host.book.holdings.quantities
    await desk.kill()


async def test_a_store_of_the_schema_before_is_made_again_from_its_journal(tmp_path: Path) -> None:
    """`orders_schema_2.db` was written by a program of that schema, from the golden journal but for its last five commits."""
    log, head = MemoryLog(), GENESIS
    for payload in golden.payloads("0.1.0"):
        head = await MemoryJournal(log).append(payload, head)
    file = tmp_path / "orders.db"
    shutil.copy(OLD_STORE, file)
    before = {row[0]: row[1] for row in _rows(file, "SELECT order_id, status FROM orders")}
    book = OrderRepository(SqliteOrderStore(file))
    assert await book.recover(MemoryJournal(log)) == head
    orders = Orders()
    for payload in golden.payloads("0.1.0"):
        for event in ORDER_COMMITS.decode(payload).events:
            orders.apply(event)
    expected = orders.by_id
    assert before.keys() <= expected.keys(), "they are orders of this journal"
    for order_id, order in expected.items():
        assert bare(book.find(order_id)) == bare(order)
    assert await book._save(lambda: (head, 0))
    again = OrderRepository(SqliteOrderStore(file))
    assert await again.recover(MemoryJournal(log)) == head
    assert {order_id: bare(again.find(order_id)) for order_id in expected} == {
        order_id: bare(order) for order_id, order in expected.items()
    }
    assert _rows(file, "SELECT value FROM meta WHERE name = 'schema'") == [(str(SCHEMA),)]


def _rows(file: Path, question: str) -> list[tuple[str, ...]]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return connection.execute(question).fetchall()
