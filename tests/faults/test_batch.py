"""Lists of commands and orders of several events: an answer for each item, and of one commit all or nothing, whenever oms dies."""

import asyncio
from pathlib import Path
from typing import Any, Final

import pytest
from nats.aio.client import Client

from adapters import bus
from adapters.codec import decoder, encode
from apps.runtime.failpoint import KILLED
from domain.order.commands import CancelOrder
from domain.order.events import OrderCancelled, OrderQueued, OrderRiskChecked, OrderSubmitted
from domain.ports import Unavailable
from tests.faults.scene import PATIENT, connected, events_of, order, risk_that_says_yes
from tests.live import LiveServer
from tests.process import LiveService

FOREIGN: Final = "0" * 32
OPEN: Final = 3
ASK_S: Final = 5.0
_ANSWERS: Final = decoder(list[dict[str, Any]])


async def asked(client: Client, order_ids: list[str]) -> list[dict[str, Any]]:
    """What oms answers to a list of cancels. Unavailable."""
    body = encode([CancelOrder(order_id=order_id) for order_id in order_ids])
    answers: list[dict[str, Any]] = _ANSWERS.decode(await bus.request(client, "oms.commands.0", body, ASK_S))
    return answers


@pytest.mark.parametrize(("step", "cancelled"), [("before_append", 0), ("after_append", OPEN)])
async def test_of_a_list_all_is_recorded_or_nothing_and_each_item_has_its_answer(
    fresh_nats: LiveServer, tmp_path: Path, step: str, cancelled: int
) -> None:
    # FAILURES 39: the items of a list that was taken together are one commit
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
    async with risk_that_says_yes(fresh_nats.url), oms.client() as http, connected(fresh_nats.url) as client:
        oms.start(TRADE_FAILPOINT=f"{step}:{OPEN + 1}")
        ids = [(await http.post("/orders", json=order(f"o-{n}"))).json()["order_id"] for n in range(OPEN)]
        items = [ids[0], FOREIGN, *ids[1:]]
        with pytest.raises(Unavailable):
            await asked(client, items)
        assert oms.wait() == KILLED
        stored = [event.order_id for _, event in await events_of(fresh_nats) if isinstance(event, OrderCancelled)]
        assert sorted(stored) == sorted(ids[:cancelled])

        oms.start()
        answers = await asked(client, items)
        assert [(answer["ok"], answer.get("code")) for answer in answers] == [
            (True, None),
            (False, "order_not_found"),
            (True, None),
            (True, None),
        ]
        assert [(await http.get(f"/orders/{each}")).json()["status"] for each in ids] == ["cancelled"] * OPEN
        assert len({answer["seq"] for answer in answers if answer["ok"]}) == 1, "together, in one commit"
        assert await asked(client, items) == answers, "and asked again, nothing changes"
    oms.stop()


async def test_an_order_is_never_half_there(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 39
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
    async with risk_that_says_yes(fresh_nats.url), oms.client(2) as http:
        oms.start(TRADE_FAILPOINT="after_append:4")
        await asyncio.gather(*(http.post("/orders", json=order(f"o-{n}")) for n in range(200)), return_exceptions=True)
        if oms.ended is None:
            await asyncio.gather(*(http.post("/orders", json=order(f"p-{n}")) for n in range(20)), return_exceptions=True)
    assert oms.wait() == KILLED
    steps: dict[str, list[type]] = {}
    for _, event in await events_of(fresh_nats):
        steps.setdefault(event.order_id, []).append(type(event))
    assert steps, "nothing was stored: it proves nothing"
    assert all(kinds == [OrderSubmitted, OrderRiskChecked, OrderQueued] for kinds in steps.values())
