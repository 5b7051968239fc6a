"""exeq follows the market with trailing stops: what it asks oms to record, and when, and what a restart begins with."""

from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest

from apps.exeq.stop_orders import StopOrders
from apps.exeq.trailing_stops import TrailingStops, _Followed
from domain.execution.projection import Executions
from domain.instruments import Instrument
from domain.market.quotes import Market, Quote
from domain.order import commands as c
from domain.order.decider import decide
from domain.order.order import Order, evolve
from domain.order.trail import Trail, TrailTrigger
from tests import given
from tests.apps.test_exeq_routing import Hands

MS = 1_000_000
D = Decimal
BTC = Instrument(symbol=given.SYMBOL, tick=D(1), lot=D(1), quantity_max=D(100), notional_min=D(1), currency="USD")


class Journaled:
    """oms, exeq and one order between them. `busy`: a command of the order is under way."""

    def __init__(self, terms: c.Terms) -> None:
        self.clock, self.market = Hands(), Market()
        self.order: Order | None = None
        self.busy = self.killed = False
        self.begin()
        self.commits: list[c.TrailStop | c.TriggerOrder] = []
        self.take(given.submit(terms))

    def begin(self) -> None:
        """exeq starts, with nothing in memory."""
        self.executions = Executions()
        self.trailing = TrailingStops(self, self.executions, {BTC.symbol: BTC}, lambda *_: "killed" if self.killed else None, 250 * MS)  # type: ignore[arg-type]
        self.stops = StopOrders(self, self.executions, self.market, self.clock, 10_000 * MS, self.trailing)  # type: ignore[arg-type]

    def asks(self, order_id: str) -> bool:
        return self.busy

    def restart(self) -> None:
        state = msgspec.json.decode(msgspec.json.encode(self.executions.state()), type=type(self.executions.state()))
        self.begin()
        self.executions.restore(state)

    def take(self, command: c.OrderCommand) -> list[str]:
        events = decide(self.order, command, self.clock.now)
        for event in events:
            self.order = evolve(self.order, event)
            self.executions.apply(event)
        return [type(event).__name__ for event in events]

    def replaces(self, number: int, amount: str) -> None:
        replace_id = f"{given.ORDER_ID}-r{number}"
        trail = Trail(amount=D(amount))
        self.take(c.ReplaceOrder(order_id=given.ORDER_ID, replace_id=replace_id, trail=trail, decision=given.approved()))
        self.looks()

    def shows(self, bid: str, ask: str | None = None, *, after_ms: int = 250, venue: str = "PAPER_A") -> list[str]:
        """The market moves, exeq looks at it, and oms records what it asks for. Return the steps, as words."""
        self.clock.now += after_ms * MS
        asked = D(bid) + 2 if ask is None else D(ask)
        self.market.update(
            Quote(symbol=given.SYMBOL, venue=venue, bid=D(bid), bid_size=D(1), ask=asked, ask_size=D(1), at=0), self.clock.now
        )
        found = self.looks()
        assert self.looks() == [], "the same market says nothing new"
        return found

    def trades(self, price: str, *, venue: str = "KRAKEN") -> list[str]:
        """The market trades, exeq looks at it, and oms records what it asks for."""
        self.clock.now += 250 * MS
        self.market.trades.update(given.SYMBOL, venue, D(price), self.clock.now)
        found = self.looks()
        assert self.looks() == [], "the same trade says nothing new"
        return found

    def looks(self) -> list[str]:
        words = []
        for command in self.trailing.look(self.stops._seen, self.stops._traded, self.clock.now):
            assert isinstance(command, c.TrailStop | c.TriggerOrder)
            found = self.take(command)
            self.commits.append(command)
            words += [f"{name} {command.stop_price}" for name in found]
        return words


def trailing(side: str = "sell", **trail: Any) -> c.Terms:
    asked = given.terms("10", None, side=side, order_type="trailing_stop")
    return msgspec.structs.replace(asked, trail=Trail(**({"amount": D(5)} | trail)))


def test_a_sell_follows_the_bid_up_and_is_triggered_on_the_way_down() -> None:
    desk = Journaled(trailing())
    assert desk.shows("100") == ["StopTrailed 95"]
    assert desk.shows("103") == ["StopTrailed 98"]
    assert desk.shows("101") == []
    assert desk.shows("97") == ["OrderTriggered 98"]
    assert desk.executions.held.trailing == {}
    assert [order.order_type for order in (desk.executions.queue.take(),) if order] == ["market"]


def test_steps_between_two_records_stay_in_memory_and_the_trigger_tells_the_last_one() -> None:
    desk = Journaled(trailing(limit_offset=D(2)))
    assert desk.shows("100") == ["StopTrailed 95"]
    assert desk.shows("101", after_ms=50) == []
    assert desk.shows("104", after_ms=50) == []
    assert desk.shows("99", after_ms=50) == ["OrderTriggered 99"], "of the level in memory, not of the record"
    assert desk.order is not None
    assert (desk.order.stop_price, desk.order.best, desk.order.price) == (D(99), D(104), D(97))


def test_at_most_one_record_in_a_quarter_of_a_second() -> None:
    desk = Journaled(trailing())
    found = [step for bid in range(100, 120) for step in desk.shows(str(bid), after_ms=100)]
    assert found == [f"StopTrailed {stop}" for stop in (95, 98, 101, 104, 107, 110, 113)]


