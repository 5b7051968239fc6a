"""The contract of places on the archive, and what an archive promises beside it.

On a directory, or on a server of S3 where TRADE_TEST_S3_URL names one.
"""

import contextlib
import os
import uuid
from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path

import pytest

from adapters.archive import ArchivedStream, commit_spans, commits_name, event_files, events_name
from adapters.archive_place import ArchivePlace
from adapters.journalcopy import Copied
from adapters.objects import Objects
from adapters.parquet_events import Partition, read
from domain.archive.checkpoint import Checkpoint, Message
from domain.archive.ports import ArchiveRow
from domain.archive.ranges import Span
from domain.ports import Corrupt, Fenced
from tests.archived import FIRST_DAY, ORDERS, VENUES, FakeStream, archive, messages_of, orders, rows
from tests.contracts import places
from tests.contracts.places import Fails, Shelf
from tests.contracts.test_market_objects import BUCKET, S3_KEYS, S3_URL

RANGE = 5
FULL_RANGES = (Span(5, 9).name, Span(10, 14).name)
RUN = uuid.uuid4().hex
FAILPOINTS = (*places.FAILPOINTS, "before_removal")


def objects_in(directory: Path) -> Objects:
    server = os.environ.get(S3_URL)
    if not server:
        return Objects.at(f"file://{directory}")
    keys = os.environ[S3_KEYS[0]], os.environ[S3_KEYS[1]]
    return Objects.at(f"s3://{os.environ.get(BUCKET, 'trade')}{directory}-{RUN}", endpoint=server, credentials=keys)


def shelf(directory: Path, stream: FakeStream | None = None, tails_max: int = 2) -> Shelf:
    stream, objects = stream or orders(18), objects_in(directory)

    def opened(fails: Fails) -> ArchivePlace:
        return ArchivePlace(objects, ORDERS, stream, fails, size=RANGE, tails_max=tails_max)

    async def held() -> Counter[Hashable]:
        """What a reader finds who takes the longest objects, and the files of events of the same ranges."""
        found: Counter[Hashable] = Counter()
        source, seen = ArchivedStream(objects, ORDERS), 0
        async with contextlib.aclosing(source.read()) as read_objects:
            async for span, there in read_objects:
                found.update(_identity(message) for message in there.messages if message.seq > seen)
                assert await _events_of(directory, span) == {message.seq for message in there.messages}
                seen = span.last
        return found

    def of_message(message: Message[Copied]) -> Sequence[ArchiveRow]:
        return rows([message.body])

    return Shelf(opened, held, of_message, lambda row: _identity(row.value), messages_of(stream))


def _identity(message: Copied) -> Hashable:
    return message.seq, message.id, message.chain, message.data


async def _events_of(directory: Path, span: Span) -> set[int]:
    objects = objects_in(directory)
    files = [file for file in await event_files(objects) if file.span == span]
    return {seq for file in files for seq in read(await objects.get(events_name(*file)))["seq"].to_pylist()}


async def test_delivered_twice(tmp_path: Path) -> None:
    await places.check_delivered_twice(shelf(tmp_path))


async def test_split_anywhere(tmp_path: Path) -> None:
    await places.check_split(shelf(tmp_path))


@pytest.mark.parametrize("failpoint", FAILPOINTS)
@pytest.mark.parametrize("times", [1, 2, 3])
async def test_killed_at(tmp_path: Path, failpoint: str, times: int) -> None:
    """MARKETDATA 4: crash between write and checkpoint."""
    await places.check_killed(shelf(tmp_path), failpoint, times)
    await _claimed(tmp_path)
    spans = await commit_spans(objects_in(tmp_path), ORDERS)
    assert {file.span for file in await event_files(objects_in(tmp_path))} == set(spans), "a crash leaves files without their commits"


async def test_two_at_once(tmp_path: Path) -> None:
    await places.check_two_at_once(shelf(tmp_path))


async def test_a_process_that_begins_again_keeps_its_claim_until_another_one_has_it(tmp_path: Path) -> None:
    """A pipeline claims again after the place was away. It must not take the place from the process that has it since."""
    stream, objects = orders(6), objects_in(tmp_path)
    first, second = (ArchivePlace(objects, ORDERS, stream, places.never, size=RANGE) for _ in range(2))
    await first.claim()
    await first.claim()
    await first.write(rows(stream.messages[:3]), Checkpoint())
    await second.claim()
    with pytest.raises(Fenced, match="writer 2, this one is 1"):
        await first.claim()
    await second.write(rows(stream.messages), Checkpoint())


async def _claimed(directory: Path, stream: FakeStream | None = None) -> Checkpoint:
    place = ArchivePlace(objects_in(directory), ORDERS, stream or orders(18), places.never, size=RANGE)
    return await place.claim()


async def test_however_the_writes_were_cut_full_ranges_have_the_same_bytes(tmp_path: Path) -> None:
    cuts: list[tuple[int, ...]] = [(), (1, 2, 3, 4, 6, 11, 12), tuple(range(1, 16))]
    directories = [tmp_path / str(number) for number, _ in enumerate(cuts)]
    for directory, cut in zip(directories, cuts, strict=True):
        await archive(objects_in(directory), orders(16), *cut, size=RANGE, tails_max=3)
    first, *others = [await _contents(directory) for directory in directories]
    full = {name: data for name, data in first.items() if Path(name).name.partition(".")[0] in FULL_RANGES}
    assert len(full) == 5  # two of commits; one of the ranges has events of two days
    for other in others:
        assert full.items() <= other.items()


