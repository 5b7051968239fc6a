"""The host of a shard on a journal in memory: answers follow the ack, and memory that cannot be trusted is thrown away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryLog, MemoryOrderStore
from apps.journal import group_commit as commits_module
from apps.journal import shard_host as host_module
from apps.journal.group_commit import Pace
from apps.journal.shard_host import Landed, ShardHost
from domain.order import commands as c
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.ports import Clock, Unavailable
from domain.values import order_id_of
from tests import given
from tests.apps.held_journal import HeldJournal, until, within

PACE = Pace(wait_s=0)
QUICK_S = 0.01


@pytest.fixture(autouse=True)
def _quick_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "RECOVER_PAUSE_S", QUICK_S)


class Desk:
    """A running host, its log, and what its callers heard."""

    def __init__(self, log: MemoryLog, store: MemoryOrderStore | None = None, clock: Clock | None = None) -> None:
        self.log = log
        self.journal = HeldJournal(log)
        self.store = store or MemoryOrderStore()
        self.host = ShardHost(self.journal, clock or SystemClock(), store=self.store, pace=PACE)
        self.noticed: list[Landed] = []
        self.host.on_landed = self.noticed.append
        self.task = asyncio.create_task(self.host.run())

    async def ready(self) -> "Desk":
        await until(lambda: self.host.ready)
        return self

    async def recovered(self) -> None:
        """Through the next recovery."""
        before = self.host.recoveries
        await until(lambda: self.host.recoveries > before)
        await self.ready()

    def begin(self, command: c.OrderCommand) -> "asyncio.Task[Landed]":
        """Decided when this returns; the answer is the task's."""
        return asyncio.ensure_future(self.host.perform(command))

    async def do(self, command: c.OrderCommand) -> Landed:
        async with asyncio.timeout(120):
            return await self.host.perform(command)

    def order(self, name: str) -> Order:
        order = self.host.find(order_id_of(given.ACCOUNT, name))
        assert order is not None
        return order

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@contextlib.asynccontextmanager
async def desk(log: MemoryLog | None = None, store: MemoryOrderStore | None = None, clock: Clock | None = None) -> AsyncIterator[Desk]:
    made = Desk(log or MemoryLog(), store, clock)
    try:
        yield await made.ready()
    finally:
        await made.stop()


def submit(name: str) -> c.SubmitOrder:
    terms = given.terms()
    order_id = order_id_of(given.ACCOUNT, name)
    terms = c.Terms(**{field: getattr(terms, field) for field in terms.__struct_fields__} | {"order_id": order_id, "client_order_id": name})
    return given.submit(terms)


def cancel(name: str) -> c.CancelOrder:
    return c.CancelOrder(order_id=order_id_of(given.ACCOUNT, name))


def events_of(log: MemoryLog) -> list[str]:
    return [type(event).__name__ for _, payload in log.commits for event in ORDER_COMMITS.decode(payload).events]


async def test_no_caller_is_answered_or_notified_before_the_ack() -> None:
    async with desk() as d:
        d.journal.hold()
        answer = d.begin(submit("a"))
        await d.journal.reached()
        await asyncio.sleep(0.02)
        assert not answer.done()
        assert d.noticed == []
        assert d.order("a").status is State.QUEUED, "evolved at once, in memory"
        d.journal.release()
        landed = await within(answer)
        assert isinstance(landed, Landed)
        assert (landed.seq, [type(event).__name__ for event in landed.events]) == (1, ["OrderSubmitted", "OrderRiskChecked", "OrderQueued"])
        assert d.noticed == [landed]


async def test_commands_that_come_while_a_commit_is_in_flight_share_the_next_one() -> None:
    async with desk() as d:
        d.journal.hold()
        answers = [d.begin(submit("a"))]
        await d.journal.reached()
        answers += [d.begin(submit(name)) for name in "bcd"]
        await asyncio.sleep(0)
        d.journal.release()
        assert [(await answer).seq for answer in answers] == [1, 2, 2, 2]


async def test_a_command_that_changes_nothing_waits_for_what_it_was_decided_on() -> None:  # FAILURES 3
    async with desk() as d:
        d.journal.hold()
        first = d.begin(submit("a"))
        await d.journal.reached()
        again = d.begin(submit("a"))
        await asyncio.sleep(0.02)
        assert not again.done(), "or it would answer from memory that may be lost"
        d.journal.release()
        assert ((await first).seq, (await again).seq) == (1, 1)
        assert (await again).events == ()
        assert (await d.do(submit("a"))).seq == 1
        assert len(d.log.commits) == 1
        assert len(d.noticed) == 1


async def test_reading_waits_until_what_it_shows_is_on_disk() -> None:
    async with desk() as d:
        await d.do(submit("a"))
        d.journal.hold()
        flying = d.begin(cancel("a"))
        await d.journal.reached()
        reading = asyncio.create_task(d.host.settled(d.order("a")))
        await asyncio.sleep(0.02)
        assert not reading.done()
        d.journal.release()
        await within(asyncio.gather(flying, reading))
        assert d.order("a").seqs == (1, 2)


