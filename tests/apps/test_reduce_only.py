"""Reduce-only orders over their whole life, on a host with its journal in memory: the commit that moves a position also cuts them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryLog, MemoryOrderStore
from apps.journal.shard_host import Landed
from apps.oms import reduce_only as reduce_only_module
from apps.oms.reduce_only import ReduceOnly
from domain.order import commands as c
from domain.order.events import Leg
from domain.order.group import ListTerms, ListType, Role
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.ports import Unavailable
from domain.values import order_id_of
from tests import given
from tests.apps.held_journal import until
from tests.apps.test_host import Desk, desk


class Scene:
    """alice trades; every order is called by a name. `said` is what the last commits were, one text each."""

    def __init__(self, at: Desk) -> None:
        self.desk = at
        self.keeper = ReduceOnly(at.host)
        self._trades = 0

    async def submits(self, name: str, side: str, quantity: str, *, reduce_only: bool = True, account: str = given.ACCOUNT) -> Landed:
        order_id = order_id_of(account, name)
        terms = given.terms(quantity, side=side)
        terms = msgspec.structs.replace(terms, order_id=order_id, client_order_id=name, account=account, reduce_only=reduce_only)
        return await self.desk.do(given.submit(terms))

    async def basket(self, *names: str) -> None:
        """A list of reduce-only sells of 5 that no venue has."""
        legs = [
            msgspec.structs.replace(
                given.terms("5", side="sell"),
                order_id=order_id_of(given.ACCOUNT, name),
                client_order_id=name,
                reduce_only=True,
                group_id="L",
                role=str(Role.LEG),
            )
            for name in names
        ]
        asked = ListTerms(list_id="L", account=given.ACCOUNT, client_list_id="l-1", kind=ListType.NONE)
        ids = tuple(leg.order_id for leg in legs)
        landed: list[object] = []
        record = c.RecordList(order_id=ids[0], list=asked, members=ids)
        self.desk.host.submit_list([given.submit(leg) for leg in legs], record, landed.append)
        await until(lambda: bool(landed))

    async def rests(self, name: str, side: str, quantity: str, *, reduce_only: bool = True) -> None:
        """At a venue, which has acknowledged it."""
        await self.submits(name, side, quantity, reduce_only=reduce_only)
        leg = Leg(f"{name}-1", "PAPER_A", Decimal(quantity))
        await self.desk.do(c.RouteOrder(order_id=order_id_of(given.ACCOUNT, name), legs=(leg,), policy="best_price"))
        await self.venue(name, "accepted", venue_order_id=f"V-{name}")

    async def venue(self, name: str, kind: str, **said: Any) -> Landed:
        report = given.report(kind, route_id=f"{name}-1", report_seq=0, side=self.order(name).side, **said)
        return await self.desk.do(msgspec.structs.replace(report, order_id=order_id_of(given.ACCOUNT, name)))

    async def trades(self, name: str, quantity: str) -> Landed:
        self._trades += 1
        return await self.venue(name, "fill", exec_id=f"{name}-{self._trades}", quantity=quantity, price="50")

    async def holds(self, quantity: str) -> None:
        """alice's position is opened by an ordinary order."""
        await self.rests("entry", "buy", quantity, reduce_only=False)
        await self.trades("entry", quantity)

    async def loses(self, quantity: str, *, by: str = "exit") -> Landed:
        """An ordinary sell closes some of it."""
        await self.rests(by, "sell", quantity, reduce_only=False)
        return await self.trades(by, quantity)

    def order(self, name: str) -> Order:
        return self.desk.order(name)

    def said(self, last: int = 1) -> str:
        """The events of the last commits."""
        commits = [ORDER_COMMITS.decode(payload).events for _, payload in self.desk.log.commits[-last:]]
        return "\n".join(", ".join(f"{self._name(e.order_id)} {type(e).__name__} {e.status}" for e in events) for events in commits)

    def _name(self, order_id: str) -> str:
        order = self.desk.host.find(order_id)
        assert order is not None
        return order.client_order_id


