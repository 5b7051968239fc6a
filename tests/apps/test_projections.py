"""The two projections on fakes that misbehave in ways which real servers do only sometimes."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from adapters.codec import ORDER_COMMITS, Commit
from adapters.memory import MemoryFills, MemoryJournal, MemoryPositions
from apps.projector import fills as filling
from apps.projector.fills import FillsProjection
from apps.projector.positions import STORE_POSITIONS_MAX, PositionsProjection
from apps.projector.projection_loop import Projection, ProjectionLoop, StartOver
from domain.order import events as e
from domain.ports import Corrupt, Head, Unavailable
from domain.position.position import Position
from tests.contracts.facts import AT, filled, submitted


class Told:
    """Who listens to position updates; may be out of reach."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str, int]] = []
        self.deaf = False

    async def publish(self, subject: str, payload: bytes) -> None:
        if self.deaf:
            raise Unavailable("no listener")
        said = msgspec.json.decode(payload)
        assert subject == f"positions.{said['account']}"
        self.messages.append((said["account"], str(said["quantity"]), said["seq"]))


class ForgetfulPositions(MemoryPositions):
    """Stores, and then may lose its answer."""

    answers_to_lose = 0

    async def store(self, changed: Iterable[Position], *, after: int, seq: int) -> bool:
        stored = await super().store(changed, after=after, seq=seq)
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            raise Unavailable("no answer", unknown=True)
        return stored


