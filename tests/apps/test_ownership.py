"""Who sends for a shard: taken once, by the process that expects the right epoch; oms refuses older ones."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS, encode
from adapters.memory import MemoryJournal, MemoryLog, MemoryOrderStore
from apps.exeq.ownership import Ownership
from apps.journal.group_commit import Pace
from apps.journal.shard_host import ShardHost
from apps.oms.child_spawner import ChildSpawner
from apps.oms.command_handler import CommandHandler
from domain.execution.owner import Owner
from domain.order import commands as c
from domain.order import events as e
from tests import given
from tests.apps.held_journal import until


class Said:
    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []

    def put(self, subject: str, payload: bytes) -> None:
        self.answers = msgspec.json.decode(payload)


class Desk:
    """oms's side of `oms.commands`, on a journal in memory."""

    def __init__(self, log: MemoryLog, store: MemoryOrderStore) -> None:
        self.log = log
        self.store = store
        self.said = Said()
        self.host = ShardHost(MemoryJournal(log), SystemClock(), store=store, pace=Pace(wait_s=0))
        children = ChildSpawner(self.host, None, None)  # type: ignore[arg-type]
        self.desk = CommandHandler(self.host, children, self.said, failed=pytest.fail)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.host.run())

    async def asks(self, *commands: c.Command) -> list[dict[str, Any]]:
        """As it comes over the wire."""
        self.said.answers = []
        message: Any = type("Message", (), {"data": encode(list(commands)), "reply": "there"})()
        await self.desk._on_commands(message)
        await until(lambda: bool(self.said.answers))
        return self.said.answers

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk(MemoryLog(), MemoryOrderStore())
    await until(lambda: made.host.ready)
    yield made
    await made.end()


def take(sender: str, before: int = 0, **more: Any) -> c.TakeShard:
    return c.TakeShard(unit="unit-0", sender=sender, before=before, **more)


def routing(epoch: int) -> c.RouteOrder:
    return msgspec.structs.replace(given.route(("R1", "PAPER_A", "10")), unit="unit-0" if epoch else "", epoch=epoch)


def events(log: MemoryLog) -> list[e.OrderEvent]:
    return [event for _, payload in log.commits for event in ORDER_COMMITS.decode(payload).events]


async def test_a_take_over_needs_the_current_epoch_so_that_a_late_or_doubled_one_takes_nothing(desk: Desk) -> None:
    assert (await desk.asks(take("a")))[0]["ok"]
    assert desk.host.book.owner == Owner("unit-0", "a", 1)
    for late in (take("a"), take("b"), take("b", 7)):
        assert await desk.asks(late) == [{"ok": False, "code": "epoch_moved", "epoch": 1}]
    assert (await desk.asks(take("b", 1)))[0]["ok"]
    assert desk.host.book.owner == Owner("unit-0", "b", 2)
    assert [event.sender for event in events(desk.log) if isinstance(event, e.ShardTaken)] == ["a", "b"]


async def test_an_epoch_is_above_what_a_venue_has_met(desk: Desk) -> None:
    await desk.asks(take("a"))
    assert (await desk.asks(take("a", 1, met=900)))[0]["ok"]
    assert desk.host.book.owner.epoch == 901


@pytest.mark.parametrize("command", [take("a b"), take(""), take("a", met=-1), take("a", met=2**53)])
async def test_an_unreadable_name_takes_nothing(desk: Desk, command: c.TakeShard) -> None:
    assert (await desk.asks(command))[0]["code"] == "malformed"
    assert not desk.log.commits


async def test_only_the_current_owner_may_have_routes_recorded(desk: Desk) -> None:
    await desk.host.perform(given.submit(given.terms()))
    await desk.asks(take("a"))
    await desk.asks(take("b", 2))
    for epoch in (0, 2, 4):
        assert await desk.asks(routing(epoch)) == [{"ok": False, "code": "stale_sender", "epoch": 3}]
    refused = c.RefuseRoute(order_id=given.ORDER_ID, reason="no_venue", unit="unit-0", epoch=2)
    assert (await desk.asks(refused))[0]["code"] == "stale_sender"
    assert (await desk.asks(routing(3)))[0]["ok"]
    (routed,) = [event for event in events(desk.log) if isinstance(event, e.OrderRouted)]
    assert (routed.unit, routed.epoch) == ("unit-0", 3)


async def test_where_no_exeq_ever_took_the_shard_what_names_none_is_recorded_as_before(desk: Desk) -> None:
    await desk.host.perform(given.submit(given.terms()))
    assert (await desk.asks(routing(0)))[0]["ok"]
    assert b'"epoch"' not in desk.log.commits[-1][1]


async def test_a_doubt_of_a_comparison_has_no_epoch_and_is_recorded(desk: Desk) -> None:
    await desk.host.perform(given.submit(given.terms()))
    await desk.asks(take("a"))
    await desk.asks(routing(2))
    doubt = c.DoubtRoute(order_id=given.ORDER_ID, route_id="R1", reason="order not there", anyway=True)
    assert (await desk.asks(doubt))[0]["ok"]


@pytest.mark.parametrize("saved", [False, True], ids=["from the journal", "from the store"])
async def test_oms_knows_the_owner_after_a_restart(desk: Desk, saved: bool) -> None:
    await desk.asks(take("a"))
    await desk.host.perform(given.submit(given.terms()))
    if saved:
        await until(lambda: not desk.host.book.unsaved())
    await desk.end()
    again = Desk(desk.log, desk.store if saved else MemoryOrderStore())
    await until(lambda: again.host.ready)
    assert again.host.book.owner == Owner("unit-0", "a", 1)
    await again.end()


def test_the_word_of_the_journal_ends_an_exeq_and_not_its_own_past() -> None:
    client: Any = None
    ended: list[str] = []
    mine = Ownership(client, "me", lambda: True, ended.append)
    mine.heard(e.ShardTaken(at=1, unit="unit-0", sender="other"), 5)
    assert not mine.active()
    mine.heard(e.ShardTaken(at=1, unit="unit-0", sender="me", before=5), 8)
    assert (mine.epoch, mine.active(), ended) == (8, True, [])
    mine.met(8)
    assert mine.active()
    mine.met(11)
    assert not mine.active(), "a venue would refuse what it sends"
    mine.heard(e.ShardTaken(at=1, unit="unit-0", sender="me", before=8, met=11), 9)
    assert (mine.epoch, mine.active()) == (12, True)
    mine.heard(e.ShardTaken(at=1, unit="unit-0", sender="other", before=12), 13)
    assert (mine.epoch, mine.active(), len(ended)) == (None, False, 1)


def test_while_it_is_not_its_turn_it_sends_nothing() -> None:
    client: Any = None
    turn = [True]
    mine = Ownership(client, "me", lambda: turn[0], lambda reason: None)
    mine.heard(e.ShardTaken(at=1, unit="unit-0", sender="me"), 8)
    turn[0] = False
    assert not mine.active()
