"""The kill switch at exeq itself: NATS and oms are gone, it is thrown all the same, and nothing is sent when they come back."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import httpx

from tests.faults.scene import connected, until_ready
from tests.live import LiveServer
from tests.torture.killswitch import CLIENTS, WHY, House, Wire

SILENT_S: Final = 2.0
BACK_WITHIN_S: Final = 120.0


async def test_with_nats_and_oms_dead_exeq_alone_is_told_and_sends_nothing_when_they_are_back(
    fresh_nats: LiveServer, tmp_path: Path
) -> None:  # FAILURES 42
    house = House(fresh_nats, tmp_path)
    async with AsyncExitStack() as opened:
        opened.callback(house.stop)
        house.start()
        wire = Wire(await opened.enter_async_context(connected(fresh_nats.url)))
        await wire.listen()
        http, desk, exeq = [await opened.enter_async_context(each.client()) for each in (house.oms, house.risk, house.exeq)]
        clients = [asyncio.create_task(house.client(http, number, 7)) for number in range(CLIENTS)]
        try:
            assert await wire.flows("all"), house.reasons
            house.oms.kill()
            fresh_nats.kill()
            answer = await exeq.post("/kill", json={"scope": "all", "who": "desk-1", **WHY})
            assert (answer.status_code, answer.json()["obeyed"], answer.json()["reported"]) == (200, {"exeq": "yes"}, None)
            sent = len(wire.scopes)
            house.exeq.kill()
            fresh_nats.start()
            for service in (house.exeq, house.oms):
                service.begin()
            for client in (exeq, http, desk):
                await until_ready(client, BACK_WITHIN_S)
            await _until_rejected(http)
            await asyncio.sleep(SILENT_S)
            await wire.count()
            assert wire.scopes[sent:] == [], "sent after the switch was answered"
            (kill,) = (await desk.get("/risk/controls")).json()["killed"]
            assert (kill["scope"], kill["who"], kill["local"]) == ("all", "desk-1", True)
            assert [one["reported"] for one in (await exeq.get("/kill")).json()["killed"]] == [kill["version"]]
            await _arm(desk)
            assert await wire.flows("all"), house.reasons
            assert (await exeq.get("/kill")).json() == {"killed": []}
        finally:
            house.loading = False
            await asyncio.gather(*clients)


async def _until_rejected(http: httpx.AsyncClient) -> None:
    """Until risk and oms have heard of it too."""
    order = {"account": "dave", "symbol": "BTCUSDT", "side": "buy", "quantity": "0.01", "price": "40000"}
    async with asyncio.timeout(BACK_WITHIN_S):
        while (await http.post("/orders", json=order)).json().get("reason") != "killed":
            await asyncio.sleep(0.05)


async def _arm(desk: httpx.AsyncClient) -> None:
    token = (await desk.post("/risk/arm", json={"scope": "all", "who": "desk-1", **WHY})).json()["token"]
    confirmed: dict[str, Any] = (await desk.post("/risk/arm", json={"scope": "all", "who": "desk-2", "token": token, **WHY})).json()
    assert confirmed["killed"] is False
