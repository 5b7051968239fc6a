"""An archive verified by itself: what a good one says, and that every damage is named."""

import gzip
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from obstore.store import LocalStore

from adapters import subjects
from adapters.archive import commits_folder, commits_name
from adapters.journalcopy import Copied
from adapters.objects import Objects
from apps.tools.archive import check
from apps.tools.archive.check import ArchiveCopy, EventsDiffer, StreamCheck, verify_archive
from apps.tools.archive.journal import ArchivedJournal
from apps.tools.verify.report import VerificationReport
from domain.archive.ranges import Span
from domain.ports import Corrupt, Head, Missing, Unavailable
from tests.archived import FIRST_DAY, ORDERS, SECOND_DAY, VENUES, FakeStream, archive, objects_in, orders

FULL, SECOND, TAIL = Span(1, 9), Span(10, 19), Span(20, 25)


def commits(directory: Path, span: Span) -> Path:
    return directory / commits_name(ORDERS, span)


def events(directory: Path, span: Span, day: str = FIRST_DAY) -> Path:
    return directory / f"events/shard=0/day={day}/{span.name}.parquet"


async def filled(directory: Path, stream: FakeStream | None = None) -> FakeStream:
    stream = stream or orders(25)
    await archive(objects_in(directory), stream)
    venues = FakeStream(VENUES)
    for number in range(15):
        venues.put(f"venue.journal.{'AB'[number % 2]}", b"%d" % number)
    await archive(objects_in(directory), venues)
    return stream


async def report(directory: Path) -> tuple[VerificationReport, list[str]]:
    lines: list[str] = []
    made = await verify_archive(objects_in(directory), lambda check: lines.append(check.line()))
    return made, lines


async def test_a_good_archive_says_what_it_holds(tmp_path: Path) -> None:
    await filled(tmp_path)
    made, lines = await report(tmp_path)
    assert (made.ok, made.complete, made.as_of_seq, made.first_difference) == (True, True, 25, None)
    assert lines == [
        "archive      OK: streams 2, objects 5, replaced 0, messages 40",
        "events       OK: files 4, rows 75",
        "journal      OK: commits 25, events 75, sequence 25",
        "orders       OK: orders 25, trades 0, positions 0",
    ]


async def test_what_a_crash_left_is_no_difference(tmp_path: Path) -> None:
    """A full range is written, and the tails that it replaces are not removed yet: overlapping objects that agree."""
    stream = await filled(tmp_path)
    other = tmp_path / "other"
    await archive(objects_in(other), FakeStreamOf(stream, 16), 12)
    for path in [*other.glob("commits/*/n=000000010*"), *other.glob("events/*/*/n=000000010*")]:
        target = tmp_path / path.relative_to(other)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    made, lines = await report(tmp_path)
    assert made.ok, made.first_difference
    assert (lines[0], lines[1]) == (
        "archive      OK: streams 2, objects 5, replaced 1, messages 40",
        "events       OK: files 4, rows 75, left over 1",
    )


class FakeStreamOf(FakeStream):
    """The first messages of a stream."""

    def __init__(self, stream: FakeStream, count: int) -> None:
        super().__init__(stream.stream)
        self.messages = stream.messages[:count]


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def exchanged(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


async def _of_another_journal(directory: Path, spans: list[Span]) -> None:
    """The objects of these ranges, and their events, are those of another journal."""
    other = directory / "another"
    await archive(objects_in(other), orders(25, price="51"))
    for span in spans:
        for path in other.rglob(f"{span.name}.*"):
            (directory / path.relative_to(other)).write_bytes(path.read_bytes())


HEADING = "streams/OMS_JOURNAL.json"
SHORT = Span(20, 24)
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped byte": (lambda to: flipped(commits(to, SECOND)), f"archive: commits/.*{SECOND.name}"),
    "a truncated object": (lambda to: cut(commits(to, SECOND)), f"archive: commits/.*{SECOND.name}"),
    "an empty object": (lambda to: commits(to, SECOND).write_bytes(b""), f"archive: commits/.*{SECOND.name}"),
    "an object of something else": (
        lambda to: commits(to, SECOND).write_bytes(gzip.compress(b"{}")),
        f"archive: commits/.*{SECOND.name}.*it cannot be decompressed",
    ),
    "a removed object": (lambda to: commits(to, SECOND).unlink(), "archive: commits/.*no object holds sequences 10-19"),
    "the first object removed": (lambda to: commits(to, FULL).unlink(), "archive: commits/.*no object holds sequences 1-9"),
    "an exchanged object": (
        lambda to: exchanged(commits(to, FULL), commits(to, SECOND)),
        f"archive: commits/.*{FULL.name}.*it holds sequences 10-19 of OMS_JOURNAL",
    ),
    "an object under another name": (lambda to: commits(to, TAIL).rename(commits(to, SHORT)), "it holds sequences 20-25 of OMS_JOURNAL"),
    "a strange name": (lambda to: commits(to, TAIL).rename(commits(to, TAIL).with_name("tail.zst")), "archive: .*tail.zst is no name"),
    "the heading removed": (lambda to: (to / HEADING).unlink(), f"archive: .*{HEADING} does not exist"),
    "the heading of another": (lambda to: (to / HEADING).write_bytes(b"{}"), f"archive: {HEADING} cannot be read"),
    "a flipped byte in Parquet": (lambda to: flipped(events(to, FULL)), f"events: events/.*{FULL.name}"),
    "a truncated Parquet": (lambda to: cut(events(to, FULL)), f"events: events/.*{FULL.name}.*no complete Parquet file"),
    "a removed Parquet": (
        lambda to: events(to, SECOND, SECOND_DAY).unlink(),
        f"events: events/.*{SECOND_DAY}.*is missing: it has 21 events",
    ),
    "an exchanged Parquet": (
        lambda to: exchanged(events(to, FULL), events(to, SECOND)),
        f"events: events/.*{FULL.name}.* has 9 rows, its commits have 27 events",
    ),
    "the last commits lost": (lambda to: commits(to, TAIL).unlink(), "events: .*has events behind the last commit, 19"),
}


