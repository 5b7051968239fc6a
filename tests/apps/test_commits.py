"""Group commit: what gathers, where it is cut, and that effects follow the ack and nothing else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.codec import CommitCodec
from adapters.memory import MemoryJournal, MemoryLog
from apps.journal.group_commit import Done, GroupCommit, Outcome, Pace
from domain.ports import Fenced, Head, Unavailable
from domain.values import use_exact_arithmetic
from tests.apps.held_journal import HeldJournal, until, within

TEXTS: CommitCodec[str] = CommitCodec(str)
GATHER = Pace(wait_s=0.05)
AT_ONCE = Pace(wait_s=0)


class Scene:
    """A group commit of texts, what came of each, and what the journal has."""

    def __init__(self, pace: Pace) -> None:
        self.journal = HeldJournal()
        self.group = GroupCommit(self.journal, TEXTS, Head(), pace=pace)
        self.outcomes: dict[str, Outcome] = {}
        self.order: list[str] = []
        self.task = asyncio.create_task(self.group.run())

    def add(self, *events: str) -> int:
        return self.group.add(events, self.receives("+".join(events)))

    def receives(self, name: str) -> Done:
        def done(outcome: Outcome) -> None:
            assert name not in self.outcomes, "told once"
            self.outcomes[name] = outcome
            self.order.append(name)

        return done

    async def told(self, count: int) -> None:
        await until(lambda: len(self.outcomes) >= count)

    @property
    def commits(self) -> list[tuple[str, ...]]:
        return [TEXTS.decode(payload).events for _, payload in self.journal.log.commits]

    def contend(self) -> None:
        """Another writer takes the place that ours thinks is next."""
        head, *_ = self.journal.log.commits[-1] if self.journal.log.commits else (Head(),)
        self.journal.log.store(Head(head.seq + 1, head.n + 1, "another"), TEXTS.encode(0, head.n + 1, ["theirs"]))


@contextlib.asynccontextmanager
async def scene(pace: Pace = AT_ONCE) -> AsyncIterator[Scene]:
    made = Scene(pace)
    try:
        yield made
    finally:
        made.task.cancel()
        await asyncio.gather(made.task, return_exceptions=True)


async def test_nothing_is_announced_before_the_ack() -> None:
    async with scene() as s:
        s.journal.hold()
        s.add("a")
        await s.journal.reached()
        await asyncio.sleep(0.02)
        assert s.outcomes == {}
        assert s.group.durable == 0
        s.journal.release()
        await s.told(1)
        assert s.outcomes == {"a": 1}
        assert s.group.durable == 1


async def test_while_one_commit_is_in_flight_the_next_one_fills_up() -> None:
    async with scene() as s:
        s.journal.hold()
        s.add("a")
        await s.journal.reached()
        for name in "bcd":
            s.add(name)
        s.journal.release()
        await s.told(4)
        assert s.commits == [("a",), ("b", "c", "d")]
        assert s.outcomes == {"a": 1, "b": 2, "c": 2, "d": 2}
        assert s.order == ["a", "b", "c", "d"]


async def test_a_few_commands_go_at_once_and_under_load_a_commit_waits_a_moment_for_more() -> None:
    async with scene(GATHER) as s:
        s.journal.hold()
        s.add("a")
        await s.journal.reached()
        for name in "bcde":
            s.add(name)
        s.journal.release()
        await s.told(1)
        s.add("f")
        await s.told(6)
        s.add("g")
        await s.told(7)
        assert s.commits == [("a",), ("b", "c", "d", "e", "f"), ("g",)]


async def test_a_full_commit_does_not_wait() -> None:
    async with scene(Pace(wait_s=60, events_max=3)) as s:
        for name in "abc":
            s.add(name)
        await s.told(3)
        assert s.commits == [("a", "b", "c")]


async def test_a_commit_is_cut_at_its_number_of_events_but_never_within_one_command() -> None:
    async with scene(Pace(wait_s=0.01, events_max=3)) as s:
        s.add("a1", "a2")
        s.add("b1", "b2")
        s.add("c1")
        s.add(*(f"d{number}" for number in range(5)))
        await s.told(4)
        assert s.commits == [("a1", "a2"), ("b1", "b2", "c1"), ("d0", "d1", "d2", "d3", "d4")]


async def test_a_commit_is_cut_at_its_bytes() -> None:
    async with scene(Pace(wait_s=0.01, bytes_max=300)) as s:
        names = [f"{number:0100d}" for number in range(9)]
        for name in names:
            s.add(name)
        await s.told(9)
        assert [name for commit in s.commits for name in commit] == names
        assert all(len(payload) <= 300 for _, payload in s.journal.log.commits)
        assert len(s.commits) < len(names)


async def test_one_command_beyond_the_bytes_goes_alone() -> None:
    async with scene(Pace(wait_s=0.01, bytes_max=300)) as s:
        s.add("small")
        s.add("x" * 1000)
        s.add("small too")
        await s.told(3)
        assert s.commits == [("small",), ("x" * 1000,), ("small too",)]


async def test_a_command_that_joins_is_told_of_the_commit_in_flight_or_of_the_open_one() -> None:
    async with scene() as s:
        s.journal.hold()
        first = s.add("a")
        await s.journal.reached()
        second = s.add("b")
        third = s.add("c")
        for ticket, name in ((third, "c"), (first, "a"), (second, "b"), (second, "b again")):
            s.group.join(ticket, s.receives(f"{name} too"))
        assert s.outcomes == {}
        s.journal.release()
        await s.told(7)
        assert s.outcomes == {"a": 1, "a too": 1, "b": 2, "b too": 2, "b again too": 2, "c": 2, "c too": 2}


async def test_settled_waits_for_the_ticket_and_not_for_those_behind_it() -> None:
    async with scene() as s:
        s.journal.hold()
        first = s.add("a")
        await s.journal.reached()
        last = s.add("b")
        waiting = [asyncio.create_task(s.group.settled(ticket)) for ticket in (0, first, last)]
        await asyncio.sleep(0.01)
        assert [task.done() for task in waiting] == [True, False, False]
        s.journal.release()
        await within(asyncio.gather(*waiting))


async def test_an_effect_that_raises_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    async with scene(GATHER) as s:

        def burst(outcome: Outcome) -> None:
            raise ConnectionResetError("the client has gone")

        s.add("a")
        s.group.add(["b"], burst)
        s.add("c")
        await s.told(2)
        s.add("d")
        await s.told(3)
        assert s.outcomes == {"a": 1, "c": 1, "d": 2}
        assert s.commits == [("a", "b", "c"), ("d",)]
    assert "an effect failed after its commit" in capsys.readouterr().out


async def test_a_lost_ack_leaves_the_flight_unknown_and_the_open_commit_surely_not_stored() -> None:  # FAILURES 10
    async with scene() as s:
        s.journal.log.acks_to_lose = 1
        s.journal.hold()
        ticket = s.add("flying")
        await s.journal.reached()
        s.add("open")
        s.group.join(ticket, s.receives("joined"))
        settled = asyncio.create_task(s.group.settled(ticket))
        await asyncio.sleep(0)
        s.journal.release()
        with pytest.raises(Unavailable):
            await within(s.task)
        assert {name: outcome.unknown for name, outcome in s.outcomes.items() if isinstance(outcome, Unavailable)} == {
            "flying": True,
            "joined": True,
            "open": False,
        }
        with pytest.raises(Unavailable):
            await within(settled)
        assert s.commits == [("flying",)], "stored all the same"


async def test_a_fenced_writer_answers_every_caller_that_nothing_was_stored() -> None:  # FAILURES 14
    async with scene() as s:
        s.contend()
        s.add("ours")
        with pytest.raises(Fenced):
            await within(s.task)
        [outcome] = s.outcomes.values()
        assert isinstance(outcome, Unavailable)
        assert not outcome.unknown
        assert s.commits == [("theirs",)]


async def test_what_is_added_after_the_loss_is_answered_and_never_left_waiting() -> None:
    async with scene() as s:
        s.journal.log.down = True
        s.add("lost")
        with pytest.raises(Unavailable):
            await within(s.task)
        ticket = s.add("late")
        await s.told(2)
        s.group.join(ticket, s.receives("joined"))
        await s.told(3)
        assert all(isinstance(outcome, Unavailable) and not outcome.unknown for outcome in s.outcomes.values())
        with pytest.raises(Unavailable):
            await within(s.group.settled(ticket))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.lists(st.text(max_size=20), min_size=1, max_size=4), max_size=30), st.integers(1, 6), st.integers(60, 200))
def test_whatever_the_bounds_all_is_stored_once_in_order(added: list[list[str]], events_max: int, bytes_max: int) -> None:
    use_exact_arithmetic()
    asyncio.run(_all_is_stored_once(added, Pace(wait_s=0, events_max=events_max, bytes_max=bytes_max)))


async def _all_is_stored_once(added: Sequence[Sequence[str]], pace: Pace) -> None:
    journal = MemoryJournal(MemoryLog())
    group = GroupCommit(journal, TEXTS, Head(), pace=pace)
    outcomes: list[Outcome] = []
    tickets = [group.add(events, outcomes.append) for events in added]
    assert tickets == list(range(1, len(added) + 1))
    task = asyncio.create_task(group.run())
    await within(group.settled(len(added)))
    await asyncio.sleep(0)
    task.cancel()
    stored = [TEXTS.decode(payload).events for _, payload in journal.log.commits]
    assert [text for commit in stored for text in commit] == [text for events in added for text in events]
    assert outcomes == sorted(outcomes)  # type: ignore[type-var]
    by_seq = [
        [text for events, seq in zip(added, outcomes, strict=True) if seq == number for text in events]
        for number in range(1, len(stored) + 1)
    ]
    assert by_seq == [list(commit) for commit in stored]
    assert all(len(commit) <= max(pace.events_max, 4) for commit in stored)
