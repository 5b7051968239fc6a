"""A follower applies each commit once, in order, whatever happens to the journal; and a journal that does not verify ends it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.chain import following
from adapters.codec import CommitCodec
from adapters.memory import MemoryJournal, MemoryLog
from apps.journal import subscription as follower_module
from apps.journal.subscription import Applied, JournalSubscription, NotApplied
from domain.ports import Corrupt, Head, JournalEntry, Unavailable
from tests.apps.held_journal import until, within

TEXTS: CommitCodec[str] = CommitCodec(str)


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(follower_module, "RETRY_MAX_S", 0.002)


class Cut(MemoryJournal):
    """A reading that breaks after this many commits, each time, and hands out at most two at a time."""

    def __init__(self, log: MemoryLog, breaks_after: Sequence[int] = ()) -> None:
        super().__init__(log)
        self._breaks = list(breaks_after)
        self.readings: list[int] = []

    async def follow(self, after: Head, *, until: int | None = None) -> AsyncGenerator[Sequence[JournalEntry]]:
        self.readings.append(after.seq)
        left = self._breaks.pop(0) if self._breaks else None
        async with contextlib.aclosing(super().follow(after, until=until)) as batches:
            async for batch in batches:
                for begin in range(0, len(batch), 2):
                    some = batch[begin : begin + 2]
                    if left is not None and left < len(some):
                        raise Unavailable("the reading broke")
                    left = None if left is None else left - len(some)
                    yield some


class Reader:
    """A follower and what it applied."""

    def __init__(self, journal: MemoryJournal, after: Head | None = None) -> None:
        self.applied: list[tuple[int, tuple[str, ...]]] = []
        self.follower = JournalSubscription(journal, TEXTS, self._apply, after=after or Head(), wait_s=0)
        self.task = asyncio.create_task(self.follower.run())

    def _apply(self, commits: Applied[str]) -> None:
        self.applied += [(seq, commit.events) for seq, commit in commits]

    @property
    def seqs(self) -> list[int]:
        return [seq for seq, _ in self.applied]


@contextlib.asynccontextmanager
async def reader(journal: MemoryJournal, after: Head | None = None) -> AsyncIterator[Reader]:
    made = Reader(journal, after)
    try:
        yield made
    finally:
        made.task.cancel()
        await asyncio.gather(made.task, return_exceptions=True)


def write(log: MemoryLog, count: int) -> None:
    for _ in range(count):
        last = log.commits[-1][0] if log.commits else Head()
        payload = TEXTS.encode(0, last.n + 1, [f"event {last.n + 1}"])
        log.store(Head(last.seq + 1, last.n + 1, following(last, payload)), payload)


async def test_what_is_there_and_what_comes_later_is_applied_in_order() -> None:
    log = MemoryLog()
    write(log, 3)
    async with reader(MemoryJournal(log)) as r:
        await within(r.follower.wait_for(3))
        write(log, 2)
        await within(r.follower.wait_for(5))
        assert r.applied == [(n, (f"event {n}",)) for n in range(1, 6)]
        assert r.follower.head == log.commits[-1][0]


async def test_it_begins_behind_the_place_it_was_given() -> None:
    log = MemoryLog()
    write(log, 3)
    async with reader(MemoryJournal(log), after=log.commits[1][0]) as r:
        await within(r.follower.wait_for(3))
        assert r.seqs == [3]


async def test_after_trouble_it_continues_where_it_stopped() -> None:  # FAILURES 8
    log = MemoryLog()
    write(log, 7)
    journal = Cut(log, breaks_after=[4, 0, 2])
    async with reader(journal) as r:
        await within(r.follower.wait_for(7))
        assert journal.readings == [0, 4, 4, 6]
        assert r.seqs == [1, 2, 3, 4, 5, 6, 7]


async def test_while_the_journal_is_away_it_is_not_caught_up_and_comes_back() -> None:
    log = MemoryLog()
    write(log, 2)
    log.down = True
    async with reader(MemoryJournal(log)) as r:
        await asyncio.sleep(0.02)
        assert not r.follower.caught_up
        log.down = False
        await until(lambda: r.follower.caught_up)
        assert r.seqs == [1, 2]
        log.down = True
        write(log, 1)
        await until(lambda: not r.follower.caught_up)
        log.down = False
        await until(lambda: r.follower.caught_up)
        assert r.seqs == [1, 2, 3]


async def test_it_is_caught_up_when_it_has_what_was_there_at_the_beginning() -> None:
    log = MemoryLog()
    write(log, 4)
    holding = asyncio.Event()

    async def slowly(commits: Applied[str]) -> None:
        await holding.wait()

    follower = JournalSubscription(MemoryJournal(log), TEXTS, slowly, after=Head(), wait_s=0)
    task = asyncio.create_task(follower.run())
    await until(lambda: follower.target == 4)
    write(log, 1)
    assert not follower.caught_up
    holding.set()
    await until(lambda: follower.caught_up)
    assert [follower.is_past(seq) for seq in (1, 4, 5)] == [True, True, False]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_second_reading_does_not_make_the_present_past() -> None:
    """Who sends what it reads must not take the first reading's news for history, nor history for news."""
    log = MemoryLog()
    write(log, 2)
    journal = Cut(log, breaks_after=[2, 4])
    async with reader(journal) as r:
        await within(r.follower.wait_for(2))
        write(log, 5)
        await within(r.follower.wait_for(7))
        assert len(journal.readings) > 1, "it never came back: it proves nothing"
        assert [r.follower.is_past(seq) for seq in (2, 3, 7)] == [True, False, False]