@asynccontextmanager
async def scene(log: MemoryLog | None = None, store: MemoryOrderStore | None = None) -> AsyncIterator[Scene]:
    async with desk(log, store) as made:
        yield Scene(made)


async def test_the_fill_that_closes_the_position_cancels_what_rests_at_a_venue_in_one_commit() -> None:
    async with scene() as s:
        await s.holds("10")
        await s.rests("stop", "sell", "10")
        await s.loses("10")
        assert s.said() == "exit OrderFilled filled, stop CancelRequested pending_cancel"
        assert (s.order("stop").source, s.order("stop").reason) == ("oms", "reduce_only")
        await s.venue("stop", "cancelled", reason="requested")
        assert (s.order("stop").status, s.order("stop").source, s.order("stop").reason) == ("cancelled", "oms", "reduce_only")
        assert s.desk.host.book.holdings.quantities == {}


async def test_what_no_venue_has_is_cancelled_or_cut_at_once() -> None:
    async with scene() as s:
        await s.holds("10")
        await s.submits("old", "sell", "6")
        await s.submits("new", "sell", "4")
        await s.loses("5")
        assert s.said() == "exit OrderFilled filled, new OrderCancelled cancelled, old OrderReplaced queued"
        assert (s.order("old").quantity, s.order("new").reason) == (Decimal(5), "reduce_only")


async def test_a_basket_whose_last_order_is_cancelled_ends_in_the_same_commit() -> None:
    async with scene() as s:
        await s.holds("10")
        await s.basket("first", "last")
        await s.loses("10")
        assert (
            s.said() == "exit OrderFilled filled, last OrderCancelled cancelled, first OrderCancelled cancelled, first ListEnded cancelled"
        )
        group = s.order("first").group
        assert group is not None
        assert group.ended == "cancelled"


async def test_what_rests_is_replaced_by_what_the_position_has_left() -> None:
    async with scene() as s:
        await s.holds("10")
        await s.rests("stop", "sell", "10")
        await s.loses("4")
        assert s.said() == "exit OrderFilled filled, stop ReplaceRequested pending_replace"
        asked = s.order("stop").replacing
        assert asked is not None
        assert asked.quantity == 6


async def test_fills_that_come_while_a_replace_is_unanswered_are_caught_up_by_its_answer() -> None:
    async with scene() as s:
        await s.holds("10")
        await s.rests("stop", "sell", "10")
        await s.loses("4")
        await s.loses("2", by="exit-2")
        assert s.said() == "exit-2 OrderFilled filled", "one request at a time"
        await s.venue("stop", "replaced", quantity="6", price="50", replace_id=s.order("stop").next_replace_id.replace("r2", "r1"))
        assert s.said() == "stop OrderReplaced routed, stop ReplaceRequested pending_replace"
        asked = s.order("stop").replacing
        assert asked is not None
        assert asked.quantity == 4
        await s.loses("4", by="exit-3")
        assert s.said() == "exit-3 OrderFilled filled, stop CancelRequested pending_cancel"


async def test_an_order_whose_venue_refuses_less_of_it_is_cancelled() -> None:
    async with scene() as s:
        await s.holds("10")
        await s.rests("stop", "sell", "10")
        await s.loses("4")
        asked = s.order("stop").replacing
        assert asked is not None
        await s.venue("stop", "replace_rejected", replace_id=asked.replace_id, reason="not_supported")
        assert s.said() == "stop ReplaceRejected routed, stop CancelRequested pending_cancel"


async def test_a_bust_shrinks_a_position_too() -> None:
    async with scene() as s:
        await s.holds("10")
        await s.rests("stop", "sell", "10")
        await s.venue("entry", "bust", exec_id="entry-1")
        assert s.said() == "entry TradeBusted routed, stop CancelRequested pending_cancel"


async def test_its_own_fills_leave_it_what_the_position_has_left() -> None:
    async with scene() as s:
        await s.holds("10")
        await s.rests("stop", "sell", "10")
        await s.trades("stop", "7")
        assert s.said() == "stop OrderFilled partially_filled"
        await s.loses("1")
        assert s.said() == "exit OrderFilled filled, stop ReplaceRequested pending_replace"
        await s.trades("stop", "2")
        assert s.said() == "stop OrderFilled pending_replace", "the smaller quantity is on its way"
        assert s.keeper.opened == 0