def test_a_killed_exeq_continues_from_the_recorded_level() -> None:
    desk = Journaled(trailing())
    desk.shows("100")
    desk.shows("103")
    desk.shows("104", after_ms=50)
    desk.restart()
    assert desk.shows("101") == [], "the level is 98, as recorded"
    assert desk.executions.held.trailing[given.SYMBOL][given.ORDER_ID].stop_price == D(98)
    assert desk.shows("98") == ["OrderTriggered 98"]


def test_old_quotes_move_nothing() -> None:
    desk = Journaled(trailing())
    desk.shows("100")
    desk.clock.now += 10_001 * MS
    assert desk.looks() == []
    assert desk.shows("90", after_ms=0) == ["OrderTriggered 95"]


def test_the_best_venue_counts() -> None:
    desk = Journaled(trailing())
    desk.shows("100")
    assert desk.shows("104", venue="PAPER_B") == ["StopTrailed 99"]
    assert desk.shows("98") == [], "PAPER_B still bids 104"
    assert desk.shows("99", venue="PAPER_B") == ["OrderTriggered 99"]


def test_a_buy_follows_the_ask_and_a_mid_trail_the_mid() -> None:
    desk = Journaled(trailing("buy"))
    assert desk.shows("98", "100") == ["StopTrailed 105"]
    assert desk.shows("94", "96") == ["StopTrailed 101"]
    assert desk.shows("99", "101") == ["OrderTriggered 101"]
    mid = Journaled(trailing(trigger=TrailTrigger.MID))
    assert mid.shows("99", "101") == ["StopTrailed 95"]
    assert mid.shows("94", "98") == []
    assert mid.shows("93", "97") == ["OrderTriggered 95"]


def test_nothing_trails_under_a_kill_or_while_a_command_is_under_way() -> None:
    desk = Journaled(trailing())
    desk.shows("100")
    desk.killed = True
    assert desk.shows("110") == []
    assert desk.shows("90") == []
    desk.killed, desk.busy = False, True
    assert desk.shows("112") == []
    desk.busy = False
    assert desk.shows("108") == ["StopTrailed 107"], "memory went on while oms was asked"


def test_a_new_trail_counts_from_the_best_price_also_after_a_restart() -> None:
    desk = Journaled(trailing())
    desk.shows("100")
    desk.restart()
    desk.replaces(1, "3")
    assert desk.shows("99") == ["StopTrailed 97"]
    desk.replaces(2, "9")
    assert desk.shows("105") == [], "wider: it stays until the market has gone further"
    assert desk.shows("107") == ["StopTrailed 98"]


def test_a_new_trail_under_a_kill_counts_once_the_kill_is_over() -> None:
    desk = Journaled(trailing())
    desk.shows("100")
    desk.killed = True
    desk.replaces(1, "3")
    desk.killed = False
    assert desk.shows("99") == ["StopTrailed 97"], "the market is still between the stop price and the best price"


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_what_is_passed_over_would_have_changed_nothing(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def walk() -> list[list[str]]:
        desk, chance = Journaled(trailing(side)), Random(7)
        return [desk.shows(str(100 + chance.randint(-3, 3)), after_ms=100) for _ in range(40)]

    quick = walk()
    assert any(quick)
    monkeypatch.setattr(_Followed, "rests", lambda *_: False)
    assert walk() == quick


def test_a_cancelled_stop_is_forgotten() -> None:
    desk = Journaled(trailing())
    desk.shows("100")
    desk.take(given.cancel())
    assert desk.executions.held.trailing == {}
    assert desk.executions.held.best == {}
    assert desk.shows("110") == []
    assert desk.trailing._followed == {}


def test_a_stop_on_the_last_trade_follows_trades_of_any_venue_and_no_quote() -> None:
    desk = Journaled(trailing(trigger=TrailTrigger.LAST))
    assert desk.executions.held.on_trades == {given.SYMBOL: {given.ORDER_ID}}
    assert desk.shows("200") == []
    assert desk.trades("100", venue="KRAKEN") == ["StopTrailed 95"]
    assert (desk.commits[-1].venue, desk.commits[-1].best) == ("KRAKEN", D(100))
    assert desk.trades("103.5", venue="BINANCE") == ["StopTrailed 98"]
    assert desk.shows("1") == []
    assert desk.trades("98.4") == []
    assert desk.trades("98") == ["OrderTriggered 98"]
    assert desk.executions.held.on_trades == {}


def test_a_trade_that_is_older_than_a_quote_may_be_moves_nothing() -> None:
    desk = Journaled(trailing(trigger=TrailTrigger.LAST))
    desk.trades("100")
    desk.market.trades.update(given.SYMBOL, "KRAKEN", D(90), desk.clock.now)
    desk.clock.now += 10_001 * MS
    assert desk.looks() == []
    assert desk.trades("94") == ["OrderTriggered 95"]


def test_a_restart_continues_from_the_recorded_level_of_a_stop_on_the_last_trade() -> None:
    desk = Journaled(trailing(trigger=TrailTrigger.LAST))
    desk.trades("100")
    desk.restart()
    assert desk.executions.held.on_trades == {given.SYMBOL: {given.ORDER_ID}}
    assert desk.trades("96") == []
    assert desk.trades("95") == ["OrderTriggered 95"]
