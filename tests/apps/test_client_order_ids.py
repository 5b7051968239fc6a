"""A client's own id for an order, through every place that keeps or shows it: unchanged, whatever it is made of."""

import asyncio
import json
from decimal import Decimal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryLog
from domain.archive.event_rows import rows_of
from domain.order import commands as c
from domain.order.events import Leg, OrderFilled, OrderSubmitted
from domain.position.rows import EventRow, fill_row
from domain.values import CLIENT_ORDER_ID, Side, order_id_of
from tests.apps.oms_house import living
from tests.apps.submits import GOOD

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))


@settings(max_examples=30, deadline=None)
@given(st.from_regex(CLIENT_ORDER_ID, fullmatch=True))
@example(PRINTABLE)
@example(PRINTABLE[::-1] + PRINTABLE[:33])
@example(" ")
@example('","seq":7,"x":"')
@example("<b>&amp;\\u0000</b>")
def test_a_client_order_id_is_the_same_from_the_submit_to_the_trade(name: str) -> None:
    """Submitted, journaled, answered, found by it, traded and exported: always the same characters."""
    asyncio.run(_life_of_an_order_called(name))


async def _life_of_an_order_called(name: str) -> None:
    log = MemoryLog()
    async with living(log) as (house, client):
        order_id = order_id_of("alice", name)
        answer = await client.post("/orders", json={**GOOD, "client_order_id": name})
        assert answer.json() == {"status": "submitted", "order_id": order_id, "client_order_id": name, "seq": 1}
        assert (await client.post("/orders", json={**GOOD, "client_order_id": name})).json()["replayed"] is True

        found = (await client.get("/orders", params={"account": "alice", "client_order_id": name})).json()["orders"]
        assert [(each["order_id"], each["client_order_id"]) for each in found] == [(order_id, name)]
        assert json.loads((await client.get(f"/orders/{order_id}")).content)["client_order_id"] == name

        await house.host.perform(c.RouteOrder(order_id=order_id, legs=(Leg("R1", "PAPER_A", Decimal(1)),), policy="best"))
        filled = await house.host.perform(_fill(order_id))
    payloads = [payload for _, payload in log.commits]
    journaled = [event for payload in payloads for event in ORDER_COMMITS.decode(payload).events]
    assert [event.client_order_id for event in journaled if isinstance(event, OrderSubmitted | OrderFilled)] == [name, name]
    row = fill_row(EventRow(event=filled.events[0], seq=filled.seq, index=0))
    assert row is not None
    assert row.client_order_id == name
    archived = [each.columns.client_order_id for payload in payloads for each in rows_of(payload) if each.columns.client_order_id]
    assert archived == [name, name]


def _fill(order_id: str) -> c.VenueReport:
    return c.VenueReport(
        report=c.ReportKind.FILL,
        order_id=order_id,
        route_id="R1",
        venue="PAPER_A",
        report_seq=1,
        at=1,
        account="alice",
        symbol="BTCUSDT",
        side=Side.BUY,
        exec_id="E1",
        quantity=Decimal(1),
        price=Decimal(50),
    )
