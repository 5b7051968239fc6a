"""oms's side of a venue's session: reports in their order, none missed, none taken twice, and what contradicts is kept with an alarm."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from adapters.clock import SystemClock
from adapters.codec import encode
from adapters.memory import MemoryJournal, MemoryLog
from apps.journal.group_commit import Pace
from apps.journal.shard_host import ShardHost
from apps.oms.report_sessions import VenueSessions
from apps.oms.unsequenced_reports import UnsequencedVenues
from domain.execution.routing import RoutedVenue
from domain.order import events as e
from domain.order.commands import RouteOrder, VenueReport
from domain.order.events import Leg
from domain.order.lifecycle import State
from tests import given
from tests.apps.held_journal import until

VENUE = "PAPER_A"


class Message(msgspec.Struct):
    data: bytes
    subject: str = f"venue.{VENUE}.reports.0"


class Asked(msgspec.Struct):
    data: bytes


class Client:
    """Keeps what the venue is asked, and answers that it will send again."""

    def __init__(self) -> None:
        self.questions: list[Any] = []
        self.callback: Any = None
        self.last = 9
        self.overtaking: tuple[VenueReport, ...] = ()
        """Reports that come between a question and the moment its answer is looked at."""

    async def subscribe(self, subject: str, cb: Any) -> None:
        self.callback = cb

    async def request(self, subject: str, payload: bytes, timeout: float) -> Asked:
        self.questions.append((subject, msgspec.json.decode(payload)))
        await self.callback(Message(encode(self.overtaking)))
        return Asked(encode({"last": self.last}))


class Desk:
    """A host with one routed order, and a session with its venue."""

    def __init__(self) -> None:
        self.log, self.client, self.said = MemoryLog(), Client(), list[e.OrderEvent]()
        self.host = ShardHost(MemoryJournal(self.log), SystemClock(), pace=Pace(wait_s=0))
        self.sessions = VenueSessions(self.client, self.host, [VENUE], 0, failed=pytest.fail)  # type: ignore[arg-type]
        self.host.on_landed = lambda landed: self.said.extend(landed.events)
        self.host.on_ready = lambda ready: self.sessions.restart() if ready else None

    async def receives(self, *reports: VenueReport | bytes) -> None:
        """Each as it comes from the wire, once what it led to is on disk."""
        for report in reports:
            await self.client.callback(Message(b"[%b]" % (report if isinstance(report, bytes) else encode(report))))
        order = self.host.find(given.ORDER_ID)
        assert order is not None
        await self.host.settled(order)
        await asyncio.sleep(0)

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.said]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    running = asyncio.create_task(desk.host.run())
    await until(lambda: desk.host.ready)
    await desk.sessions.start()
    await desk.host.perform(given.submit(given.terms()))
    legs = (Leg("R1", VENUE, given.terms().quantity),)
    await desk.host.perform(RouteOrder(order_id=given.ORDER_ID, legs=legs, policy="test"))
    desk.said.clear()
    yield desk
    running.cancel()


ACK = given.report("accepted", report_seq=1, venue_order_id="V1")
FILL = given.report("fill", report_seq=2, exec_id="F1", quantity="4", price="49")


async def test_the_same_report_again_changes_nothing(desk: Desk) -> None:
    # FAILURES 26
    await desk.receives(ACK, FILL, FILL, ACK, FILL)
    assert desk.kinds() == ["RouteAcknowledged", "OrderFilled"]
    assert desk.sessions.stats() == {"applied": 2, "duplicates": 3, "gaps": 0, "unreadable": 0}


async def test_the_same_execution_with_other_content_is_kept_aside_and_changes_nothing(desk: Desk) -> None:
    other = msgspec.structs.replace(FILL, quantity=FILL.quantity + 1 if FILL.quantity else None)
    await desk.receives(ACK, FILL, other)
    assert desk.kinds() == ["RouteAcknowledged", "OrderFilled", "ReportQuarantined"]
    kept = desk.said[-1]
    assert isinstance(kept, e.ReportQuarantined)
    assert (kept.reason, kept.report_seq) == ("conflict", None), "its number was used already"
    order = desk.host.find(given.ORDER_ID)
    assert order is not None
    assert order.cum_quantity == 4


async def test_a_list_is_applied_in_its_order_whatever_comes_between(desk: Desk) -> None:
    # FAILURES 45
    other_venue = msgspec.structs.replace(FILL, venue="PAPER_B", report_seq=1)
    await desk.client.callback(Message(b"[%b]" % b",".join((encode(ACK), b"{}", encode(other_venue), encode(FILL)))))
    order = desk.host.find(given.ORDER_ID)
    assert order is not None
    await desk.host.settled(order)
    assert desk.kinds() == ["RouteAcknowledged", "OrderFilled"]
    assert desk.sessions.stats() == {"applied": 2, "duplicates": 0, "gaps": 0, "unreadable": 2}


async def test_a_list_that_is_lost_as_a_whole_is_a_hole(desk: Desk) -> None:
    # FAILURES 27, 28
    await desk.client.callback(Message(b"not json"))
    await desk.receives(msgspec.structs.replace(FILL, report_seq=3))
    await until(lambda: desk.client.questions)
    assert desk.client.questions[0][1] == {"kind": "resend", "from": 1}
    assert (desk.kinds(), desk.sessions.stats()["gaps"]) == ([], 1)


async def test_announcements_of_a_full_venue_are_not_taken_for_the_reports_of_a_plain_one(desk: Desk) -> None:
    plain = UnsequencedVenues(desk.host, [RoutedVenue("OURS", Decimal(1), Decimal(1), frozenset(), plain=True)])
    sessions = VenueSessions(desk.client, desk.host, [VENUE], 0, plain, failed=pytest.fail)  # type: ignore[arg-type]
    await sessions.start()  # its last subscription is the plain venues'
    await desk.client.callback(Message(encode(ACK), "fills.alice"))
    await desk.client.callback(Message(encode(FILL), "fills.alice"))
    assert (desk.kinds(), desk.client.questions) == ([], [])
    assert sessions.stats() == {"applied": 0, "duplicates": 0, "gaps": 0, "unreadable": 0}


async def test_a_hole_is_asked_for_and_what_is_behind_it_waits(desk: Desk) -> None:
    # FAILURES 27, 28
    await desk.receives(FILL)
    assert desk.kinds() == []
    await until(lambda: desk.client.questions)
    assert desk.client.questions[0] == (f"venue.{VENUE}.session.0", {"kind": "resend", "from": 1})
    await desk.receives(ACK, FILL)
    assert desk.kinds() == ["RouteAcknowledged", "OrderFilled"]
    assert desk.sessions.stats()["gaps"] == 1


async def test_a_report_for_an_unknown_order_is_kept_and_those_behind_it_have_their_turn(desk: Desk) -> None:
    # FAILURES 31
    stranger = msgspec.structs.replace(FILL, order_id="stranger", report_seq=1)
    await desk.receives(stranger, msgspec.structs.replace(ACK, report_seq=2))
    await until(lambda: len(desk.said) == 2)
    assert desk.kinds() == ["ReportQuarantined", "RouteAcknowledged"]


async def test_a_report_that_cannot_be_read_leaves_its_order_in_doubt_and_what_follows_settles_it(desk: Desk) -> None:
    # rows 12 and 13
    broken = encode({"venue": VENUE, "report_seq": 2, "order_id": given.ORDER_ID, "report": "exploded"})
    await desk.receives(ACK, broken, broken, broken)
    assert desk.kinds() == ["RouteAcknowledged", "ReportQuarantined", "OrderInDoubt"]
    await desk.receives(msgspec.structs.replace(FILL, report_seq=3))
    assert desk.said[-1].status is State.PARTIALLY_FILLED


async def test_reports_that_overtake_an_answer_are_no_sign_of_a_lost_state(desk: Desk) -> None:
    desk.client.last, desk.client.overtaking = 1, (ACK, FILL)
    with capture_logs() as said:
        await desk.sessions._ask(VENUE)
    assert desk.sessions.stats()["applied"] == 2
    assert [line for line in said if line["log_level"] == "error"] == []


async def test_a_venue_that_has_fewer_reports_than_were_applied_has_lost_its_state(desk: Desk) -> None:
    await desk.receives(ACK, FILL)
    desk.client.last = 1
    with capture_logs() as said:
        await desk.sessions._ask(VENUE)
    (line,) = [line for line in said if line["log_level"] == "error"]
    assert (line["venue"], line["last"], line["applied"]) == (VENUE, 1, 2)
