"""risk is away, frozen, slow or talks rubbish: every order is refused within the budget, by name, and nothing stays reserved for it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from nats.aio.msg import Msg

from adapters import bus
from tests.faults.scene import connected, order, risk_that_says_yes
from tests.live import LiveServer
from tests.process import Changes, LiveService
from tests.proxy import Proxy
from tests.torture.killswitch import NO_HISTORY

BUDGET: Final[Changes] = {"risk_service": {"timeout_sec": 0.3}}
"""A busy test machine needs more than 5 ms; the scenes are the same."""
REFUSED_WITHIN_S: Final = 25.0
SETTLED_WITHIN_S: Final = 120.0
SLOW_S: Final = 0.6


class House:
    """oms and risk, risk behind a proxy."""

    def __init__(self, oms: httpx.AsyncClient, risk: LiveService, desk: httpx.AsyncClient, proxy: Proxy) -> None:
        self.oms, self.risk, self.desk, self.proxy = oms, risk, desk, proxy
        self._number = 0

    async def submits(self) -> dict[str, Any]:
        self._number += 1
        began = time.monotonic()
        answer = await self.oms.post("/orders", json=order(f"o-{self._number}"))
        assert time.monotonic() - began < REFUSED_WITHIN_S
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def until_accepted(self) -> None:
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while (await self.submits())["status"] != "submitted":
                await asyncio.sleep(0.1)

    async def until_reserved(self, for_orders: int) -> None:
        """Until exactly this many orders of 45 USD are counted, each at the margin of a half."""
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while (found := (await self.desk.get("/risk/portfolio?account=alice")).json())["reservations"] != 22.5 * for_orders:
                await asyncio.sleep(0.05)
        assert (await self.desk.get("/stats")).json()["reservations"] == 0, found


@pytest.fixture
async def house(fresh_nats: LiveServer, tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as opened:
        proxy = opened.enter_context(Proxy(fresh_nats.program.ports["nats"]))
        risk = LiveService("risk", fresh_nats, tmp_path / "risk", nats_url=proxy.url, changes=NO_HISTORY)
        oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=BUDGET)
        for service in (risk, oms):
            opened.callback(service.stop)
            service.begin()
        for service in (risk, oms):
            service.ready()
        yield House(await opened.enter_async_context(oms.client()), risk, await opened.enter_async_context(risk.client()), proxy)


async def test_a_dead_or_frozen_risk_refuses_every_order_and_what_it_approves_late_is_given_back(house: House) -> None:  # FAILURES 16
    await house.until_accepted()
    house.risk.freeze()
    assert [(await house.submits())["reason"] for _ in range(3)] == ["risk_timeout"] * 3
    house.risk.thaw()
    await house.until_accepted()
    opened = (await house.oms.get("/orders?status=queued&limit=1000")).json()["orders"]
    await house.until_reserved(len(opened))
    house.risk.kill()
    assert (await house.submits())["reason"] in ("risk_error", "risk_timeout")
    house.risk.start()
    await house.until_accepted()
    await house.until_reserved(len(opened) + 1)


async def test_an_approval_that_comes_too_late_is_ignored_and_its_reservation_given_back(house: House) -> None:  # FAILURES 16, 17
    await house.until_accepted()
    house.proxy.answers.delay_s = SLOW_S
    late = await house.submits()
    assert (late["status"], late["reason"]) == ("rejected", "risk_timeout")
    house.proxy.answers.delay_s = 0.0
    await house.until_accepted()
    again = (await house.oms.get(f"/orders/{late['order_id']}")).json()
    assert (again["status"], again["reason"]) == ("rejected", "risk_timeout")
    accepted = (await house.oms.get("/orders?status=queued&limit=1000")).json()["orders"]
    await house.until_reserved(len(accepted))


async def test_a_risk_that_loses_its_connection_refuses_until_it_has_read_what_it_missed(house: House) -> None:  # FAILURES 8, 16
    await house.until_accepted()
    house.proxy.refuse()
    assert (await house.submits())["status"] == "rejected"
    body = {"account": "alice", "symbol": "BTCUSDT", "side": "buy", "quantity": 0.001, "price": 45000}
    answer = (await house.desk.post("/check", json=body)).json()
    assert (answer["approved"], answer["reason"], answer["detail"]) == (False, "risk_error", {"found": "not_ready"})
    house.proxy.refuse(False)
    await house.until_accepted()


RUBBISH: Final = {
    "nothing": b"",
    "bytes": os.urandom(256),
    "half": b'[{"order_id":"',
    "yes": b'{"approved":true}',
    "others": b'[{"order_id":"another","limits_version":1}]',
    "deep": b"[" * 100_000,
}


@asynccontextmanager
async def says(nats: LiveServer, payload: bytes) -> AsyncIterator[None]:
    """A program that answers in place of risk, first, with nonsense."""

    async def answer(message: Msg) -> None:
        await message.respond(payload)

    async with connected(nats.url) as client:
        await client.subscribe("risk.check.order", cb=answer)
        await bus.flush(client)
        yield


async def test_rubbish_for_an_answer_refuses_the_order(fresh_nats: LiveServer, tmp_path: Path) -> None:  # FAILURES 16
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=BUDGET)
    try:
        async with risk_that_says_yes(fresh_nats.url):
            oms.start()
        async with oms.client() as http:
            for name, payload in RUBBISH.items():
                async with says(fresh_nats, payload):
                    answer = (await http.post("/orders", json=order(name))).json()
                    assert (answer["status"], answer["reason"]) == ("rejected", "risk_error"), name
    finally:
        oms.stop()
