"""Several followers of one reading: each applies every commit once and in order, none waits for another, and little is read twice."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.codec import Commit, CommitCodec
from adapters.memory import MemoryLog
from apps.journal import subscription as follower_module
from apps.journal.shared_journal import SharedReading
from apps.journal.subscription import Applied, JournalSubscription
from domain.ports import Corrupt, Head, JournalEntry
from tests.apps.held_journal import until, within
from tests.apps.test_follower import TEXTS, Cut, write


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(follower_module, "RETRY_MAX_S", 0.002)


class Counting(CommitCodec[str]):
    """How often each commit was decoded."""

    def __init__(self) -> None:
        super().__init__(str)
        self.times: list[int] = []

    def decode(self, payload: bytes) -> Commit[str]:
        commit = super().decode(payload)
        self.times.append(commit.n)
        return commit


class Readings(Cut):
    """Counts the readings that are open."""

    open = 0

    async def follow(self, after: Head, *, until: int | None = None) -> AsyncGenerator[Sequence[JournalEntry]]:
        self.open += 1
        try:
            async with contextlib.aclosing(super().follow(after, until=until)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            self.open -= 1


class Reader:
    """A follower of the shared reading. `free` is cleared to have it hang while it applies."""

    def __init__(self, reading: SharedReading[str], codec: CommitCodec[str], after: Head) -> None:
        self.applied: list[int] = []
        self.free = asyncio.Event()
        self.free.set()
        self.follower = JournalSubscription(reading, codec, self._apply, after=after, wait_s=0)
        self.task = asyncio.create_task(self.follower.run())

    async def _apply(self, commits: Applied[str]) -> None:
        await self.free.wait()
        self.applied += [seq for seq, _ in commits]


class House:
    def __init__(self, count: int = 0, *, kept_bytes_max: int = 1_000_000, breaks_after: Sequence[int] = ()) -> None:
        self.log = MemoryLog()
        write(self.log, count)
        self.journal = Readings(self.log, breaks_after)
        self.codec = Counting()
        self.reading = SharedReading(self.journal, self.codec, kept_bytes_max=kept_bytes_max)
        self.readers: list[Reader] = []

    def reader(self, after: int = 0) -> Reader:
        self.readers.append(Reader(self.reading, self.codec, self.log.commits[after - 1][0] if after else Head()))
        return self.readers[-1]

    async def reached(self, seq: int) -> None:
        for reader in self.readers:
            await within(reader.follower.wait_for(seq))

    async def stop(self, *readers: Reader) -> None:
        for reader in readers:
            reader.task.cancel()
            self.readers.remove(reader)
            await asyncio.gather(reader.task, return_exceptions=True)


@contextlib.asynccontextmanager
async def house(count: int = 0, *, kept_bytes_max: int = 1_000_000, breaks_after: Sequence[int] = ()) -> AsyncIterator[House]:
    made = House(count, kept_bytes_max=kept_bytes_max, breaks_after=breaks_after)
    try:
        yield made
    finally:
        await made.stop(*made.readers)
    assert made.journal.open == 0, "nothing is left under way"


async def test_two_followers_cost_one_reading_and_one_decoding() -> None:
    async with house(3) as h:
        first, second = h.reader(), h.reader()
        await h.reached(3)
        write(h.log, 4)
        await h.reached(7)
        assert first.applied == second.applied == [1, 2, 3, 4, 5, 6, 7]
        assert h.codec.times == [1, 2, 3, 4, 5, 6, 7]
        assert h.journal.readings == [0]


async def test_one_that_comes_later_takes_what_is_kept() -> None:
    async with house(5) as h:
        h.reader()
        await h.reached(5)
        late = h.reader(after=2)
        await h.reached(5)
        assert late.applied == [3, 4, 5]
        assert h.journal.readings == [0]


async def test_one_that_is_far_behind_reads_by_itself_until_it_is_near() -> None:
    async with house(200) as h:
        h.reader(after=190)
        await h.reached(200)
        behind = h.reader()
        await h.reached(200)
        write(h.log, 3)
        await h.reached(203)
        assert behind.applied == list(range(1, 204))
        assert h.journal.readings == [190, 0]
        await until(lambda: h.journal.open == 1)


async def test_one_that_hangs_delays_no_other_and_misses_nothing() -> None:
    async with house(2, kept_bytes_max=500) as h:
        slow, quick = h.reader(), h.reader()
        await h.reached(2)
        slow.free.clear()
        for _ in range(30):
            write(h.log, 1)
            await within(quick.follower.wait_for(h.log.last))
        assert sum(len(kept.payload) for kept in h.reading._kept.values()) < 700
        slow.free.set()
        await h.reached(32)
        assert slow.applied == quick.applied == list(range(1, 33))


async def test_a_follower_that_is_stopped_leaves_the_others_their_reading() -> None:
    async with house(2) as h:
        first, second = h.reader(), h.reader()
        await h.reached(2)
        await h.stop(first)
        write(h.log, 2)
        await h.reached(4)
        assert second.applied == [1, 2, 3, 4]
        again = h.reader(after=3)
        await h.reached(4)
        assert again.applied == [4]
        assert h.journal.readings == [0]


async def test_after_all_have_stopped_it_begins_where_the_next_one_begins() -> None:
    async with house(6) as h:
        await h.stop(*[h.reader() for _ in range(2)])
        assert h.journal.open == 0
        fresh = h.reader(after=4)
        await h.reached(6)
        assert fresh.applied == [5, 6]


async def test_a_reading_that_breaks_is_continued_by_the_next_reader() -> None:
    async with house(12, breaks_after=[4, 2, 0]) as h:
        first, second = h.reader(), h.reader()
        await h.reached(12)
        assert first.applied == second.applied == list(range(1, 13))


async def test_a_commit_that_does_not_verify_ends_its_follower() -> None:
    async with house(3) as h:
        reader = h.reader()
        await h.reached(3)
        last = h.log.commits[-1][0]
        h.log.store(Head(last.seq + 1, last.n + 1, "0" * 64), TEXTS.encode(0, last.n + 1, ["changed"]))
        with pytest.raises(Corrupt, match="sequence 4"):
            await within(reader.task)


STEPS = st.sampled_from(("join", "leave", "write", "hang", "free", "turn"))


@given(
    st.lists(st.tuples(STEPS, st.integers(0, 9)), max_size=25),
    st.lists(st.integers(0, 6), max_size=4),
    st.integers(0, 8),
    st.sampled_from((1, 300, 10_000)),
)
def test_each_applies_everything_once_whatever_happens(
    steps: list[tuple[str, int]], breaks: list[int], count: int, kept_bytes_max: int
) -> None:
    async def play() -> None:
        async with house(count, kept_bytes_max=kept_bytes_max, breaks_after=breaks) as h:
            begun: list[tuple[Reader, int]] = []
            for step, number in steps:
                match step:
                    case "join":
                        after = min(number, h.log.last)
                        begun.append((h.reader(after), after))
                    case "leave" if h.readers:
                        await h.stop(h.readers[number % len(h.readers)])
                    case "write":
                        write(h.log, 1 + number % 3)
                    case "hang" if h.readers:
                        h.readers[number % len(h.readers)].free.clear()
                    case "free":
                        for reader in h.readers:
                            reader.free.set()
                await asyncio.sleep(0)
            for reader in h.readers:
                reader.free.set()
            await h.reached(h.log.last)
            for reader, after in begun:
                done = list(range(after + 1, h.log.last + 1))
                assert reader.applied == (done if reader in h.readers else done[: len(reader.applied)])

    asyncio.run(play())