class SlowFills(MemoryFills):
    """Writes when it is let, and remembers how much came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()
        self.sizes: list[int] = []

    async def write(self, rows: Any) -> None:
        await self.let.wait()
        self.sizes.append(len(rows))
        await super().write(rows)


async def commit(journal: MemoryJournal, *events: e.OrderEvent) -> Head:
    head = await journal.head()
    return await journal.append(ORDER_COMMITS.encode(0, head.n + 1, events), head)


@asynccontextmanager
async def kept(journal: MemoryJournal, projection: Projection) -> AsyncIterator[ProjectionLoop]:
    keeper = ProjectionLoop(journal, projection, wait_s=0)
    task = asyncio.create_task(keeper.run())
    yield keeper
    task.cancel()
    await asyncio.wait([task])


async def reached(projection: Projection, seq: int) -> None:
    async with asyncio.timeout(120):
        while projection.seq != seq:
            await asyncio.sleep(0.005)


async def test_an_answer_that_was_lost_is_found_out_and_the_change_told_once() -> None:
    journal, store, told = MemoryJournal(), ForgetfulPositions(), Told()
    projection = PositionsProjection(store, told.publish, dict[str, str]().get)
    async with kept(journal, projection) as keeper:
        await commit(journal, filled("E1"))
        await reached(projection, 1)
        store.answers_to_lose = 1
        await commit(journal, filled("E2"))
        await reached(projection, 2)
        await commit(journal, filled("E3"))
        await reached(projection, 3)
        assert told.messages == [("alice", "1", 1), ("alice", "2", 2), ("alice", "3", 3)]
        assert keeper.starts == 2


async def test_what_could_not_be_announced_is_announced_later_and_as_it_is_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.projector.positions.CHECK_EVERY_S", 0.02)
    journal, told = MemoryJournal(), Told()
    projection = PositionsProjection(MemoryPositions(), told.publish, dict[str, str]().get)
    async with kept(journal, projection):
        await commit(journal, filled("E0", account="carol"))
        await reached(projection, 1)
        told.deaf = True
        await commit(journal, filled("E1"), filled("E2", account="bob"))
        await commit(journal, filled("E3"))
        await reached(projection, 3)
        told.deaf = False
        async with asyncio.timeout(120):
            while len(told.messages) < 3:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        assert sorted(told.messages) == [("alice", "2", 3), ("bob", "1", 2), ("carol", "1", 1)]
        await commit(journal, filled("E4"))
        await reached(projection, 4)
        assert told.messages[3:] == [("alice", "3", 4)]


async def test_history_is_not_published_after_a_restart() -> None:
    journal, store, told = MemoryJournal(), MemoryPositions(), Told()
    first = PositionsProjection(store, Told().publish, dict[str, str]().get)
    async with kept(journal, first):
        await commit(journal, filled("E1"))
        await reached(first, 1)
    second = PositionsProjection(store, told.publish, dict[str, str]().get)
    async with kept(journal, second):
        await commit(journal, submitted("O9"))
        await reached(second, 2)
        assert told.messages == []


async def test_a_second_writer_makes_us_start_over_from_what_the_store_holds() -> None:
    store = MemoryPositions()
    projection = PositionsProjection(store, Told().publish, dict[str, str]().get)
    assert await projection.begin() == 0
    await store.store([], after=0, seq=7)
    with pytest.raises(StartOver, match="is not at 0"):
        await projection.apply([(1, Commit(1, 0, 1, (filled("E1"),)))])
    assert await projection.begin() == 7


async def test_a_batch_that_changes_very_many_positions_is_cut_between_commits() -> None:
    store = MemoryPositions()
    projection = PositionsProjection(store, Told().publish, dict[str, str]().get)
    await projection.begin()
    each = STORE_POSITIONS_MAX // 2 + 1
    trades = [tuple(filled(f"E{n}-{k}", account=f"a{n}-{k}") for k in range(each)) for n in range(5)]
    await projection.apply([(n + 1, Commit(1, 0, n + 1, trades[n])) for n in range(5)])
    assert (store.seq, len(store.positions), projection.stored) == (5, 5 * each, 5 * each)


async def test_rows_wait_for_a_batch_or_a_moment_and_a_commit_is_not_cut() -> None:
    journal, store = MemoryJournal(), SlowFills()
    store.let.set()
    projection = FillsProjection(store, batch_rows=4, flush_s=0.05)
    async with kept(journal, projection):
        await commit(journal, filled("E1"))
        await reached(projection, 1)
        assert store.sizes == [1], "a moment has passed"
        store.let.clear()
        for n in range(20):
            await commit(journal, *(filled(f"F{n}-{k}") for k in range(3)))
        await asyncio.sleep(0.1)
        store.let.set()
        await reached(projection, 21)
    assert all(size % 3 == 0 for size in store.sizes[1:]), store.sizes
    assert max(store.sizes) <= filling.WRITE_BATCHES_MAX * 4 + 2
    assert len(store.fill_rows) == 61


async def test_a_store_that_does_not_keep_up_stops_the_reading_and_loses_nothing() -> None:
    journal, store = MemoryJournal(), SlowFills()
    projection = FillsProjection(store, batch_rows=2, flush_s=0.01)
    commits = 10 * filling.BATCHES_HELD_MAX
    async with kept(journal, projection):
        for n in range(commits):
            await commit(journal, filled(f"E{n}"))
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert projection.held < commits // 2, "the rest is where it is safe, in the journal"
        assert projection.seq == 0
        store.let.set()
        await reached(projection, commits)
    assert len(store.fill_rows) == commits


async def test_a_store_that_was_emptied_is_noticed_when_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "CHECK_EVERY_S", 0.02)
    monkeypatch.setattr(filling, "LOOK_AGAIN_S", 0.001)
    journal, store = MemoryJournal(), MemoryFills()
    projection = FillsProjection(store, batch_rows=10, flush_s=0.01)
    async with kept(journal, projection) as keeper:
        await commit(journal, filled("E1"))
        await reached(projection, 1)
        await asyncio.sleep(0.05)
        store.event_rows.clear()
        store.fill_rows.clear()
        async with asyncio.timeout(120):
            while not store.fill_rows:
                await asyncio.sleep(0.005)
        assert keeper.starts == 2


async def test_a_store_that_was_emptied_and_filled_on_is_noticed_and_filled_from_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    # FAILURES 24
    monkeypatch.setattr(filling, "CHECK_EVERY_S", 0.2)
    monkeypatch.setattr(filling, "LOOK_AGAIN_S", 0.001)
    journal, store = MemoryJournal(), MemoryFills()
    projection = FillsProjection(store, batch_rows=10, flush_s=0.001)
    async with kept(journal, projection) as keeper:
        await commit(journal, submitted("O1"), filled("E1"))
        await reached(projection, 1)
        store.event_rows.clear()
        store.fill_rows.clear()
        await commit(journal, filled("E2"))
        async with asyncio.timeout(120):
            while len(store.fill_rows) < 2:
                await commit(journal, submitted("O2"))
                await asyncio.sleep(0.005)
        assert keeper.starts == 2
    assert {seq for seq, _ in store.event_rows} >= {1, 2}


async def test_a_store_of_trades_that_was_emptied_alone_is_noticed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "CHECK_EVERY_S", 0.02)
    monkeypatch.setattr(filling, "LOOK_AGAIN_S", 0.001)
    journal, store = MemoryJournal(), MemoryFills()
    async with kept(journal, projection := FillsProjection(store, batch_rows=10, flush_s=0.001)):
        await commit(journal, submitted("O1"), filled("E1"))
        await reached(projection, 1)
        store.fill_rows.clear()
        async with asyncio.timeout(120):
            while not store.fill_rows:
                await asyncio.sleep(0.005)


@pytest.mark.parametrize("of", ["fills", "positions"])
async def test_a_store_that_was_made_from_another_journal_is_not_continued(of: str) -> None:
    # FAILURES 13
    journals = MemoryJournal(), MemoryJournal()
    for number, journal in enumerate(journals):
        for n in range(3):
            await commit(journal, filled(f"E{n}", at=AT + number * 1_000_000))
    fills, positions = MemoryFills(), MemoryPositions()

    def projection() -> Projection:
        return (
            FillsProjection(fills, batch_rows=10, flush_s=0.001)
            if of == "fills"
            else PositionsProjection(positions, Told().publish, dict[str, str]().get)
        )

    first = projection()
    async with kept(journals[0], first):
        await reached(first, 3)
    with pytest.raises(Corrupt, match=f"the store of {of} has data of sequence 3 that is not in the journal there"):
        await asyncio.wait_for(ProjectionLoop(journals[1], projection(), wait_s=0).run(), 120)
    again = projection()
    async with kept(journals[0], again):
        await reached(again, 3)


async def test_trouble_is_waited_out_and_shown_to_callers_and_the_lag_is_measured_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.projector.projection_loop.MEASURE_EVERY_S", 0.02)
    journal, store = MemoryJournal(), MemoryFills()
    store.down = True
    projection = FillsProjection(store, batch_rows=10, flush_s=0.01)
    async with kept(journal, projection) as keeper:
        for n in range(3):
            await commit(journal, filled(f"E{n}"))
        async with asyncio.timeout(120):
            while keeper.lag != 3:
                await asyncio.sleep(0.005)
        assert await keeper.behind() == "fills are down"
        store.down = False
        await reached(projection, 3)
        assert (await keeper.behind(), keeper.lag) == (None, 0)