async def test_an_effect_that_raises_harms_no_other_effect() -> None:
    async with desk() as d:

        def burst(outcome: Landed | Unavailable) -> None:
            raise ConnectionResetError("the client has gone")

        d.journal.hold()
        before = d.begin(submit("a"))
        await d.journal.reached()
        d.host.execute(submit("b"), burst)
        after = d.begin(submit("c"))
        await asyncio.sleep(0)
        d.journal.release()
        assert ((await before).seq, (await after).seq) == (1, 2)
        assert d.order("b").seqs == (2,)
        assert [landed.order and landed.order.client_order_id for landed in d.noticed] == ["a", "b", "c"], "b's notice leaves all the same"


async def test_a_lost_ack_is_unknown_and_the_journal_decides_what_is_true() -> None:  # FAILURES 1, 10
    async with desk() as d:
        d.log.acks_to_lose = 1
        with pytest.raises(Unavailable) as lost:
            await d.do(submit("a"))
        assert lost.value.unknown
        await d.recovered()
        landed = await d.do(submit("a"))
        assert (landed.events, landed.seq) == ((), 1), "it was stored: asked again, it is the same order"
        assert events_of(d.log).count("OrderSubmitted") == 1


async def test_what_did_not_reach_the_disk_never_happened() -> None:  # FAILURES 2
    async with desk() as d:
        await d.do(submit("a"))
        d.log.down = True
        with pytest.raises(Unavailable):
            await d.do(cancel("a"))
        await until(lambda: not d.host.ready)
        d.log.down = False
        await d.ready()
        assert d.order("a").status is State.QUEUED, "the cancel of memory is gone"
        assert (await d.do(cancel("a"))).seq == 2


async def test_while_it_recovers_it_says_so_at_once() -> None:  # FAILURES 6
    async with desk() as d:
        d.log.down = True
        with pytest.raises(Unavailable):
            await d.do(submit("a"))
        await until(lambda: d.host.recoveries > 0)
        for waiting in (d.do(submit("b")), d.host.settled()):
            with pytest.raises(Unavailable) as trouble:
                await within(waiting)
            assert not trouble.value.unknown
        d.log.down = False
        await d.ready()
        assert "OrderSubmitted" not in events_of(d.log), "nothing was kept to be sent later"


async def test_a_fenced_host_takes_over_what_the_other_wrote() -> None:  # FAILURES 14, 15
    log = MemoryLog()
    async with desk(log) as ours:
        await ours.do(submit("a"))
        async with desk(log) as theirs:
            await theirs.do(cancel("a"))
        assert ours.order("a").status is State.QUEUED, "we do not know yet"
        with pytest.raises(Unavailable):
            await ours.do(submit("b"))
        await ours.recovered()
        assert ours.order("a").status is State.CANCELLED
        landed = await ours.do(submit("b"))
        assert landed.seq == 3
        assert events_of(log).count("OrderSubmitted") == 2


async def test_two_hosts_contend_and_each_order_is_there_once() -> None:  # FAILURES 14
    log = MemoryLog()
    names = [f"o-{number}" for number in range(40)]

    async def ask_until_answered(d: Desk, name: str) -> int:
        while True:
            try:
                return (await d.do(submit(name))).seq
            except Unavailable:
                await asyncio.sleep(0.002)

    async with desk(log) as one, desk(log) as two:
        asked = [(d, name) for name in names for d in (one, two)]
        seqs = await within(asyncio.gather(*(ask_until_answered(d, name) for d, name in asked)))
    assert isinstance(seqs, list)
    assert seqs[::2] == seqs[1::2], "both answer the same"
    assert events_of(log).count("OrderSubmitted") == len(names)
    assert one.host.recoveries + two.host.recoveries > 0, "they never met: it proves nothing"


async def test_a_caller_between_the_loss_and_the_recovery_is_answered_and_not_left_waiting() -> None:
    """The other tasks of the loop run before the host has thrown its memory away."""
    async with desk() as d:
        loop = asyncio.get_running_loop()
        heard: list[Landed | Unavailable] = []

        def turns(left: int) -> None:
            d.host.execute(submit(f"late-{left}"), heard.append)
            if left:
                loop.call_soon(turns, left - 1)

        def lost(outcome: Landed | Unavailable) -> None:
            heard.append(outcome)
            loop.call_soon(turns, 9)

        d.log.down = True
        d.host.execute(submit("a"), lost)
        await until(lambda: not d.host.ready)
        d.log.down = False
        await until(lambda: len(heard) == 11)
        assert all(isinstance(outcome, Unavailable) for outcome in heard)
        await d.ready()
        assert d.log.commits == []


