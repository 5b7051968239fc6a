"""A venue that says nothing for a while: what it has not answered is in doubt, what rests there is not, and afterwards nothing is."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
import pytest

from adapters.codec import ORDER_COMMITS, encode
from adapters.memory import MemoryJournal, MemoryLog
from apps.exeq.executor import Command
from apps.exeq.in_doubt import ASKED_AT_ONCE_MAX, InDoubtRoutes
from apps.exeq.ownership import Ownership
from apps.journal.group_commit import Pace
from apps.journal.shard_host import ShardHost
from domain.execution.projection import Executions
from domain.execution.routing import RoutedVenue
from domain.order import commands as c
from domain.order import events as e
from domain.order.lifecycle import State
from domain.values import order_id_of
from tests import given
from tests.simulation.loop import VirtualLoop, run_virtually
from tests.simulation.world import SimClock

VENUE: Final = "PAPER_A"
GONE: Final = "PAPER_GONE"
RESTING: Final = 5_000
ASKED: Final = 600
"""Of each kind of request: more than are asked about in one go."""
SILENT_S: Final = 30.0
ROUND_S: Final = 3.0


class Said(msgspec.Struct):
    data: bytes


class Router:
    def __init__(self) -> None:
        one = Decimal(1)
        self.venues = {VENUE: RoutedVenue(VENUE, one, one, frozenset({given.SYMBOL}))}
        self.disconnected: set[str] = set()

    def silent(self, venues: set[str]) -> None:
        """What health makes of it is tested elsewhere."""


class House:
    """oms's host, exeq's fold of its journal, and a venue on the wire that has every order and may be silent."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.log, self.executions, self.router = MemoryLog(), Executions(), Router()
        self.host = ShardHost(MemoryJournal(self.log), SimClock(loop), pace=Pace(wait_s=0))
        self.ownership = Ownership(self, "exeq", holds=lambda: True, lost=pytest.fail)  # type: ignore[arg-type]
        self.doubts = InDoubtRoutes(self, self)  # type: ignore[arg-type]
        self.read = 0
        self.silent = False
        self.questions: Counter[str] = Counter()
        self.is_connected = True

    # As the client of NATS

    async def request(self, subject: str, payload: bytes, timeout: float) -> Said:
        kind = msgspec.json.decode(payload)["kind"]
        self.questions[kind] += 1
        if self.silent:
            await asyncio.sleep(timeout)
            raise TimeoutError
        await asyncio.sleep(0.001)
        return Said(encode({"known": True, "order": {"status": "working", "venue_order_id": "V1"}}))

    # As the executor

    def caught_up(self) -> bool:
        return True

    def cancel(self, request: c.VenueRequest) -> None:
        """It is lost: only what is asked is answered here."""

    replace = cancel

    def ask_soon(self, commands: Sequence[Command]) -> None:
        for command in commands:
            assert not isinstance(command, c.AlgoCommand), "no parent is here"
            self.host.execute(command, lambda outcome: self.reads())

    def reads(self) -> None:
        for _, payload in self.log.commits[self.read :]:
            for event in ORDER_COMMITS.decode(payload).events:
                self.executions.apply(event)
        self.read = len(self.log.commits)

    # The scene

    async def done(self, commands: Sequence[c.OrderCommand]) -> None:
        await asyncio.gather(*map(self.host.perform, commands))
        self.reads()

    def doubted(self) -> list[str]:
        events = (event for _, payload in self.log.commits for event in ORDER_COMMITS.decode(payload).events)
        return [event.order_id for event in events if isinstance(event, e.OrderInDoubt)]


def submit(name: str) -> c.SubmitOrder:
    order_id = order_id_of(given.ACCOUNT, name)
    return given.submit(msgspec.structs.replace(given.terms(), order_id=order_id, client_order_id=name))


def route(order_id: str, venue: str = VENUE) -> c.RouteOrder:
    return c.RouteOrder(order_id=order_id, legs=(e.Leg(f"{order_id}-1", venue, Decimal(10)),), policy="x")


