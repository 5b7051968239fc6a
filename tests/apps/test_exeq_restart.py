"""exeq begins again from a snapshot: nothing is sent twice, nothing that waits for a route is forgotten."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS, Commit
from adapters.memory import MemoryJournal
from adapters.snapshots import FileSnapshots
from apps.connections.venue_lists import SentRequest
from apps.exeq.executor import Command, Executor
from apps.exeq.kill_switch import ExeqKillSwitch
from apps.exeq.router import Router, RoutingRules
from apps.journal.snapshots import Snapshotter
from apps.journal.subscription import JournalSubscription
from domain.audit.state_hash import shape_of
from domain.execution.projection import OLDER_SHAPES, STATE_VERSION, Executions, ExecutionsState
from domain.execution.routing import RoutedVenue
from domain.market.quotes import Market, Quote
from domain.order import events as e
from domain.order.lifecycle import State
from domain.risk.controls import Controls
from tests.apps.owned import owned
from tests.apps.test_snapshots import until, write
from tests.contracts.facts import AT, queued, submitted


class Wire:
    """Keeps what would go to the venues."""

    def __init__(self) -> None:
        self.routes: list[tuple[str, str]] = []

    def send(self, requests: Sequence[SentRequest]) -> None:
        self.routes += [(sent.verb, sent.request.route_id) for sent in requests]


class Exeq:
    """exeq as it is wired, with a quote to route by; what it asks of oms is kept and not answered."""

    def __init__(self, journal: MemoryJournal, directory: Path, epoch: int = 1) -> None:
        self.journal, self.sent, self.asked = journal, Wire(), list[Command]()
        market, one = Market(), Decimal(1)
        clock = SystemClock()
        quote = Quote(symbol="BTCUSDT", venue="PAPER_A", bid=one, bid_size=one, ask=one, ask_size=one, at=AT)
        market.update(quote, clock.monotonic_ns())
        venues = {"PAPER_A": RoutedVenue("PAPER_A", one, one, frozenset({"BTCUSDT"}))}
        executions, rules = Executions(), RoutingRules("lowest_cost", 10**12)
        self.controls = Controls()
        self.switch = ExeqKillSwitch(self.controls, None)
        self.switch.controls_known = lambda: True
        routing = Router(venues, {}, market, clock, rules, executions, killed=self.switch.venue_killed)
        self.executor = Executor(
            None,  # type: ignore[arg-type]
            self.sent.send,
            self.switch,
            clock,
            executions,
            routing,
            256,
            owned(epoch),
            caught_up=lambda: self.follower.caught_up,
            is_past=lambda seq: self.follower.is_past(seq),
            failed=pytest.fail,
        )
        self.executor.ask_soon = self._ask  # type: ignore[method-assign]
        self.snapshots = Snapshotter(
            FileSnapshots(directory),
            "exeq",
            self.executor.executions,
            ExecutionsState,
            STATE_VERSION,
            every_commits=10**9,
            every_s=10**9,
            older=OLDER_SHAPES,
        )

    def _ask(self, commands: Sequence[Command]) -> None:
        self.asked.extend(commands)

    @asynccontextmanager
    async def live(self) -> AsyncIterator["Exeq"]:
        after = await self.snapshots.recover(self.journal)
        self.read_from = after.seq
        self.follower = JournalSubscription(self.journal, ORDER_COMMITS, self.snapshots.whole(self.executor.apply), after=after, wait_s=0)
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(self.follower.run()), asyncio.create_task(self.executor.run())]
        await until(lambda: self.follower.caught_up)
        yield self
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def reads(self, *commits: tuple[e.OrderEvent, ...]) -> None:
        await write(self.journal, commits)
        await self.follower.wait_for((await self.journal.head()).seq)


def born(order_id: str) -> tuple[e.OrderEvent, ...]:
    checked = e.OrderRiskChecked(order_id=order_id, at=AT, status=State.RISK_CHECKED, limits_version=1, reference=Decimal(50))
    return submitted(order_id), checked, queued(order_id)


def routed(order_id: str, epoch: int = 1) -> tuple[e.OrderEvent, ...]:
    leg = e.Leg(f"{order_id}-1", "PAPER_A", Decimal(10))
    return (e.OrderRouted(order_id=order_id, at=AT, status=State.ROUTED, legs=(leg,), policy="lowest_cost", unit="unit-0", epoch=epoch),)


def cancel_requested(order_id: str) -> tuple[e.OrderEvent, ...]:
    return (e.CancelRequested(order_id=order_id, at=AT, status=State.PENDING_CANCEL, source="client", reason="requested"),)


async def first_life(journal: MemoryJournal, directory: Path) -> None:
    """A is at the venue, W's route is asked for and not journaled; then a snapshot."""
    async with Exeq(journal, directory).live() as exeq:
        await exeq.reads(born("A"), born("W"))
        await until(lambda: len(exeq.asked) == 2)
        await exeq.reads(routed("A"))
        assert exeq.sent.routes == [("new", "A-1")]
        assert len(exeq.executor.executions.queue) == 0, "W was taken from the queue"
        assert await exeq.snapshots.take(exeq.follower)


