"""The contract of places, on the place in memory; and that its checks find planted bugs."""

import asyncio
from collections import Counter
from collections.abc import Hashable, Sequence

import pytest

from adapters.clock import SystemClock
from adapters.memory_places import MemoryPlace, MemoryShelf
from apps.sink.pipeline import FlushBounds, Pipeline
from domain.archive.checkpoint import EPOCHS_KEPT, Checkpoint, Message, Reached
from domain.archive.ports import ArchiveRow, RowsRefused
from tests.contracts import places
from tests.contracts.places import Fails, Shelf

MESSAGES = [
    Message(part=part, epoch=epoch, n=n, body=[f"{part} {epoch} {n} {i}" for i in range(n % 3)])
    for epoch, n in ((1, 1), (1, 2), (2, 5), (1, 4), (2, 7), (2, 8))
    for part in ("trades.A", "trades.B")
]
HISTORIES = 5
REFUSABLE = Message(part="trades.C", epoch=1, n=1, body=["refused"])


def rows(message: Message[list[str]]) -> list[ArchiveRow]:
    return [ArchiveRow("lines", message.part, message.epoch, message.n, i, line) for i, line in enumerate(message.body)]


class Strict(MemoryPlace):
    """Refuses the row "refused"."""

    async def write(self, rows: Sequence[ArchiveRow], checkpoint: Checkpoint) -> None:
        if refused := [(row, "not this one") for row in rows if row.value == "refused"]:
            raise RowsRefused(refused)
        await super().write(rows, checkpoint)


class CheckpointFirst(MemoryPlace):
    """Planted bug: the checkpoint is stored before the rows."""

    async def write(self, rows: Sequence[ArchiveRow], checkpoint: Checkpoint) -> None:
        self._shelf.checkpoint = checkpoint
        self._fails("after_rows")
        await super().write(rows, checkpoint)


class Unfenced(MemoryPlace):
    """Planted bug: every writer is taken for the owner."""

    async def write(self, rows: Sequence[ArchiveRow], checkpoint: Checkpoint) -> None:
        self._owner = self._shelf.owner
        await super().write(rows, checkpoint)


def shelf(place: type[MemoryPlace] = Strict, stored: MemoryShelf | None = None) -> Shelf:
    kept = stored or MemoryShelf()

    async def held() -> Counter[Hashable]:
        return Counter((row.origin, row.value) for row in kept.rows.values())

    def opened(fails: Fails) -> MemoryPlace:
        return place(kept, fails)

    return Shelf(opened, held, rows, lambda row: (row.origin, row.value), MESSAGES, REFUSABLE)


async def test_delivered_twice() -> None:
    await places.check_delivered_twice(shelf())


async def test_split_anywhere() -> None:
    await places.check_split(shelf())


@pytest.mark.parametrize("failpoint", places.FAILPOINTS)
async def test_killed_at(failpoint: str) -> None:
    for times in (1, 2, 3):
        await places.check_killed(shelf(), failpoint, times)


@pytest.mark.parametrize("seed", range(HISTORIES))
async def test_any_history_of_lives(seed: int) -> None:
    await places.check_any_history(shelf(), seed)


async def test_two_at_once() -> None:
    await places.check_two_at_once(shelf())


async def test_a_refused_row_goes_aside() -> None:
    await places.check_refused_goes_aside(shelf())


async def test_killed_after_a_letter_the_row_has_one_letter() -> None:
    one = shelf()
    log = places.numbered([*MESSAGES[:4], REFUSABLE, *MESSAGES[4:]])
    with pytest.raises(places.Killed):
        await places.moved(one, places.ListSource(log), fails=places.kills_at("after_aside", 1))
    await places.moved(one, places.ListSource(log))
    await places.check_once_each(one)
    assert one.letters.counts() == {"under test": 1}


async def test_a_checkpoint_before_its_rows_is_found() -> None:
    with pytest.raises(AssertionError, match="the checkpoint is ahead"):
        await places.check_killed(shelf(CheckpointFirst), "after_rows", 3)


async def test_a_place_without_a_fence_is_found() -> None:
    with pytest.raises(AssertionError, match="still writes"):
        await places.check_two_at_once(shelf(Unfenced))


async def test_a_key_without_the_venue_is_found() -> None:
    stored = MemoryShelf(lambda row: (row.table, row.epoch, row.n, row.i))
    with pytest.raises(AssertionError, match="missing"):
        await places.check_delivered_twice(shelf(stored=stored))


async def test_a_key_of_the_delivery_is_found() -> None:
    stored = MemoryShelf(lambda row: object())
    with pytest.raises(AssertionError, match="held twice"):
        await places.check_killed(shelf(stored=stored), "after_rows")


def test_an_old_epoch_is_held_once_enough_newer_ones_are_known() -> None:
    progress = Reached(Checkpoint())
    for epoch in range(1, EPOCHS_KEPT + 2):
        assert progress.advance(Message(part="a", epoch=epoch, n=9, body=None))
    reached = progress.checkpoint()
    assert [reached.holds("a", epoch, 9) for epoch in (1, 2, EPOCHS_KEPT + 1)] == [True, True, True]
    assert not progress.advance(Message(part="a", epoch=1, n=10, body=None))
    assert progress.advance(Message(part="a", epoch=2, n=10, body=None))
    assert not reached.holds("a", 2, 10), "a checkpoint does not change"


def test_a_sequence_that_comes_again_skips_nothing() -> None:
    """MARKETDATA 4: after a power cut the stream's numbers come again, with other messages."""
    progress = Reached(Checkpoint())
    progress.advance(Message(part="a", epoch=1, n=7, body=None, seq=100))
    assert progress.advance(Message(part="a", epoch=2, n=1, body=None, seq=99))
    assert not progress.advance(Message(part="a", epoch=1, n=7, body=None, seq=98))


async def test_while_the_place_is_away_the_lag_is_known_and_nothing_is_lost() -> None:
    """MARKETDATA 4: a place is away. The sink waits, its lag is a metric, and it catches up without loss or doubles."""
    stored = MemoryShelf()
    one, source = shelf(stored=stored), places.ListSource(places.numbered(MESSAGES))
    stored.away, source.behind = True, 0
    pipeline = Pipeline("away", source, rows, one.open(places.never), one.letters, SystemClock(), bounds=FlushBounds(rows=3, wait_s=0))
    running = asyncio.create_task(pipeline.run())
    async with asyncio.timeout(60):
        while source.behind != len(MESSAGES):
            await asyncio.sleep(0.001)
        assert pipeline.trouble == "the place is away"
        stored.away = False
        while source.behind or pipeline.held or pipeline.trouble:
            await asyncio.sleep(0.001)
    running.cancel()
    await places.check_once_each(one)
