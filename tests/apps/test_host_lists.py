"""Lists at the host of a shard: a trade and what follows from it are one commit, through crashes, restarts and the order store. GRP-1."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from msgspec import structs

from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryLog, MemoryOrderStore
from apps.journal import order_repository
from apps.journal.shard_host import IdTaken, Landed
from domain.audit.state_hash import orders_state
from domain.groups.status import flags_of, status_of
from domain.order import commands as c
from domain.order.decider import Events
from domain.order.events import Leg
from domain.order.group import ListType, Role
from domain.order.order import Order
from domain.ports import Unavailable
from domain.values import Side, derived_id, order_id_of
from tests import given
from tests.apps.held_journal import until
from tests.apps.test_host import Desk, desk
from tests.domain.groups.scene import terms

ENTRY, TAKE, STOP = (order_id_of(given.ACCOUNT, name) for name in ("entry", "take_profit", "stop_loss"))


def bracket() -> tuple[list[c.SubmitOrder], c.RecordList]:
    legs = [
        terms("entry", Decimal(10), Side.BUY, "50"),
        terms("take_profit", Decimal(10), Side.SELL, "60"),
        terms("stop_loss", Decimal(10), Side.SELL, stop="40", strict=True),
    ]
    asked = c.ListTerms(list_id="L", account=given.ACCOUNT, client_list_id="l-1", kind=ListType.BRACKET, strict=True)
    submits = [c.SubmitOrder(order_id=leg.order_id, terms=leg, decision=given.approved(leg.order_id)) for leg in legs]
    return submits, c.RecordList(order_id=ENTRY, list=asked, members=(ENTRY, TAKE, STOP))


async def placed(d: Desk) -> None:
    said: list[Landed | IdTaken | Unavailable] = []
    d.host.submit_list(*bracket(), said.append)
    await until(lambda: bool(said))
    assert isinstance(said[0], Landed)
    await d.do(c.RouteOrder(order_id=ENTRY, legs=(Leg("R1", "PAPER_A", Decimal(10)),), policy="best_price"))


def fill(quantity: str, number: int = 1, order_id: str = ENTRY, route: str = "R1", side: Side = Side.BUY) -> c.VenueReport:
    return c.VenueReport(
        report=c.ReportKind.FILL,
        order_id=order_id,
        route_id=route,
        venue="PAPER_A",
        report_seq=number,
        at=1,
        account=given.ACCOUNT,
        symbol=given.SYMBOL,
        side=side,
        exec_id=f"X{number}",
        quantity=Decimal(quantity),
        price=Decimal(50),
    )


def last_commit(log: MemoryLog) -> list[str]:
    return [type(event).__name__ for event in _events(log)]


def _events(log: MemoryLog) -> Events:
    return ORDER_COMMITS.decode(log.commits[-1][1]).events


def found(d: Desk, order_id: str) -> Order:
    order = d.host.find(order_id)
    assert order is not None
    return order


FOLLOWS = ["OrderFilled", "OrderReplaced", "OrderReplaced", "OrderQueued", "OrderQueued"]


async def test_a_trade_of_the_entry_and_the_release_of_its_exits_are_one_commit() -> None:
    async with desk() as d:
        await placed(d)
        await d.do(fill("3"))
        assert last_commit(d.log) == FOLLOWS


@pytest.mark.parametrize("appended", [False, True])
async def test_after_a_crash_both_are_there_or_neither_and_then_both(appended: bool) -> None:
    log = MemoryLog()
    async with desk(log) as d:
        await placed(d)
        if appended:
            await d.do(fill("3"))
        else:
            d.journal.hold()
            d.begin(fill("3"))
            await d.journal.reached()
    async with desk(log) as d:
        assert found(d, ENTRY).cum_quantity == (3 if appended else 0)
        assert {str(found(d, each).status) for each in (TAKE, STOP)} == {"queued" if appended else "risk_checked"}
        await d.do(fill("3"))  # the venue sends the report again
        assert [found(d, ENTRY).cum_quantity, found(d, TAKE).leaves_quantity, found(d, STOP).leaves_quantity] == [Decimal(3)] * 3
        assert last_commit(log) == FOLLOWS


async def test_three_trades_of_the_entry_in_one_commit_leave_the_exits_at_their_sum() -> None:
    # GRP-2
    async with desk() as d:
        await placed(d)
        for number, quantity in enumerate(("3", "3", "4"), 1):
            d.begin(fill(quantity, number))
        await until(lambda: found(d, ENTRY).closed and found(d, ENTRY).commit <= d.host._commits.durable)  # type: ignore[union-attr]
        assert last_commit(d.log).count("OrderFilled") == 3
        assert [found(d, TAKE).leaves_quantity, found(d, STOP).leaves_quantity] == [Decimal(10)] * 2


async def test_a_list_is_the_same_from_the_journal_and_from_the_order_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_repository, "SAVE_EVERY_S", 0.01)
    log, store = MemoryLog(), MemoryOrderStore()
    async with desk(log, store) as d:
        await placed(d)
        await d.do(fill("10"))
        await until(lambda: ENTRY not in d.host.orders.by_id)  # filled, saved and forgotten
        await d.do(c.CancelOrder(order_id=TAKE))
        assert d.host.book.members("L").keys() == {ENTRY, TAKE, STOP}
        await until(lambda: not d.host.book.unsaved())
        before = orders_state(d.host.book.members("L").values())
    for kept in (store, MemoryOrderStore()):
        async with desk(log, kept) as d:
            assert orders_state(d.host.book.members("L").values()) == before


async def test_the_end_of_a_list_is_found_though_its_other_orders_left_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_repository, "SAVE_EVERY_S", 0.01)
    async with desk() as d:
        await placed(d)
        await d.do(fill("10"))
        await d.do(c.CancelOrder(order_id=TAKE))
        await until(lambda: {ENTRY, TAKE}.isdisjoint(d.host.orders.by_id))
        await d.do(c.CancelOrder(order_id=STOP))
        assert last_commit(d.log) == ["OrderCancelled", "ListEnded"]
        lead = found(d, ENTRY)
        assert lead.group is not None
        assert (lead.role, lead.group.ended) == (Role.ENTRY, "cancelled")


async def test_a_list_with_the_id_of_an_order_is_not_recorded() -> None:
    async with desk() as d:
        await placed(d)
        said: list[Landed | IdTaken | Unavailable] = []
        before = len(d.log.commits)
        d.host.submit_list(*bracket(), said.append)
        assert isinstance(said[0], IdTaken)
        assert (said[0].order.order_id, len(d.log.commits)) == (ENTRY, before)


async def test_an_exit_whose_successor_cannot_be_submitted_has_none() -> None:
    """The id of the order in its place is taken, or the store cannot be read: the trade is recorded, and the list is flagged."""
    name = derived_id("again", "L", "3")
    other = order_id_of(given.ACCOUNT, name)
    async with desk() as d:
        await d.do(given.submit(structs.replace(given.terms(), order_id=other, client_order_id=name)))
        await placed(d)
        await d.do(fill("3"))
        await d.do(c.RouteOrder(order_id=TAKE, legs=(Leg("R2", "PAPER_A", Decimal(3)),), policy="best_price"))
        await d.do(fill("3", 2, TAKE, "R2", Side.SELL))
        await d.do(fill("7", 3))
        assert last_commit(d.log) == ["OrderFilled"]
        members = d.host.book.members("L")
        assert members.keys() == {ENTRY, TAKE, STOP}
        group = found(d, ENTRY).group
        assert group is not None
        assert flags_of(group, members) == ("unprotected",)
        assert d.host.look_at("L") == 0
        before = orders_state(d.host.book.members("L").values())
    async with desk(d.log) as d:
        assert orders_state(d.host.book.members("L").values()) == before


async def test_rules_that_fail_cost_no_trade_its_place_in_the_journal_and_flag_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_lead: str, _members: object, _facts: object, _rules: object, perform: Callable[[c.OrderCommand], Events]) -> None:
        perform(c.ReleaseOrder(order_id=TAKE))
        raise ZeroDivisionError("a bug")

    async with desk() as d:
        await placed(d)
        with monkeypatch.context() as broken:
            broken.setattr("apps.journal.list_reactions.follow", failing)
            await d.do(fill("3"))
        assert (last_commit(d.log), d.host.list_failures) == (["OrderFilled", "OrderQueued", "ListFlagged"], 1)
        members = d.host.book.members("L")
        group = members[ENTRY].group
        assert group is not None
        assert (flags_of(group, members), status_of(group, members)) == (("rules_failed",), "alert")
        commits = len(d.log.commits)
        assert d.host.look_at("L") > 0, "the rules are applied again"
        await until(lambda: len(d.log.commits) > commits)
        before = orders_state(d.host.book.members("L").values())
    async with desk(d.log) as d:
        assert orders_state(d.host.book.members("L").values()) == before


async def test_a_list_of_which_one_order_cannot_be_decided_leaves_nothing_in_memory() -> None:
    legs, record = bracket()
    undecided = c.SubmitOrder(order_id=STOP, terms=legs[2].terms, decision=None)  # type: ignore[arg-type]  # an error of the caller
    async with desk() as d:
        with pytest.raises(AttributeError):
            d.host.submit_list([*legs[:2], undecided], record, lambda outcome: None)
        assert (d.host.orders.by_id, d.host.orders.groups, len(d.log.commits)) == ({}, {}, 0)
        await placed(d)
        assert d.host.book.members("L").keys() == {ENTRY, TAKE, STOP}
