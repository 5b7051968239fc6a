"""A venue's reports in any order, lost, doubled and late: the session puts them right, and the order ends as it did at the venue."""

import asyncio
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from adapters.codec import encode
from adapters.memory import MemoryJournal, MemoryLog
from apps.journal.group_commit import Pace
from apps.journal.shard_host import Landed, ShardHost
from apps.oms.report_sessions import VenueSessions
from domain.order.commands import RouteOrder, VenueReport, VenueRequest
from domain.order.events import Leg
from domain.order.order import Order
from domain.paper.events import BustTrade, Cancel, CorrectTrade, ForcedFill, Message, Replace, Reported, UnsolicitedCancel
from domain.paper.venue import PaperVenue
from domain.position.position import PositionBook
from domain.values import Side
from tests import given
from tests.domain.paper.scene import INSTRUMENT
from tests.simulation.loop import VirtualLoop, run_virtually
from tests.simulation.world import SimClock

VENUE: Final = "PAPER_A"
QUIET_S: Final = 8.0
"""By then whatever was lost was asked for again."""

REQUEST: Final = VenueRequest(
    order_id=given.ORDER_ID,
    route_id="R1",
    venue=VENUE,
    account=given.ACCOUNT,
    symbol=given.SYMBOL,
    side=Side.BUY,
    type=given.terms().order_type,
    quantity=Decimal(10),
    price=Decimal(50),
)

quantities = st.sampled_from(["0.5", "1", "2", "3", "10"]).map(Decimal)
prices = st.sampled_from(["49", "49.5", "50"]).map(Decimal)
exec_ids = st.integers(1, 6).map(lambda n: f"{VENUE}-{n}")
deeds = st.lists(
    st.one_of(
        st.builds(ForcedFill, st.just("R1"), quantities, prices),
        st.builds(ForcedFill, st.just("R1"), quantities, prices),
        st.builds(BustTrade, exec_ids),
        st.builds(CorrectTrade, exec_ids, quantities, prices),
        st.just(UnsolicitedCancel("R1", "halt")),
        st.just(Cancel(REQUEST)),
        quantities.map(
            lambda q: Replace(msgspec.structs.replace(REQUEST, quantity=q, price=Decimal("49.5"), replace_id=f"{given.ORDER_ID}-r1"))
        ),
    ),
    max_size=8,
)
Wire = list[tuple[int, float, int]]
"""For each report: where it is put among the others, when it comes, and how often."""


def told_by_a_venue(messages: Sequence[Message]) -> tuple[list[VenueReport], PaperVenue]:
    instrument = msgspec.structs.replace(INSTRUMENT, symbol=given.SYMBOL)
    venue = PaperVenue(VENUE, {given.SYMBOL: instrument}, Decimal(2), Decimal(10))
    events = [event for now, message in enumerate((REQUEST, *messages)) for event in venue.take(message, now)]
    return [event.report for event in events if isinstance(event, Reported)], venue


class Wired:
    """The client of NATS as the session needs it: one listener, and a venue that sends again what is asked for."""

    def __init__(self, reports: list[VenueReport]) -> None:
        self.reports = reports
        self.hear: Callable[[Any], Any] = lambda message: None

    async def subscribe(self, subject: str, cb: Any) -> None:
        self.hear = cb

    async def say(self, report: VenueReport) -> None:
        await self.hear(Said(encode([report])))

    async def request(self, subject: str, payload: bytes, timeout: float) -> "Said":
        first = json.loads(payload)["from"]
        asyncio.get_running_loop().create_task(self._again(first))
        return Said(encode({"last": len(self.reports)}))

    async def _again(self, first: int) -> None:
        for report in self.reports[first - 1 :]:
            await self.say(report)


class Said(msgspec.Struct):
    data: bytes
    subject: str = f"venue.{VENUE}.reports.0"


async def lived(loop: VirtualLoop, reports: list[VenueReport], wire: Wire) -> tuple[Order, PositionBook]:
    """The order at oms after all of it came, by this wire."""
    log, clock = MemoryLog(), SimClock(loop)
    host, client = ShardHost(MemoryJournal(log), clock, pace=Pace(wait_s=0)), Wired(reports)
    sessions = VenueSessions(client, host, [VENUE], 0, failed=pytest.fail)  # type: ignore[arg-type]
    host.on_ready = lambda ready: sessions.restart()
    await sessions.start()
    tasks = [asyncio.create_task(host.run())]
    while not host.ready:
        await asyncio.sleep(0.01)
    await host.perform(given.submit(given.terms()))
    await host.perform(RouteOrder(order_id=given.ORDER_ID, legs=(Leg("R1", VENUE, Decimal(10)),), policy="x"))
    tasks.append(asyncio.create_task(sessions.run()))
    book = PositionBook()

    def booked(landed: Landed) -> None:
        for event in landed.events:
            book.apply(event, landed.seq)

    host.on_landed = booked
    for report, (_, at, times) in sorted(zip(reports, wire, strict=True), key=lambda pair: pair[1][0]):
        for n in range(times):
            loop.call_later(at * (n + 1), lambda report=report: loop.create_task(client.say(report)))
    await asyncio.sleep(QUIET_S)
    order = host.find(given.ORDER_ID)
    assert order is not None
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return order, book


def seen(order: Order, book: PositionBook) -> object:
    """All that a counterparty and an accountant would ask for; not when it was told."""
    facts = (order.status, order.quantity, order.price, order.cum_quantity, order.leaves_quantity, order.average_price, order.fees)
    return (
        facts,
        order.overfill,
        sorted(order.trades, key=lambda t: t.exec_id),
        [(p.quantity, p.cost, p.fees) for p in book.of(given.ACCOUNT)],
    )


@settings(max_examples=60, deadline=None)
@drawn(deeds, st.data())
def test_any_order_number_and_delay_of_reports_ends_in_the_same_order(messages: list[Message], data: st.DataObject) -> None:
    # FAILURES 26, 27, 28, 35
    reports, venue = told_by_a_venue(messages)
    straight = [(place, 0.001 * place, 1) for place in range(len(reports))]
    wire = [
        (data.draw(st.integers(0, 20)), data.draw(st.sampled_from([0.0, 0.001, 0.3, 2.5])), data.draw(st.integers(0, 3))) for _ in reports
    ]
    wanted = run_virtually(lambda loop: lived(loop, reports, straight))
    found = run_virtually(lambda loop: lived(loop, reports, wire))
    assert seen(*found) == seen(*wanted)
    order, (theirs,) = found[0], venue.orders.values()
    assert order.cum_quantity == sum(trade.quantity for trade in theirs.trades)


def test_there_is_something_to_put_in_order() -> None:
    reports, _ = told_by_a_venue([ForcedFill("R1", Decimal(3), Decimal(50)), BustTrade(f"{VENUE}-1"), Cancel(REQUEST)])
    assert [str(report.report) for report in reports] == ["accepted", "fill", "bust", "cancelled"]