async def test_other_accounts_and_orders_that_are_not_reduce_only_are_left_alone() -> None:
    async with scene() as s:
        await s.holds("10")
        await s.rests("plain", "sell", "10", reduce_only=False)
        await s.loses("10")
        assert s.said() == "exit OrderFilled filled"
        assert s.desk.host.orders.reducing == {}


async def test_a_position_that_grows_or_a_fill_that_came_before_asks_for_nothing() -> None:
    async with scene() as s:
        await s.holds("10")
        await s.rests("stop", "sell", "10")
        await s.rests("more", "buy", "5", reduce_only=False)
        await s.trades("more", "5")
        assert s.said() == "more OrderFilled filled"
        await s.loses("15")
        commits = len(s.desk.log.commits)
        again = await s.venue("exit", "fill", exec_id="exit-3", quantity="15", price="50")
        assert (again.events, len(s.desk.log.commits)) == ((), commits)


async def test_an_order_that_risk_approved_for_a_position_that_has_gone_is_cut_in_its_first_commit() -> None:
    async with scene() as s:
        landed = await s.submits("late", "sell", "10")
        assert (
            s.said()
            == "late OrderSubmitted new, late OrderRiskChecked risk_checked, late OrderQueued queued, late OrderCancelled cancelled"
        )
        assert landed.order is not None
        assert not landed.order.refused, "it was taken, and then cancelled"
        await s.holds("4")
        await s.submits("partly", "sell", "10")
        assert s.said().endswith("partly OrderQueued queued, partly OrderReplaced queued")
        again = await s.submits("partly", "sell", "10")
        assert again.events == (), "asked for again it is the same order"


async def test_a_cut_is_announced_after_the_ack_even_when_the_reporter_of_the_fill_is_gone() -> None:
    async with scene() as s:
        await s.holds("10")
        await s.rests("stop", "sell", "10")
        await s.rests("exit", "sell", "10", reduce_only=False)

        def burst(outcome: Landed | Unavailable) -> None:
            raise ConnectionResetError("the client has gone")

        s.desk.journal.hold()
        s.desk.noticed.clear()
        report = given.report("fill", route_id="exit-1", report_seq=0, side="sell", exec_id="F9", quantity="10", price="50")
        s.desk.host.execute(msgspec.structs.replace(report, order_id=order_id_of(given.ACCOUNT, "exit")), burst)
        await s.desk.journal.reached()
        assert s.desk.noticed == []
        s.desk.journal.release()
        await until(lambda: len(s.desk.noticed) == 2)
        exit_, stop = s.desk.noticed
        assert exit_.order is not None
        assert stop.order is not None
        assert [exit_.order.client_order_id, stop.order.client_order_id] == ["exit", "stop"]
        assert exit_.seq == stop.seq == stop.order.seqs[-1]


async def test_a_commit_that_is_lost_is_decided_again_with_its_cut() -> None:
    async with scene() as s:
        await s.holds("10")
        await s.rests("stop", "sell", "10")
        await s.rests("exit", "sell", "10", reduce_only=False)
        s.desk.log.down = True
        with pytest.raises(Unavailable):
            await s.trades("exit", "10")
        await until(lambda: not s.desk.host.ready)
        s.desk.log.down = False
        await s.desk.ready()
        assert (s.order("stop").status, s.desk.host.book.holdings.of((given.ACCOUNT, given.SYMBOL))) == (State.ROUTED, Decimal(10))
        await s.trades("exit", "10")
        assert s.said() == "exit OrderFilled filled, stop CancelRequested pending_cancel"


