"""What does not grow the journal: a refused request is answered and counted, and what a venue says again says nothing new."""

from collections.abc import AsyncIterator
from typing import Final

import msgspec
import pytest

from adapters.memory import MemoryLog
from apps.journal import shard_host as host_module
from apps.journal.shard_host import Landed
from domain.order import commands as c
from domain.order import events as e
from domain.order.lifecycle import State
from domain.order.transition import Events
from domain.ports import Unavailable
from tests import given
from tests.apps.oms_house import living
from tests.apps.submits import text
from tests.apps.test_host import Desk, desk

TIMES: Final = 300
ORDER_ID: Final = given.ORDER_ID


class Told:
    """A desk, and what it answered without a commit."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.unrecorded: list[e.OrderEvent] = []
        desk.host.on_unrecorded = self._take

    def _take(self, events: Events) -> None:
        self.unrecorded += events

    @property
    def commits(self) -> int:
        return len(self.desk.log.commits)

    async def often(self, command: c.OrderCommand, times: int = TIMES) -> list[Landed]:
        return [await self.desk.do(command) for _ in range(times)]

    def order(self) -> tuple[State, int, int]:
        order = self.desk.host.find(ORDER_ID)
        assert order is not None
        return order.status, order.version, order.updated_at


@pytest.fixture
async def told() -> AsyncIterator[Told]:
    """One order that PAPER_A has acknowledged."""
    async with desk() as d:
        for command in (
            given.submit(given.terms()),
            given.route(("R1", "PAPER_A", "10")),
            given.report("accepted", report_seq=1, venue_order_id="V1"),
        ):
            await d.do(command)
        yield Told(d)


async def test_a_refused_cancel_of_a_closed_order_is_answered_and_no_commit() -> None:
    async with living() as (house, client):
        order_id = (await client.post("/orders", content=text(client_order_id="a"))).json()["order_id"]
        await house.host.perform(c.RefuseRoute(order_id=order_id, reason="no_venue"))
        before, shown = len(house.log.commits), (await client.get(f"/orders/{order_id}")).json()
        for _ in range(TIMES):
            refused = await client.delete(f"/orders/{order_id}")
            assert (refused.status_code, refused.json()["code"], refused.json()["state"]) == (409, "illegal_transition", "rejected")
        assert len(house.log.commits) == before
        assert (await client.get(f"/orders/{order_id}")).json() == shown
        assert (await client.get(f"/orders/{order_id}/events")).json()["events"][-1]["type"] == "OrderRejected"


REFUSED: Final[dict[str, c.OrderCommand]] = {
    "cancel": c.CancelOrder(order_id=ORDER_ID),
    "a kill's cancel": c.CancelOrder(order_id=ORDER_ID, source="risk_control", reason="killed"),
    "replace": c.ReplaceOrder(order_id=ORDER_ID, replace_id=f"{ORDER_ID}-r1", price=given.terms().quantity),
    "settle": c.SettleOrder(order_id=ORDER_ID, outcome=c.Outcome.CANCELLED, who="ann", reason="said so", route_id="R1"),
    "route": given.route(("R2", "PAPER_B", "10")),
    "no_route": c.RefuseRoute(order_id=ORDER_ID, reason="no_venue"),
    "not sent": c.RefuseRoute(order_id=ORDER_ID, reason="killed", route_id="R9"),
}


@pytest.mark.parametrize("which", REFUSED)
async def test_a_request_that_is_refused_of_a_closed_order_is_in_no_journal(told: Told, which: str) -> None:
    await told.desk.do(given.report("expired", report_seq=2))
    commits, order = told.commits, told.order()
    answers = await told.often(REFUSED[which])
    assert {type(event) for landed in answers for event in landed.events} == {e.TransitionRefused}
    assert (told.commits, told.order(), len(told.unrecorded)) == (commits, order, TIMES)
    assert all(landed.seq == commits for landed in answers), "answered once all that the order shows is on disk"


async def test_terms_that_risk_refuses_again_and_again_are_one_decision(told: Told) -> None:
    commits = told.commits
    replace = c.ReplaceOrder(order_id=ORDER_ID, replace_id=f"{ORDER_ID}-r1", quantity=given.terms("11").quantity)
    answers = await told.often(msgspec.structs.replace(replace, decision=given.denied("order_size_limit")))
    assert [type(landed.events[0]) for landed in answers] == [e.ReplaceRefused] * TIMES, "each has its answer"
    await told.desk.do(msgspec.structs.replace(replace, decision=given.denied("var_limit")))
    assert told.commits == commits + 2, "another reason is another decision"


CONTRADICTIONS: Final[dict[str, c.VenueReport]] = {
    "conflict": given.fill("F1", "5", "49"),
    "mismatch": given.fill("F2", "1", "49", account="bob"),
    "unreadable": given.report("fill", exec_id="F3"),
    "unknown_trade": given.report("bust", exec_id="F4"),
    "unknown_order": msgspec.structs.replace(given.fill("F5", "1", "49"), order_id="stranger"),
}


@pytest.mark.parametrize("reason", CONTRADICTIONS)
async def test_what_contradicts_is_kept_once_however_often_a_venue_says_it(told: Told, reason: str) -> None:
    await told.desk.do(given.fill("F1", "4", "49", report_seq=2))
    commits, report = told.commits, CONTRADICTIONS[reason]
    for number in range(TIMES):
        await told.desk.do(msgspec.structs.replace(report, report_seq=3 + number, at=given.NOW + number))
    kept = told.desk.log.commits[commits:]
    assert (len(kept), len(told.unrecorded)) == (1, TIMES - 1)
    assert f'"reason":"{reason}"'.encode() in kept[0][1]
    await told.desk.do(msgspec.structs.replace(report, report_seq=900, quantity=given.terms("7").quantity, exec_id="F9"))
    assert told.commits == commits + 2, "other words are kept"


async def test_an_acknowledgement_of_what_its_venue_had_refused_is_kept_once() -> None:
    async with desk() as d:
        again = Told(d)
        for command in (given.submit(given.terms()), given.route(("R1", "PAPER_A", "10"))):
            await d.do(command)
        await d.do(given.report("rejected", report_seq=1, reason="halted"))
        assert again.order()[0] is State.QUEUED
        commits = again.commits
        for number in range(TIMES):
            await d.do(given.report("accepted", report_seq=2 + number, venue_order_id="V1"))
        assert (again.commits, len(again.unrecorded)) == (commits + 1, TIMES - 1)


async def test_the_same_doubt_after_it_was_settled_is_a_doubt_again(told: Told) -> None:
    aside = c.SetReportAside(order_id=ORDER_ID, venue="PAPER_A", report="again", reason="ambiguous_fill")
    await told.often(aside, 3)
    assert told.order()[0] is State.IN_DOUBT
    commits = told.commits
    await told.desk.do(c.SettleOrder(order_id=ORDER_ID, outcome=c.Outcome.WORKING, who="ann", reason="asked the venue"))
    await told.often(aside, 3)
    assert (told.order()[0], told.commits) == (State.IN_DOUBT, commits + 2)


async def test_what_was_lost_with_its_commit_is_recorded_when_it_is_reported_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "RECOVER_PAUSE_S", 0.01)
    async with desk(MemoryLog()) as d:
        await d.do(given.submit(given.terms()))
        stranger = CONTRADICTIONS["unknown_order"]
        d.log.down = True
        with pytest.raises(Unavailable):
            await d.do(stranger)
        d.log.down = False
        await d.recovered()
        commits = len(d.log.commits)
        await d.do(stranger)
        await d.do(stranger)
        assert len(d.log.commits) == commits + 1