async def test_what_was_decided_on_lost_memory_is_not_answered_from_it() -> None:
    async with desk() as d:
        await d.do(submit("a"))
        heard: list[Landed | Unavailable] = []
        loop = asyncio.get_running_loop()

        def lost(outcome: Landed | Unavailable) -> None:
            loop.call_soon(d.host.execute, cancel("a"), heard.append)

        d.log.down = True
        d.host.execute(cancel("a"), lost)
        await until(lambda: bool(heard))
        assert isinstance(heard[0], Unavailable), "the second cancel changes nothing, on top of one that is lost"


async def test_a_host_that_was_not_confirmed_of_late_decides_nothing_from_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # FAILURES 15: it slept, and another may have taken over; the orders that it has not heard of are not wrong
    async with desk() as d:
        await d.do(submit("a"))
        await d.do(cancel("a"))
        monkeypatch.setattr(commits_module, "TRUST_S", -1.0)
        for command in (cancel("a"), cancel("of-the-heir"), submit("b")):
            with pytest.raises(Unavailable) as trouble:
                await d.do(command)
            assert not trouble.value.unknown
        monkeypatch.undo()
        assert (await d.do(cancel("a"))).seq == 2
        assert events_of(d.log).count("OrderSubmitted") == 1


async def test_a_restart_continues_where_the_store_and_the_journal_stand() -> None:  # FAILURES 5
    log, store = MemoryLog(), MemoryOrderStore()
    async with desk(log, store) as first:
        for name in ("a", "b"):
            await first.do(submit(name))
        await first.do(cancel("a"))
        await until(lambda: (kept := store.find(order_id_of(given.ACCOUNT, "a"))) is not None and kept.closed)
        await first.do(cancel("b"))
    async with desk(log, store) as second:
        assert (await second.do(submit("a"))).seq == 3, "the last commit of a, which is not in memory any more"
        assert second.order("a").seqs == (1, 3)
        assert second.order("b").status is State.CANCELLED
        assert second.order("b").seqs == (2, 4)
    async with desk(log) as third:
        assert [third.order(name).seqs for name in "ab"] == [(1, 3), (2, 4)], "and the journal alone says the same"


async def test_a_store_that_cannot_be_read_is_not_an_unknown_order() -> None:
    async with desk() as d:
        d.store.down = True
        with pytest.raises(Unavailable) as trouble:
            await d.do(submit("a"))
        assert not trouble.value.unknown
        d.store.down = False
        assert (await d.do(submit("a"))).seq == 1


HOUR_NS = 3_600 * given.SECOND


class JumpingClock:
    """A wall clock in a test's hand."""

    def __init__(self) -> None:
        self.ns = given.NOW

    def now_ns(self) -> int:
        self.ns += 1_000
        return self.ns

    def monotonic_ns(self) -> int:
        return SystemClock().monotonic_ns()


def stamps_of(log: MemoryLog) -> list[int]:
    return [event.at for _, payload in log.commits for event in ORDER_COMMITS.decode(payload).events]


@pytest.mark.parametrize("kept", [True, False], ids=["with its store", "without its store"])
async def test_stamps_never_go_back_when_the_wall_clock_does_also_over_a_restart(kept: bool) -> None:
    # FAILURES 43
    clock, log, store = JumpingClock(), MemoryLog(), MemoryOrderStore()
    async with desk(log, store, clock) as d:
        await d.do(submit("a"))
        clock.ns -= HOUR_NS
        await d.do(submit("b"))
        await d.do(cancel("a"))
        await until(lambda: not d.host.book.unsaved())
    clock.ns -= HOUR_NS
    commits = len(log.commits)
    async with desk(log, store if kept else MemoryOrderStore(), clock) as d:
        await d.do(cancel("b"))
        await d.do(submit("c"))
        assert d.order("b").updated_at >= d.order("b").created_at
        assert d.host.stamps.ahead_s == pytest.approx(7200, abs=1)
        clock.ns += 3 * HOUR_NS
        await d.do(submit("d"))
        assert d.order("d").created_at == clock.ns, "wall time again, once it has caught up"
    stamps = stamps_of(log)
    assert len(log.commits) > commits
    assert stamps == sorted(stamps)
    assert stamps[0] == given.NOW + 1_000


async def test_an_order_of_an_older_journal_whose_stamps_are_ahead_does_not_go_back() -> None:
    clock, store, log = JumpingClock(), MemoryOrderStore(), MemoryLog()
    async with desk(log, store, clock) as d:
        await d.do(submit("late"))
        await d.do(cancel("late"))
        await until(lambda: not d.host.book.unsaved() and not d.host.orders.by_id)
    clock.ns -= HOUR_NS
    async with desk(log, store, clock) as d:
        d.host.stamps.latest = clock.ns  # as a program did that knew only its own clock
        late = given.report("fill", route_id="X", exec_id="F1", quantity="1", price="50")
        await d.do(msgspec.structs.replace(late, order_id=order_id_of(given.ACCOUNT, "late")))
    assert stamps_of(log) == sorted(stamps_of(log))
