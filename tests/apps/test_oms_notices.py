"""What others hear of an order: one message an order and commit, with all that the commit has of it."""

import asyncio
import json
from decimal import Decimal
from typing import Any

from nats.aio.client import Client
from prometheus_client import CollectorRegistry

from apps.connections.announcements import Interest
from apps.journal.shard_host import Landed
from apps.oms.drop_copy import DropCopy
from apps.oms.metrics import OmsMetrics
from domain.order.commands import OrderCommand
from domain.order.decider import decide
from domain.order.order import Order, evolve
from tests import given
from tests.interest import AlwaysSubscribed


class Outbox:
    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []

    def put(self, subject: str, payload: bytes) -> None:
        self.said.append((subject, json.loads(payload)))


class Desk:
    """Decides like the host, and lands everything at once in one commit."""

    def __init__(self, interest: Interest | None = None) -> None:
        self.publisher = Outbox()
        self.notices = DropCopy(interest or AlwaysSubscribed(), self.publisher.put, OmsMetrics(CollectorRegistry()))
        self.orders: dict[str, Order] = {}

    def land(self, command: OrderCommand, seq: int) -> None:
        order = self.orders.get(command.order_id)
        events = decide(order, command, given.NOW)
        for event in events:
            order = self.orders[command.order_id] = evolve(order, event)
        cum, notional = (order.cum_quantity, order.notional) if order else (Decimal(0), Decimal(0))
        self.notices(Landed(order, events, seq, cum, notional))

    async def told(self) -> list[tuple[str, dict[str, Any]]]:
        await asyncio.sleep(0)
        said, self.publisher.said = self.publisher.said, []
        return said


def kinds(body: dict[str, Any]) -> list[str]:
    return [event["type"] for event in body["events"]]


async def test_a_commit_is_one_message_an_order_and_another_commit_another_one() -> None:
    desk = Desk()
    desk.land(given.submit(given.terms("10")), 1)
    [(subject, body)] = await desk.told()
    assert subject == f"oms.orders.{given.ACCOUNT}.{given.ORDER_ID}"
    assert (body["status"], body["seq"], kinds(body)) == ("queued", 1, ["OrderSubmitted", "OrderRiskChecked", "OrderQueued"])

    desk.land(given.route(("R1", "PAPER_A", "10")), 2)
    await desk.told()
    desk.land(given.report("accepted", venue_order_id="V1"), 3)
    desk.land(given.fill("F1", "4", "49", report_seq=2), 3)
    desk.land(given.fill("F2", "6", "50", report_seq=3), 3)
    [(_, body)] = await desk.told()
    assert kinds(body) == ["RouteAcknowledged", "OrderFilled", "OrderFilled"]
    assert (body["status"], body["cum_quantity"], body["leaves_quantity"], body["seq"]) == ("filled", 10, 0, 3)
    assert Decimal(str(body["average_price"])) == Decimal("49.6")
    assert await desk.told() == []


class Late(Interest):
    """Somebody who is found when a test says so."""

    def __init__(self) -> None:
        super().__init__(Client(), ())

    def found(self, *subjects: str) -> None:
        for family in self._families:
            family.poll_started()
            family.poll_ended(subjects)


async def test_what_landed_is_told_as_it_landed_when_a_listener_is_found_later_and_else_not_at_all() -> None:
    interest = Late()
    desk = Desk(interest)
    desk.land(given.submit(given.terms("10")), 1)
    assert await desk.told() == []
    interest.found("ticks.>")
    desk.land(given.route(("R1", "PAPER_A", "10")), 2)
    desk.land(given.report("accepted", venue_order_id="V1"), 3)
    desk.land(given.fill("F1", "4", "49", report_seq=2), 3)
    desk.orders[given.ORDER_ID].quantity = Decimal(12)  # other terms, before anybody was told
    assert await desk.told() == []
    interest.found("oms.orders.*.*")
    told = [(body["seq"], kinds(body), body["quantity"], body["cum_quantity"]) for _, body in await desk.told()]
    assert told == [(2, ["OrderRouted"], 10, 0), (3, ["RouteAcknowledged", "OrderFilled"], 10, 4)]
    assert desk.notices.stats() == {"subscribed": True, "published": 3, "skipped": 1}


async def test_what_belongs_to_no_order_is_not_told_and_what_comes_late_is() -> None:
    desk = Desk()
    desk.notices(Landed(None, (), 1))
    assert await desk.told() == []
    desk.land(given.submit(given.terms("10"), given.denied("order_size_limit")), 2)
    [(_, body)] = await desk.told()
    assert (body["status"], body["leaves_quantity"]) == ("rejected", 0)


async def test_a_refusal_is_counted_and_heard_by_nobody_but_who_asked() -> None:
    registry, publisher = CollectorRegistry(), Outbox()
    notices = DropCopy(AlwaysSubscribed(), publisher.put, OmsMetrics(registry))
    desk = Desk()
    desk.land(given.submit(given.terms()), 1)
    desk.land(given.cancel(), 2)
    order = desk.orders[given.ORDER_ID]
    for _ in range(3):
        notices.unrecorded(decide(order, given.route(("R1", "PAPER_A", "10")), given.NOW))
    notices.unrecorded(decide(None, given.fill("F1", "1", "49"), given.NOW))
    await asyncio.sleep(0)
    assert publisher.said == []
    assert registry.get_sample_value("oms_transitions_refused_total", {"trigger": "route"}) == 3
    assert registry.get_sample_value("oms_facts_repeated_total", {"kind": "ReportQuarantined"}) == 1