async def _contents(directory: Path) -> dict[str, bytes]:
    objects = objects_in(directory)
    return {name: await objects.get(name) for folder in ("commits", "events") for name in await objects.names(folder)}


async def test_tails_become_one_object_when_they_are_many_and_when_their_range_is_full(tmp_path: Path) -> None:
    objects, stream = objects_in(tmp_path), orders(9)
    place = ArchivePlace(objects, ORDERS, stream, places.never, size=100, tails_max=4)
    await place.claim()
    for row in rows(stream.messages[:8]):
        await place.write([row], Checkpoint())
    assert await commit_spans(objects, ORDERS) == [Span(1, 5), Span(6, 6), Span(7, 7), Span(8, 8)]
    await place.write(rows(stream.messages[8:]), Checkpoint())
    assert await commit_spans(objects, ORDERS) == [Span(1, 9)]
    assert {file.span for file in await event_files(objects)} == {Span(1, 9)}


async def test_a_hole_is_filled_again_with_the_same_bytes(tmp_path: Path) -> None:
    objects, stream = objects_in(tmp_path), orders(18)
    await archive(objects, stream, size=RANGE)
    name = commits_name(ORDERS, Span(5, 9))
    there = await objects.get(name)
    await objects.delete([name])
    place = ArchivePlace(objects, ORDERS, stream, places.never)
    reached = await place.claim()
    assert (reached.holds(ORDERS, 0, 4), reached.holds(ORDERS, 0, 5)) == (True, False), "the checkpoint is before the hole"
    await place.write(rows(stream.messages), reached)
    assert await objects.get(name) == there
    assert (await place.checkpoint()).holds(ORDERS, 0, 18)


IN_THE_WAY = (commits_name(ORDERS, Span(5, 9)), events_name(Partition("0", FIRST_DAY), Span(1, 4)))


@pytest.mark.parametrize("name", IN_THE_WAY, ids=["commits", "events"])
async def test_a_damaged_object_in_the_way_is_named_and_left(tmp_path: Path, name: str) -> None:
    objects, stream = objects_in(tmp_path), orders(9)
    place = ArchivePlace(objects, ORDERS, stream, places.never, size=RANGE)
    await place.claim()
    await objects.put_new(name, b"damaged")
    with pytest.raises(Corrupt, match=f"has {name}, and it .*; if it is damaged, remove it"):
        await place.write(rows(stream.messages), Checkpoint())
    assert await objects.get(name) == b"damaged"


async def test_the_archive_of_another_journal_is_refused(tmp_path: Path) -> None:
    await archive(objects_in(tmp_path), orders(12), size=RANGE)
    with pytest.raises(Corrupt, match=r"another commit of oms\.journal\.0 at sequence 12"):
        await _claimed(tmp_path, orders(18, start=100))
    spans = await commit_spans(objects_in(tmp_path), ORDERS)
    assert spans == [Span(1, 4), Span(5, 9), Span(10, 12)], "nothing was changed"


async def test_a_journal_that_lost_its_tail_is_refused(tmp_path: Path) -> None:
    await archive(objects_in(tmp_path), orders(18), size=RANGE)
    with pytest.raises(Corrupt, match="up to sequence 18, and the stream ends at 12: the journal lost its tail"):
        await _claimed(tmp_path, orders(12))


async def test_a_message_that_does_not_follow_is_refused(tmp_path: Path) -> None:
    place = await archive(objects_in(tmp_path), orders(12), size=RANGE)
    with pytest.raises(Corrupt, match="does not verify"):
        await place.write(rows(orders(18, start=100).messages[12:]), Checkpoint())
    with pytest.raises(Corrupt, match="sequence 13 is missing, 14 follows 12"):
        await place.write(rows(orders(18).messages[13:]), Checkpoint())


async def test_a_claim_fences_a_writer_between_its_two_writes(tmp_path: Path) -> None:
    """MARKETDATA 4: two sinks at once."""
    stream, objects = orders(6), objects_in(tmp_path)
    place = ArchivePlace(objects, ORDERS, stream, places.never, size=RANGE)
    await place.claim()
    await place.write(rows(stream.messages[:3]), Checkpoint())
    await ArchivePlace(objects, ORDERS, stream, places.never, size=RANGE).claim()
    with pytest.raises(Fenced, match="another sink claimed the archive"):
        await place.write(rows(stream.messages[3:]), Checkpoint())
    assert await commit_spans(objects, ORDERS) == [Span(1, 3)]


async def test_a_stream_of_several_journals_and_with_foreign_messages_is_kept_whole(tmp_path: Path) -> None:
    stream = FakeStream(VENUES)
    for number in range(12):
        stream.put(f"venue.journal.{'AB'[number % 2]}", b"%d" % number)
        if number % 5 == 0:
            stream.put_foreign("venue.journal.A", b"who wrote this")
    place = await archive(objects_in(tmp_path), stream, 2, 3, 11, size=RANGE)
    source, found = ArchivedStream(objects_in(tmp_path), VENUES), list[Copied]()
    async with contextlib.aclosing(source.read()) as objects:
        async for _, there in objects:
            found += there.messages
    assert found == stream.messages
    assert source.chains.heads == stream.heads
    assert (await place.checkpoint()).holds(VENUES, 0, len(stream.messages))
