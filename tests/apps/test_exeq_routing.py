"""exeq decides: by priority, with tokens, past venues that are not well, and what nobody may take is refused or held."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from apps.exeq.executor import Command, Executor
from apps.exeq.router import Router, RoutingRules
from domain import events as e
from domain.commands import RefuseRoute, RouteOrder
from domain.controls import Controls
from domain.executions import Executions
from domain.lifecycle import State
from domain.quotes import Market, Quote
from domain.routing import Venue
from tests.apps.test_snapshots import until
from tests.contracts.facts import AT
from tests.domain.test_executions import Told

SYMBOL, ONE = "BTCUSDT", Decimal(1)
S = 1_000_000_000


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = AT

    def now_ns(self) -> int:
        return self.now


class Wire:
    def __init__(self) -> None:
        self.said: list[str] = []

    def put(self, subject: str, payload: bytes) -> None:
        self.said.append(subject)


class Desk:
    """An executor that has read the journal; what it asks of oms is kept."""

    def __init__(self, *venues: Venue, **rules: Any) -> None:
        self.told, self.clock, self.asked, market = Told(), Hands(), list[Command](), Market()
        for venue in venues:
            quote = Quote(symbol=SYMBOL, venue=venue.name, bid=ONE, bid_size=ONE, ask=ONE, ask_size=ONE, at=AT)
            market.update(quote, AT)
        self.controls = Controls()
        routing = {"policy": "lowest_cost", "quote_age_max_ns": 10**18} | rules
        self.router = Router({v.name: v for v in venues}, {}, market, self.clock, RoutingRules(**routing), self.told)
        self.executor = Executor(None, Wire(), self.controls, self.clock, self.told, self.router, 256)  # type: ignore[arg-type]
        self.executor.caught_up = lambda: True
        self.executor.ask_soon = self._ask  # type: ignore[method-assign]

    def _ask(self, commands: Sequence[Command]) -> None:
        self.asked += commands

    def decided(self) -> list[str]:
        """One look at the queue, as words."""
        self._ask(self.executor._next())
        words = [_word(command) for command in self.asked]
        self.asked.clear()
        return words


def _word(command: Command) -> str:
    if isinstance(command, RouteOrder):
        return f"{command.order_id} {command.legs[0].venue}"
    assert isinstance(command, RefuseRoute)
    return f"{command.order_id} {command.reason}"


def venue(name: str, *, fee: int = 1, burst: int = 1000, per_sec: int = 1000) -> Venue:
    return Venue(name, ONE, Decimal(fee), frozenset({SYMBOL}), orders_per_sec=per_sec, burst=burst)


def test_by_priority_then_by_time() -> None:
    desk = Desk(venue("A"))
    for name, priority in (("a", 0), ("b", 9), ("c", 0), ("d", 9)):
        desk.told.submit(name, priority=priority)
    assert desk.decided() == ["b A", "d A", "a A", "c A"]


def test_without_a_token_the_next_venue_takes_it_and_without_any_it_keeps_its_place() -> None:
    desk = Desk(venue("A", burst=2, per_sec=10), venue("B", fee=2, burst=1, per_sec=10))
    for name in ("a", "b", "c", "d", "e"):
        desk.told.submit(name)
    desk.told.submit("late", priority=1)
    assert desk.decided() == ["late A", "a A", "b B"]
    assert desk.decided() == []
    assert desk.executor.stats()["held"] == 3
    assert desk.router.token_in_s() == 0.1
    desk.clock.now += S // 10
    desk.told.submit("urgent", priority=9)
    assert desk.decided() == ["urgent A", "c B"]
    desk.clock.now += S
    assert desk.decided() == ["d A", "e A"]


async def test_who_waits_for_a_token_is_routed_though_nothing_new_comes() -> None:
    desk = Desk(venue("A", burst=1, per_sec=10))
    desk.told.submit("a")
    desk.told.submit("b")
    running = asyncio.create_task(desk.executor.run())
    await until(lambda: len(desk.asked) == 1)
    desk.clock.now += S
    await until(lambda: len(desk.asked) == 2)
    running.cancel()


@pytest.mark.parametrize(("no_venue", "first", "later"), [(False, ["a no_venue"], []), (True, [], ["a A"])])
def test_when_no_venue_is_well_it_is_refused_or_held(no_venue: bool, first: list[str], later: list[str]) -> None:
    # FAILURES 37: no new orders to a venue that is away
    desk = Desk(venue("A"), hold=no_venue)
    desk.router.disconnected.add("A")
    desk.told.submit("a")
    assert desk.decided() == first
    desk.router.disconnected.clear()
    assert desk.decided() == later


def test_an_order_waits_a_moment_for_a_venue_that_is_only_not_well_and_is_then_refused() -> None:
    desk = Desk(venue("A"), away_wait_ns=5 * S)
    desk.router.disconnected.add("A")
    desk.told.submit("a")
    assert desk.decided() == []
    desk.clock.now += 4 * S
    desk.told.submit("b")
    assert (desk.decided(), desk.executor.held) == ([], 2)
    desk.clock.now += S
    assert desk.decided() == ["a no_venue"]
    desk.router.disconnected.clear()
    assert (desk.decided(), desk.executor._stranded) == (["b A"], {})


def test_a_symbol_that_nobody_lists_is_refused_with_the_reason() -> None:
    desk = Desk(Venue("A", ONE, ONE, frozenset({"ETHUSDT"})))
    desk.told.submit("a")
    commands = desk.executor._next()
    assert commands == [RefuseRoute(order_id="a", reason="no_venue", detail="no venue lists BTCUSDT")]


def test_a_silent_venue_is_left_alone_until_it_speaks_or_its_time_is_over() -> None:
    desk = Desk(venue("A"), venue("B", fee=2))
    desk.router.silent(["A"])
    desk.told.submit("a")
    assert desk.decided() == ["a B"]
    desk.clock.now += 2 * S
    desk.told.submit("b")
    assert desk.decided() == ["b B"], "it may be tried again, but one silence costs more than the difference of the fees"
    desk.told.health_of("A").silence_rate = 0
    desk.told.submit("c")
    assert desk.decided() == ["c A"]


def test_rejects_are_seen_in_the_journal_and_held_against_the_venue() -> None:
    desk = Desk(venue("A"), venue("B", fee=3))
    for number in range(5):
        desk.told.submit(f"o{number}")
        desk.told.route(f"o{number}", (f"R{number}", "A"), at=AT)
        desk.told.apply(
            e.OrderRejected(
                order_id=f"o{number}",
                at=AT + 5_000_000,
                status=State.REJECTED,
                source="venue",
                reason="halted",
                route_id=f"R{number}",
                venue="A",
                report_seq=number,
            )
        )
    health = desk.told.health["A"]
    assert (health.rejects, health.answers, health.latency_ns) == (5, 5, 5_000_000)
    desk.told.submit("next")
    assert desk.decided() == ["next B"]
    desk = Desk(venue("A"), venue("B", fee=3), health=False)
    desk.told.health_of("A").rejected(AT)
    desk.told.submit("next")
    assert desk.decided() == ["next A"]


def test_an_order_that_a_venue_refused_and_oms_queued_again_goes_to_another() -> None:
    # row 11
    desk = Desk(venue("A"), venue("B", fee=2))
    desk.told.submit("a")
    assert desk.decided() == ["a A"]
    desk.told.route("a", ("a-1", "A"))
    desk.told.apply(e.OrderQueued(order_id="a", at=AT, status=State.QUEUED))
    restored = Executions()
    restored.restore(desk.told.state())
    assert restored.tried("a") == ("A",), "a snapshot remembers"
    assert desk.decided() == ["a B"]
    assert desk.told.working == {}
