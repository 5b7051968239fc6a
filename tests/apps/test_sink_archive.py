"""The archive as pipelines: an archive that does not fit waits and says why; orders are never ahead of the venues."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from adapters.archive import commit_spans, commits_name
from adapters.archive_place import ArchivePlace
from adapters.clock import SystemClock
from adapters.memory_places import MemoryDeadLetters, MemoryPlace, MemoryShelf
from apps.sink.archive import ArchivePipeline, BehindPlace
from apps.sink.archive import rows as one_row
from apps.sink.pipeline import FlushBounds, Pipeline
from domain.archive.checkpoint import Checkpoint
from domain.archive.ports import Place
from domain.archive.ranges import Span
from tests.archived import ORDERS, VENUES, FakeStream, archive, messages_of, objects_in, orders, rows
from tests.contracts.places import ListSource, never

WITHIN_S = 60.0


def pipeline_of(stream: FakeStream, place: Place) -> ArchivePipeline:
    bounds = FlushBounds(rows=5, wait_s=0.0)
    source = ListSource(messages_of(stream))
    made = ArchivePipeline("archive", source, one_row, place, MemoryDeadLetters(), SystemClock(), bounds=bounds, fails=never)
    made.retry_s = 0.01
    return made


@contextlib.asynccontextmanager
async def running(pipeline: Pipeline) -> AsyncIterator[None]:
    task = asyncio.create_task(pipeline.run())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + WITHIN_S
    while not holds():
        assert loop.time() < end
        await asyncio.sleep(0.005)


async def test_an_archive_of_another_journal_waits_and_says_why(tmp_path: Path) -> None:
    await archive(objects_in(tmp_path), orders(12))
    stream = orders(25, start=100)
    pipeline = pipeline_of(stream, ArchivePlace(objects_in(tmp_path), ORDERS, stream, never))
    async with running(pipeline):
        await until(lambda: "has another commit of oms.journal.0 at sequence 12 than the journal" in pipeline.trouble)
    assert await commit_spans(objects_in(tmp_path), ORDERS) == [Span(1, 9), Span(10, 12)]


async def test_an_object_that_was_corrected_is_found_without_a_restart(tmp_path: Path) -> None:
    objects, stream = objects_in(tmp_path), orders(25)
    name = commits_name(ORDERS, Span(10, 19))
    await objects.put_new(name, b"damaged")
    pipeline = pipeline_of(stream, ArchivePlace(objects, ORDERS, stream, never, size=10))
    async with running(pipeline):
        await until(lambda: f"has {name}, and it cannot be decompressed" in pipeline.trouble)
        await objects.delete([name])
        await until(lambda: pipeline.checkpoint.holds(ORDERS, 0, 25))


async def test_orders_are_written_only_when_the_venues_have_reached_their_end() -> None:
    venues, shelf = FakeStream(VENUES), MemoryShelf()
    for number in range(4):
        venues.put("venue.journal.A", b"%d" % number)
    ahead = pipeline_of(venues, MemoryPlace(MemoryShelf(), never))
    place = BehindPlace(MemoryPlace(shelf, never), ahead, venues, VENUES)
    await place.claim()
    ahead.checkpoint = Checkpoint({VENUES: {0: 3}})
    writing = asyncio.create_task(place.write(rows(orders(1).messages), Checkpoint()))
    await asyncio.sleep(0)
    assert not shelf.rows
    async with running(ahead):
        await writing
    assert ahead.checkpoint.holds(VENUES, 0, 4)
    assert len(shelf.rows) == 1