@pytest.mark.parametrize("what", ["a byte", "a hole"])
async def test_a_journal_that_does_not_verify_ends_it(what: str) -> None:  # FAILURES 12
    log = MemoryLog()
    write(log, 4)
    if what == "a hole":
        del log.commits[2]
    else:
        head, payload = log.commits[2]
        log.commits[2] = head, payload.replace(b"event 3", b"event 4")
    async with reader(MemoryJournal(log)) as r:
        with pytest.raises(Corrupt):
            await within(r.task)
        assert r.seqs == []
        assert not r.follower.caught_up


async def test_a_commit_that_cannot_be_read_ends_it() -> None:  # FAILURES 45
    log = MemoryLog()
    write(log, 1)
    payload = b'{"v":1,"shard":0,"n":2,"events":[7]}'
    log.store(Head(2, 2, following(log.commits[0][0], payload)), payload)
    async with reader(MemoryJournal(log)) as r:
        with pytest.raises(Corrupt):
            await within(r.task)


async def test_what_the_fold_raises_ends_it() -> None:
    def impossible(commits: Applied[str]) -> None:
        raise AssertionError("impossible")

    log = MemoryLog()
    write(log, 1)
    with pytest.raises(AssertionError, match="impossible"):
        await within(JournalSubscription(MemoryJournal(log), TEXTS, impossible, after=Head()).run())


async def test_what_the_fold_cannot_reach_is_no_trouble_of_the_journal_and_ends_it_too() -> None:
    """Read again, the batch would be applied a second time, from the middle of the first."""
    asked = 0

    async def out_of_reach(commits: Applied[str]) -> None:
        nonlocal asked
        asked += 1
        raise Unavailable("the store is away")

    log = MemoryLog()
    write(log, 2)
    follower = JournalSubscription(MemoryJournal(log), TEXTS, out_of_reach, after=Head())
    with pytest.raises(NotApplied, match=r"^sequences 1 to 2 of the journal: the store is away$"):
        await within(follower.run())
    assert (asked, follower.head) == (1, Head())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=8), st.integers(1, 20))
def test_wherever_the_reading_breaks_each_commit_is_applied_once(breaks: list[int], count: int) -> None:  # FAILURES 8
    async def play() -> None:
        log = MemoryLog()
        write(log, count)
        async with reader(Cut(log, breaks)) as r:
            await within(r.follower.wait_for(count))
            assert r.seqs == list(range(1, count + 1))

    asyncio.run(play())