def ack(order_id: str, venue: str = VENUE) -> c.VenueReport:
    told = given.report("accepted", report_seq=0, venue_order_id="V1", venue=venue)
    return msgspec.structs.replace(told, order_id=order_id, route_id=f"{order_id}-1")


async def scene(loop: VirtualLoop) -> None:
    house = House(loop)
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(house.host.run())]
    while not house.host.ready:
        await asyncio.sleep(0.01)
    submits = [submit(str(number)) for number in range(RESTING + 3 * ASKED)]
    names = [command.order_id for command in submits]
    await house.done(submits)
    await house.done([route(order_id) for order_id in names[: RESTING + 2 * ASKED]])
    await house.done([ack(order_id) for order_id in names[: RESTING + 2 * ASKED]])
    tasks.append(asyncio.create_task(house.doubts.run()))
    await asyncio.sleep(ROUND_S)
    resting, cancelled, replaced, sent = names[:RESTING], *(names[RESTING + n * ASKED :][:ASKED] for n in range(3))

    house.silent, commits = True, len(house.log.commits)
    await house.done([c.CancelOrder(order_id=order_id) for order_id in cancelled])
    await house.done([c.ReplaceOrder(order_id=order_id, replace_id=f"{order_id}-r1", price=Decimal(49)) for order_id in replaced])
    await house.done([route(order_id) for order_id in sent])
    await asyncio.sleep(SILENT_S)
    assert house.router.disconnected == {VENUE}, "its session is shown as away"
    assert sorted(house.doubted()) == sorted([*cancelled, *replaced, *sent]), "each once, and what rests there not at all"
    assert len(house.log.commits) - commits <= 10, "in lists"
    assert {house.host.find(order_id).status for order_id in resting} == {State.ROUTED}  # type: ignore[union-attr]

    house.silent = False
    await asyncio.sleep(2 * ROUND_S)
    assert (house.doubts.in_doubt, house.router.disconnected) == (0, set()), "all are asked about as soon as it is back"
    states = Counter(house.host.find(order_id).status for order_id in names)  # type: ignore[union-attr]
    assert states == {State.ROUTED: RESTING + 2 * ASKED, State.PENDING_CANCEL: ASKED}, "and a cancel that was under way is again"
    assert ASKED > ASKED_AT_ONCE_MAX
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_only_what_was_not_answered_is_in_doubt_and_nothing_is_when_the_venue_is_back() -> None:
    # FAILURES 34, 37
    run_virtually(scene)


async def removed(loop: VirtualLoop) -> None:
    house = House(loop)
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(house.host.run())]
    while not house.host.ready:
        await asyncio.sleep(0.01)
    here, there, sent = (order_id_of(given.ACCOUNT, name) for name in ("here", "there", "sent"))
    await house.done([submit(name) for name in ("here", "there", "sent")])
    await house.done([route(here), route(there, GONE), route(sent, GONE)])
    await house.done([ack(here), ack(there, GONE)])
    tasks.append(asyncio.create_task(house.doubts.run()))
    await asyncio.sleep(SILENT_S)
    states = {order_id: house.host.find(order_id).status for order_id in (here, there, sent)}  # type: ignore[union-attr]
    assert states == {here: State.ROUTED, there: State.IN_DOUBT, sent: State.IN_DOUBT}
    assert sorted(house.doubted()) == sorted([there, sent]), "each once"
    assert house.questions["order"] == 0, "no question goes where no answer can come from"

    await house.done([c.CancelOrder(order_id=there)])
    await asyncio.sleep(ROUND_S)
    assert house.host.find(there).status is State.IN_DOUBT, "what it asks for cannot be known to be done"  # type: ignore[union-attr]
    await house.done(
        [c.SettleOrder(order_id=name, outcome=c.Outcome.CANCELLED, who="ann", reason="closed there") for name in (there, sent)]
    )
    assert {house.host.find(name).status for name in (there, sent)} == {State.CANCELLED}  # type: ignore[union-attr]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_orders_at_a_venue_that_was_removed_are_in_doubt_and_can_be_settled() -> None:
    run_virtually(removed)
