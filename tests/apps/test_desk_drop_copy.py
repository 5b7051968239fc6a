"""What others hear of an order: one message an order and commit, with all that the commit has of it."""

import asyncio
import json
from decimal import Decimal
from typing import Any

from nats.aio.client import Client

from adapters.codec import ORDER_COMMITS
from apps.connections.announcements import Interest
from apps.desk.drop_copy import DropCopy
from apps.desk.fold import DeskFold
from domain.order.commands import OrderCommand
from domain.order.decider import decide
from domain.order.events import OrderEvent, ShardHeld
from domain.order.order import Order, evolve
from tests import given
from tests.interest import AlwaysSubscribed


class Outbox:
    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []

    def put(self, subject: str, payload: bytes) -> None:
        self.said.append((subject, json.loads(payload)))


class Desk:
    """Decides like the host, and passes each commit to the fold that announces it."""

    def __init__(self, interest: Interest | None = None) -> None:
        self.publisher = Outbox()
        self.notices = DropCopy(interest or AlwaysSubscribed(), self.publisher.put)
        self.fold = DeskFold(1000, 1000)
        self.fold.on_order = self.notices
        self.orders: dict[str, Order] = {}

    def land(self, seq: int, *commands: OrderCommand) -> None:
        found: list[OrderEvent] = []
        for command in commands:
            for event in decide(self.orders.get(command.order_id), command, given.NOW):
                self.orders[command.order_id] = evolve(self.orders.get(command.order_id), event)
                found.append(event)
        self.fold.apply([(seq, ORDER_COMMITS.commit(0, seq, found))])

    async def told(self) -> list[tuple[str, dict[str, Any]]]:
        await asyncio.sleep(0)
        said, self.publisher.said = self.publisher.said, []
        return said


def kinds(body: dict[str, Any]) -> list[str]:
    return [event["type"] for event in body["events"]]


async def test_a_commit_is_one_message_an_order_and_another_commit_another_one() -> None:
    desk = Desk()
    desk.land(1, given.submit(given.terms("10")))
    [(subject, body)] = await desk.told()
    assert subject == f"oms.orders.{given.ACCOUNT}.{given.ORDER_ID}"
    assert (body["status"], body["seq"], kinds(body)) == ("queued", 1, ["OrderSubmitted", "OrderRiskChecked", "OrderQueued"])

    desk.land(2, given.route(("R1", "PAPER_A", "10")))
    await desk.told()
    accepted = given.report("accepted", venue_order_id="V1")
    desk.land(3, accepted, given.fill("F1", "4", "49", report_seq=2), given.fill("F2", "6", "50", report_seq=3))
    [(_, body)] = await desk.told()
    assert kinds(body) == ["RouteAcknowledged", "OrderFilled", "OrderFilled"]
    assert (body["status"], body["cum_quantity"], body["leaves_quantity"], body["seq"]) == ("filled", 10, 0, 3)
    assert Decimal(str(body["average_price"])) == Decimal("49.6")
    assert await desk.told() == []


class Late(Interest):
    """An account that exists when a test says so."""

    def __init__(self) -> None:
        super().__init__(Client(), ())

    def found(self, *subjects: str) -> None:
        for family in self._families:
            family.poll_started()
            family.poll_ended(subjects)


async def test_a_commit_is_published_as_it_was_for_a_subscriber_that_is_found_later_and_else_not_at_all() -> None:
    interest = Late()
    desk = Desk(interest)
    desk.land(1, given.submit(given.terms("10")))
    assert await desk.told() == []
    interest.found("ticks.>")
    desk.land(2, given.route(("R1", "PAPER_A", "10")))
    desk.land(3, given.report("accepted", venue_order_id="V1"), given.fill("F1", "4", "49", report_seq=2))
    row = desk.fold.find(given.ORDER_ID)
    assert row is not None
    row.order.quantity = Decimal(12)  # other terms, before the message was published
    assert await desk.told() == []
    interest.found("oms.orders.*.*")
    told = [(body["seq"], kinds(body), body["quantity"], body["cum_quantity"]) for _, body in await desk.told()]
    assert told == [(2, ["OrderRouted"], 10, 0), (3, ["RouteAcknowledged", "OrderFilled"], 10, 4)]
    assert desk.notices.stats() == {"subscribed": True, "published": 2, "skipped": 1}


async def test_what_belongs_to_no_order_is_not_told_and_what_comes_late_is() -> None:
    desk = Desk()
    desk.fold.apply([(1, ORDER_COMMITS.commit(0, 1, [ShardHeld(at=1, unit="exeq-1")]))])
    assert await desk.told() == []
    desk.land(2, given.submit(given.terms("10"), given.denied("order_size_limit")))
    [(_, body)] = await desk.told()
    assert (body["status"], body["leaves_quantity"]) == ("rejected", 0)