@pytest.mark.parametrize("name", DAMAGES)
async def test_damage_is_named(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "WRITE_MAX_S", 0.0)  # no sink runs: no write is waited for
    damage, named = DAMAGES[name]
    await filled(tmp_path)
    damage(tmp_path)
    made, lines = await report(tmp_path)
    assert not made.ok
    assert made.first_difference is not None
    assert re.search(named, made.first_difference), made.first_difference
    assert any("DIFFERENT" in line for line in lines)
    with pytest.raises(Corrupt, match=re.escape(made.first_difference.partition(": ")[2])):
        await ArchiveCopy(objects_in(tmp_path)).verified()


@pytest.mark.parametrize("name", [name for name, (_, named) in DAMAGES.items() if named.startswith("events")])
async def test_commits_are_restored_without_their_rows_if_that_is_wanted(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sink that was killed between events and commits, on a machine that is gone, leaves such an archive: all commits are good."""
    monkeypatch.setattr(check, "WRITE_MAX_S", 0.0)
    stream = await filled(tmp_path)
    DAMAGES[name][0](tmp_path)
    with pytest.raises(EventsDiffer):
        await ArchiveCopy(objects_in(tmp_path)).verified()
    copy = ArchiveCopy(objects_in(tmp_path), rows=False)
    heads = await copy.verified()
    found = [message async for name, messages in copy.messages() if name == ORDERS for message in messages]
    assert found == stream.messages[: heads[ORDERS][subjects.order_subject(0)].seq]
    assert len(found) == (19 if name == "the last commits lost" else 25)


async def test_damaged_commits_are_never_restored(tmp_path: Path) -> None:
    await filled(tmp_path)
    flipped(tmp_path / commits_name(VENUES, Span(1, 9)))
    cut(events(tmp_path, FULL))
    for rows in (True, False):
        with pytest.raises(Corrupt, match=re.escape(commits_name(VENUES, Span(1, 9)))):
            await ArchiveCopy(objects_in(tmp_path), rows=rows).verified()


@pytest.mark.parametrize("spans", [[SECOND], [TAIL], [FULL]])
async def test_objects_of_another_journal_are_named(tmp_path: Path, spans: list[Span]) -> None:
    """Each object verifies by itself. The chain shows that they do not belong together."""
    await filled(tmp_path)
    await _of_another_journal(tmp_path, spans)
    made, _ = await report(tmp_path)
    assert made.first_difference is not None
    following = {FULL: SECOND, SECOND: SECOND, TAIL: TAIL}[spans[0]]
    assert f"{following.name}.jsonl.zst does not follow the objects before it" in made.first_difference


async def test_an_overlapping_tail_with_other_commits_is_named(tmp_path: Path) -> None:
    """Readers take the longer object; the shorter one shows that two journals were archived here."""
    await filled(tmp_path)
    other = tmp_path / "other"
    await archive(objects_in(other), FakeStreamOf(orders(25, price="51"), 12))
    strange = commits(other, Span(10, 12))
    strange.rename(tmp_path / strange.relative_to(other))
    made, _ = await report(tmp_path)
    assert made.first_difference is not None
    assert f"{Span(10, 12).name}.jsonl.zst has other messages than" in made.first_difference


class ObjectsOfARunningSink(Objects):
    """A directory into which a sink writes while it is read: `writes` has what it does at each list of a folder, until it is done."""

    writes: dict[str, list[Callable[[], Awaitable[object]]]]

    async def names(self, folder: str, after: str = "") -> list[str]:
        if waiting := self.writes.get(folder):
            await waiting.pop(0)()
        return await super().names(folder, after)


def written_meanwhile(directory: Path, writes: dict[str, list[Callable[[], Awaitable[object]]]]) -> ObjectsOfARunningSink:
    objects = ObjectsOfARunningSink(LocalStore(prefix=directory), f"file://{directory}")
    objects.writes = writes
    return objects


async def test_what_a_running_sink_writes_meanwhile_is_no_loss(tmp_path: Path) -> None:
    """The commits are read, then the sink adds a tail: its events are behind the last commit that was read."""
    await filled(tmp_path, FakeStreamOf(orders(40), 25))
    objects = written_meanwhile(tmp_path, {"events": [lambda: archive(objects_in(tmp_path), orders(40))]})
    made = await verify_archive(objects, lambda line: None)
    assert (made.ok, made.first_difference, objects.writes) == (True, None, {"events": []})


async def test_the_commits_of_a_file_of_events_are_waited_for(tmp_path: Path) -> None:
    """The sink has written the events, and writes their commits when the verification looks for them."""
    await filled(tmp_path)
    under_way = tmp_path / "under way"
    commits(tmp_path, TAIL).rename(under_way)

    async def nothing() -> None: ...

    async def writes() -> None:
        under_way.rename(commits(tmp_path, TAIL))

    # listed at the start, by the reader of the chain, and then for the file of events: twice, until they are there
    objects = written_meanwhile(tmp_path, {commits_folder(ORDERS): [nothing, nothing, nothing, writes]})
    made = StreamCheck(objects, ORDERS, lambda done: None)
    await made.run()
    assert (made.seq, made.found_in_events, made.left_over) == (19, "", 0)
    assert not under_way.exists()


async def test_damage_of_one_stream_does_not_hide_that_of_the_events(tmp_path: Path) -> None:
    await filled(tmp_path)
    flipped(tmp_path / commits_name(VENUES, Span(1, 9)))
    cut(events(tmp_path, FULL))
    _, lines = await report(tmp_path)
    assert [line.partition(":")[0] for line in lines] == [
        "archive      DIFFERENT",
        "events       DIFFERENT",
        "journal      OK",
        "orders       OK",
    ]


async def test_where_there_is_no_archive_the_answer_says_so(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="there is no archive of an order journal at file://"):
        await report(tmp_path)
    venues = FakeStream(VENUES)
    venues.put("venue.journal.A", b"1")
    await archive(objects_in(tmp_path), venues)
    with pytest.raises(Unavailable, match="there is no archive of an order journal"):
        await report(tmp_path)


async def test_a_copy_has_every_message_once_and_the_bounds_of_the_streams(tmp_path: Path) -> None:
    stream = await filled(tmp_path, FakeStreamOf(orders(40), 25))
    copy = ArchiveCopy(objects_in(tmp_path))
    heads = await copy.verified()
    assert heads[ORDERS] == {subjects.order_subject(0): Head(25, 25, stream.messages[-1].chain)}
    assert set(heads[VENUES]) == {"venue.journal.A", "venue.journal.B"}
    await archive(objects_in(tmp_path), orders(40))  # the sink writes on while the copy is restored
    found: dict[str, list[Copied]] = {}
    async for name, messages in copy.messages():
        found.setdefault(name, []).extend(messages)
    assert found[ORDERS] == stream.messages
    assert [message.seq for message in found[VENUES]] == list(range(1, 16))
    assert await copy.max_bytes() == {ORDERS: 2**20, VENUES: 2**20}


async def test_an_archived_journal_is_read_like_the_journal(tmp_path: Path) -> None:
    stream, subject = orders(12), subjects.order_subject(0)
    stream.put_foreign(subject, b"first")
    stream.put_foreign(subject, b"second")
    await filled(tmp_path, stream)
    journal = ArchivedJournal(objects_in(tmp_path), ORDERS, subject)
    head = await journal.head()
    assert head == stream.heads[subject]
    assert [each.seq for each in await journal.foreign(head)] == [13, 14]
    assert [entry.head.seq async for batch in journal.follow(Head(5), until=11) for entry in batch] == list(range(6, 12))
    entry = await journal.read(7)
    assert entry is not None
    assert entry.payload == stream.messages[6].payload
    assert await journal.read(13) is None
    made, _ = await report(tmp_path)
    assert made.first_difference is not None
    assert "foreign at 13-14" in made.first_difference, "no operator skipped them: a difference, as in trade verify"
