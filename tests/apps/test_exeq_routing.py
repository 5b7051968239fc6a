"""exeq decides: by priority, with tokens, past venues that are not well, and what no venue may take is refused or held."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from apps.exeq.executor import Command, Executor
from apps.exeq.router import Router, RoutingRules
from apps.exeq.stop_orders import StopOrders
from apps.exeq.trailing_stops import TrailingStops
from domain.execution.projection import Executions
from domain.execution.routing import RoutedVenue
from domain.execution.venue_health import REJECTS_IN_A_ROW_MAX
from domain.market.quotes import Market, Quote
from domain.order import events as e
from domain.order.commands import CommandAnswer, RefuseRoute, RouteOrder
from domain.order.lifecycle import State
from domain.ports import Unavailable
from domain.risk.controls import Controls
from domain.values import OrderType
from tests.apps.owned import owned
from tests.apps.test_snapshots import until
from tests.contracts.facts import AT
from tests.domain.execution.test_projection import Told
from tests.domain.execution.test_routing import order

SYMBOL, ONE = "BTCUSDT", Decimal(1)
S = 1_000_000_000


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = AT
        self.jumped = 0
        """How far the wall clock was put ahead (or back), away from the time that went by."""

    def now_ns(self) -> int:
        return self.now + self.jumped

    def monotonic_ns(self) -> int:
        return self.now


class Known(Controls):
    def known(self) -> bool:
        return True


class Desk:
    """An executor that has read the journal; what it asks of oms is kept."""

    def __init__(self, *venues: RoutedVenue, **rules: Any) -> None:
        self.told, self.clock, self.asked, market = Told(), Hands(), list[Command](), Market()
        for venue in venues:
            quote = Quote(symbol=SYMBOL, venue=venue.name, bid=ONE, bid_size=ONE, ask=ONE, ask_size=ONE, at=AT)
            market.update(quote, AT)
        self.controls = Known()
        routing: dict[str, Any] = {"policy": "lowest_cost", "quote_age_max_ns": 10**18} | rules
        self.router = Router(
            {v.name: v for v in venues}, {}, market, self.clock, RoutingRules(**routing), self.told, killed=lambda name: False
        )
        self.executor = Executor(
            None,  # type: ignore[arg-type]
            lambda requests: None,
            self.controls,  # type: ignore[arg-type]
            self.clock,
            self.told,
            self.router,
            256,
            owned(),
            caught_up=lambda: True,
            is_past=lambda seq: False,
            failed=pytest.fail,
        )
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


def venue(name: str, *, fee: int = 1, burst: int = 1000, per_sec: int = 1000) -> RoutedVenue:
    return RoutedVenue(name, ONE, Decimal(fee), frozenset({SYMBOL}), orders_per_sec=per_sec, burst=burst)


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


class Away:
    """Stands for oms, which does not answer."""

    async def ask(self, commands: Sequence[Command], timeout_s: float) -> Sequence[CommandAnswer]:
        raise Unavailable("oms does not answer")


async def test_what_oms_did_not_record_is_dropped_when_another_unit_takes_the_shard_and_the_order_stays_queued() -> None:
    desk = Desk(venue("A"))
    desk.executor._oms = Away()  # type: ignore[assignment]
    desk.told.submit("a")
    Executor.ask_soon(desk.executor, desk.executor._next())
    assert desk.executor.asks("a")
    desk.executor.ownership._lost = lambda reason: None
    desk.executor.ownership.heard(e.ShardTaken(at=AT, unit="unit-b", sender="other"), 99)
    await until(lambda: not desk.executor.asks("a"))
    assert desk.decided() == ["a A"]


async def test_an_order_that_waits_for_a_token_is_routed_though_nothing_new_comes() -> None:
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


def test_a_symbol_that_no_venue_lists_is_refused_with_the_reason() -> None:
    desk = Desk(RoutedVenue("A", ONE, ONE, frozenset({"ETHUSDT"})))
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
    desk.told.health_of("A").rejected()
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


HOUR = 3600 * S
JUMPS = pytest.mark.parametrize(
    "jumps", [(HOUR, -HOUR), (-HOUR, HOUR), (HOUR,), (-HOUR,)], ids=["ahead and back", "back and ahead", "ahead", "back"]
)
"""How the wall clock is moved, one after the other; what follows is due at the same time as if it had not been."""


@JUMPS
def test_tokens_come_back_whatever_the_wall_clock_does(jumps: tuple[int, ...]) -> None:
    desk = Desk(venue("A", burst=1, per_sec=1))
    for number, jump in enumerate((0, *jumps)):
        desk.clock.jumped += jump
        desk.told.submit(f"o{number}")
        assert desk.decided() == [f"o{number} A"], "the token of this second"
        desk.told.submit(f"late{number}")
        assert desk.decided() == [], "no second one"
        assert desk.router.token_in_s() == 1
        desk.clock.now += S
        assert desk.decided() == [f"late{number} A"]
        desk.clock.now += S


@JUMPS
def test_quotes_grow_old_in_their_time_whatever_the_wall_clock_does(jumps: tuple[int, ...]) -> None:
    desk = Desk(venue("A"), quote_age_max_ns=10 * S)
    for jump in jumps:
        desk.clock.jumped += jump
        assert len(desk.router._market.quotes(SYMBOL, desk.clock.monotonic_ns() - 10 * S)) == 1
        desk.told.submit(f"o{jump}")
        (command,) = desk.executor._next()
        assert isinstance(command, RouteOrder)
        assert command.candidates[0].note is None, "its quote is fresh"
    desk.clock.now += 11 * S
    desk.told.submit("late")
    (command,) = desk.executor._next()
    assert isinstance(command, RouteOrder)
    assert command.candidates[0].note == "no fresh quote"


@JUMPS
def test_a_pause_of_a_venue_ends_in_its_time_whatever_the_wall_clock_does(jumps: tuple[int, ...]) -> None:
    desk = Desk(venue("A"), away_wait_ns=5 * S)
    for number in range(REJECTS_IN_A_ROW_MAX):
        desk.clock.jumped += jumps[number % len(jumps)]
        desk.told.submit(f"r{number}")
        desk.told.route(f"r{number}", (f"R{number}", "A"), at=desk.clock.now_ns())
        rejected = e.OrderRejected(
            order_id=f"r{number}",
            at=desk.clock.now_ns(),
            status=State.REJECTED,
            source="venue",
            reason="halted",
            route_id=f"R{number}",
            venue="A",
            report_seq=number,
        )
        desk.told.apply(rejected)
    desk.router.back_off(desk.told.refusing)
    desk.told.submit("a")
    assert desk.decided() == [], "it waits: the venue is left alone"
    desk.clock.jumped += jumps[0]
    desk.clock.now += S
    assert desk.decided() == ["a A"]


@JUMPS
def test_an_order_waits_for_a_venue_as_long_as_it_may_whatever_the_wall_clock_does(jumps: tuple[int, ...]) -> None:
    desk = Desk(venue("A"), away_wait_ns=5 * S)
    desk.router.disconnected.add("A")
    desk.told.submit("a")
    for jump in jumps:
        assert desk.decided() == []
        desk.clock.jumped += jump
    desk.clock.now += 4 * S
    assert desk.decided() == []
    desk.clock.now += S
    assert desk.decided() == ["a no_venue"]


@JUMPS
def test_a_stop_wakes_by_a_fresh_quote_whatever_the_wall_clock_does(jumps: tuple[int, ...]) -> None:
    desk = Desk(venue("A"))
    desk.clock.jumped += sum(jumps)
    stop = msgspec.structs.replace(order(quantity="1"), order_type=OrderType.STOP, stop_price=ONE)
    sleeping = Executions(holds_stops=True)
    sleeping.held.sleeping = {SYMBOL: {"o": stop}}
    trailing = TrailingStops(desk.executor, sleeping, {}, lambda account, symbol: None, S)
    stops = StopOrders(desk.executor, sleeping, desk.router._market, desk.clock, 10 * S, trailing)
    assert [command.order_id for command in stops._woken()] == ["o"]
    desk.clock.now += 11 * S
    assert list(stops._woken()) == []
