"""exeq begins again from a snapshot: nothing is sent twice, nothing that waits for a route is forgotten."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryJournal
from adapters.snapshots import FileSnapshots
from apps.exeq.executor import Command, Executor
from apps.exeq.router import Router, RoutingRules
from apps.exeq.switch import Switch
from apps.follower import Follower
from apps.snapshots import Snapshotter
from domain import events as e
from domain.commands import VenueRequest
from domain.controls import Controls
from domain.executions import STATE_VERSION, Executions, ExecutionsState
from domain.lifecycle import State
from domain.quotes import Market, Quote
from domain.routing import Venue
from tests.apps.test_snapshots import until, write
from tests.contracts.facts import AT, queued, submitted


class Sent:
    """Stands for the outbox: keeps what would go to the venues."""

    def __init__(self) -> None:
        self.routes: list[tuple[str, str]] = []

    def put(self, subject: str, payload: bytes) -> None:
        request = msgspec.json.decode(payload, type=VenueRequest)
        self.routes.append((subject.rpartition(".")[2], request.route_id))


class Exeq:
    """exeq as it is wired, with a quote to route by; what it asks of oms is kept and not answered."""

    def __init__(self, journal: MemoryJournal, directory: Path) -> None:
        self.journal, self.sent, self.asked = journal, Sent(), list[Command]()
        market, one = Market(), Decimal(1)
        clock = SystemClock()
        quote = Quote(symbol="BTCUSDT", venue="PAPER_A", bid=one, bid_size=one, ask=one, ask_size=one, at=AT)
        market.update(quote, clock.now_ns())
        venues = {"PAPER_A": Venue("PAPER_A", one, one, frozenset({"BTCUSDT"}))}
        executions, rules = Executions(), RoutingRules("lowest_cost", 10**12)
        self.controls = Controls()
        self.switch = Switch(self.controls, None)
        self.switch.known = lambda: True
        routing = Router(venues, {}, market, clock, rules, executions)
        routing.killed = self.switch.venue_killed
        self.executor = Executor(None, self.sent, self.switch, clock, executions, routing, 256)  # type: ignore[arg-type]
        self.executor.ask_soon = self._ask  # type: ignore[method-assign]
        self.snapshots = Snapshotter(
            FileSnapshots(directory),
            "exeq",
            self.executor.executions,
            ExecutionsState,
            STATE_VERSION,
            every_commits=10**9,
            every_s=10**9,
        )

    def _ask(self, commands: Sequence[Command]) -> None:
        self.asked.extend(commands)

    @asynccontextmanager
    async def live(self) -> AsyncIterator["Exeq"]:
        after = await self.snapshots.recover(self.journal)
        self.read_from = after.seq
        self.follower = Follower(self.journal, ORDER_COMMITS, self.snapshots.whole(self.executor.apply), after=after, wait_s=0)
        self.executor.caught_up = lambda: self.follower.caught_up
        self.executor.is_past = self.follower.is_past
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


def routed(order_id: str) -> tuple[e.OrderEvent, ...]:
    leg = e.Leg(f"{order_id}-1", "PAPER_A", Decimal(10))
    return (e.OrderRouted(order_id=order_id, at=AT, status=State.ROUTED, legs=(leg,), policy="lowest_cost"),)


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
    async with Exeq(journal, tmp_path).live() as exeq:
        await until(lambda: exeq.asked)
        assert [command.order_id for command in exeq.asked] == ["W"]
        assert (exeq.read_from, exeq.sent.routes) == (3, [])
        await exeq.reads(routed("W"))
        assert exeq.sent.routes == [("new", "W-1")]


async def test_what_was_routed_before_the_start_is_not_sent_whether_in_the_snapshot_or_behind_it(tmp_path: Path) -> None:
    # FAILURES 6: it may have been sent; it is asked about instead
    journal = MemoryJournal()
    await first_life(journal, tmp_path)
    await write(journal, [routed("W"), born("N"), routed("N"), cancel_requested("A")])
    async with Exeq(journal, tmp_path).live() as exeq:
        assert exeq.read_from == 3
        assert exeq.sent.routes == []
        assert [request.route_id for request in exeq.executor.executions.unanswered(AT + 1)] == ["A-1", "W-1", "N-1"]
        await exeq.reads(born("L"), routed("L"), cancel_requested("W"))
        assert exeq.sent.routes == [("new", "L-1"), ("cancel", "W-1")]