async def test_what_waited_for_a_route_is_routed_though_nothing_new_comes(tmp_path: Path) -> None:
    # FAILURES 6
    journal = MemoryJournal()
    await first_life(journal, tmp_path)
    async with Exeq(journal, tmp_path, 2).live() as exeq:
        await until(lambda: exeq.asked)
        assert [command.order_id for command in exeq.asked] == ["W"]
        assert (exeq.read_from, exeq.sent.routes) == (3, [])
        await exeq.reads(routed("W", 2))
        assert exeq.sent.routes == [("new", "W-1")]


async def test_what_was_routed_before_the_start_is_not_sent_whether_in_the_snapshot_or_behind_it(tmp_path: Path) -> None:
    # FAILURES 6: it may have been sent; it is asked about instead
    journal = MemoryJournal()
    await first_life(journal, tmp_path)
    await write(journal, [routed("W"), born("N"), routed("N"), cancel_requested("A")])
    async with Exeq(journal, tmp_path, 2).live() as exeq:
        assert exeq.read_from == 3
        assert exeq.sent.routes == []
        assert [request.route_id for request in exeq.executor.executions.unanswered(AT + 1)] == ["A-1", "W-1", "N-1"]
        await exeq.reads(born("L"), routed("L", 2), cancel_requested("W"))
        assert exeq.sent.routes == [("new", "L-1"), ("cancel", "W-1")]


async def test_only_what_names_this_exeq_in_this_epoch_is_sent(tmp_path: Path) -> None:
    # SCALE 3: a second exeq on the journal sent every route a second time
    async with Exeq(MemoryJournal(), tmp_path, 2).live() as exeq:
        await exeq.reads(born("A"), born("B"), born("C"))
        await exeq.reads(routed("A", 1), routed("B", 2), routed("C", 3))
        assert exeq.sent.routes == [("new", "B-1")]
        assert [request.route_id for request in exeq.executor.executions.unanswered(AT + 1)] == ["A-1", "B-1", "C-1"]
        assert exeq.executor.stats()["others"] == 2


async def test_a_take_over_behind_a_route_keeps_it_from_being_sent(tmp_path: Path) -> None:
    # SCALE 3: it slept between its route and the sending, and finds both in what it reads next
    async with Exeq(MemoryJournal(), tmp_path, 2).live() as exeq:
        ended: list[str] = []
        exeq.executor.ownership._lost = ended.append
        await exeq.reads(born("A"))
        taken = e.ShardTaken(at=AT, unit="unit-0", sender="exeq-2", before=2)
        exeq.executor.apply([(n, Commit(1, 0, n, events)) for n, events in enumerate([routed("A", 2), (taken,)], 5)])
        assert exeq.sent.routes == []
        assert ended == ["exeq-2 of unit-0 has taken the shard at epoch 6: this exeq no longer sends"]
        exeq.executor.apply([(7, Commit(1, 0, 7, cancel_requested("A")))])
        assert exeq.sent.routes == []


async def test_a_snapshot_of_the_program_before_epochs_is_continued(tmp_path: Path) -> None:
    """As 0.1.0 wrote it: the same state, under the shape that it had then."""
    journal = MemoryJournal()
    await first_life(journal, tmp_path)
    (head, body), *_ = FileSnapshots(tmp_path).kept("exeq", shape_of(ExecutionsState, STATE_VERSION))
    before_epochs = body.replace(b',"unit":"unit-0","epoch":1', b"")
    assert before_epochs != body
    for _ in (1, 2):  # the newest and the one before it
        FileSnapshots(tmp_path).store("exeq", OLDER_SHAPES[-1], head, before_epochs)
    async with Exeq(journal, tmp_path, 2).live() as exeq:
        assert exeq.read_from == head.seq
        assert [request.route_id for request in exeq.executor.executions.unanswered(AT + 1)] == ["A-1"]