@pytest.mark.parametrize("kept", ["its store", "an older store", "no store"])
async def test_after_a_restart_it_knows_what_is_held(kept: str) -> None:
    log, store = MemoryLog(), MemoryOrderStore()
    async with scene(log, store) as s:
        await s.holds("10")
        await until(lambda: not s.desk.host.book.unsaved())
        older = dict(store._orders), store._meta
        await s.rests("stop", "sell", "10")
        await s.loses("3")
        await until(lambda: not s.desk.host.book.unsaved())
    if kept == "an older store":
        store._orders, store._meta = older
    async with scene(log, MemoryOrderStore() if kept == "no store" else store) as s:
        assert s.desk.host.book.holdings.quantities == {(given.ACCOUNT, given.SYMBOL): Decimal(7)}
        await s.loses("7", by="exit-2")
        assert s.said() == "exit-2 OrderFilled filled, stop CancelRequested pending_cancel"


async def test_a_refused_cancel_is_asked_again_after_longer_and_longer_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduce_only_module, "AGAIN_S", 0.0)
    async with scene() as s:
        await s.holds("10")
        await s.rests("stop", "sell", "10")
        await s.loses("10")
        await s.venue("stop", "cancel_rejected", reason="busy")
        assert s.said() == "stop CancelRejected routed", "not at once: the venue would be asked as fast as it answers"
        await s.keeper.look()
        await until(lambda: s.said() == "stop CancelRequested pending_cancel")
        await s.keeper.look()
        assert s.keeper.again == 1, "it waits for the answer"
        monkeypatch.setattr(reduce_only_module, "AGAIN_S", 5.0)
        await s.venue("stop", "cancel_rejected", reason="busy")
        s.keeper._again.clear()
        pauses = []
        for _ in range(5):
            s.keeper._again = {key: (0.0, pause) for key, (_, pause) in s.keeper._again.items()}
            await s.keeper.look()
            pauses += [pause for _, pause in s.keeper._again.values()]
            await s.venue("stop", "cancel_rejected", reason="busy")
        assert pauses == [10, 20, 40, 40, 40]
        asked = s.keeper.again
        await s.keeper.look()
        assert s.keeper.again == asked, "its pause is not over"


async def test_orders_that_an_older_version_left_beyond_their_position_are_found_by_looking() -> None:
    async with scene() as s:
        await s.holds("10")
        await s.rests("stop", "sell", "10")
        s.desk.host.book.holdings.quantities.clear()
        await s.keeper.look()
        await until(lambda: s.said() == "stop CancelRequested pending_cancel")
        assert s.keeper.stats() == {"asked_again": 1, "opened": 0}


async def test_a_trade_that_a_venue_made_before_it_was_told_is_believed_counted_and_raises_an_alarm() -> None:
    async with scene() as s:
        await s.holds("10")
        await s.rests("stop", "sell", "10")
        await s.loses("10")
        with capture_logs() as logs:
            await s.trades("stop", "4")
        assert s.desk.host.book.holdings.quantities == {(given.ACCOUNT, given.SYMBOL): Decimal(-4)}
        assert s.keeper.opened == 1
        (alarm,) = [line for line in logs if line["log_level"] == "error"]
        assert (alarm["account"], alarm["venue"], alarm["opened"]) == (given.ACCOUNT, "PAPER_A", "4")
        assert [metric.samples[0].value for metric in s.keeper.series()] == [0, 1]


async def test_the_alarm_of_a_trade_is_not_raised_again_by_reading_it_back() -> None:
    log = MemoryLog()
    async with scene(log) as s:
        await s.holds("10")
        await s.rests("stop", "sell", "10")
        await s.loses("10")
        await s.trades("stop", "10")
        assert s.keeper.opened == 1
        with capture_logs() as logs:
            s.desk.log.acks_to_lose = 1
            with pytest.raises(Unavailable):
                await s.submits("more", "buy", "1", reduce_only=False)
            await s.desk.recovered()
        assert s.keeper.opened == 1
        assert [line for line in logs if line["log_level"] == "error"] == []


async def test_a_look_while_the_shard_recovers_does_nothing() -> None:
    async with scene() as s:
        await s.holds("10")
        s.desk.log.down = True
        await until(lambda: not s.desk.host.ready)
        assert s.desk.host.reduce((given.ACCOUNT, given.SYMBOL)) == 0
        s.desk.log.down = False
        await asyncio.sleep(0)
