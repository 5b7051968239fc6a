"""What goes wrong on purpose between a venue and the wire, and what its staff does over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from fastapi import FastAPI

from apps.http.app import application
from apps.live_gateway.fault_endpoint import misbehaviour_routes
from domain.paper.events import Replace
from tests.apps.callers import as_caller
from tests.apps.test_venue_host import Scene, buy, quote


@asynccontextmanager
async def venue(*, allowed: bool = True) -> AsyncIterator[tuple[Scene, httpx.AsyncClient]]:
    scene = Scene()
    running = asyncio.create_task(scene.host.run())
    await scene.host.ready.wait()
    app: FastAPI = application("live-gateway", misbehaviour_routes({"V": scene.host}, allowed=allowed))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=as_caller(app)), base_url="http://gateway") as client:
        yield scene, client
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def told(client: httpx.AsyncClient, fault: str, **more: object) -> httpx.Response:
    return await client.post("/venues/V/faults", json={"fault": fault, **more})


async def test_a_venue_misbehaves_only_where_it_may() -> None:
    async with venue(allowed=False) as (_, client):
        answer = await told(client, "drop")
        assert (answer.status_code, answer.json()["code"]) == (403, "faults_denied")
    async with venue() as (_, client):
        assert (await client.post("/venues/W/faults", json={"fault": "drop"})).json()["code"] == "venue_not_found"
        assert (await told(client, "explode")).status_code == 400
        assert (await told(client, "bust", exec_id="V-9")).json()["code"] == "unknown_trade"
        assert (await told(client, "cancel", order_id="absent")).json()["code"] == "order_not_found"
        assert (await told(client, "halt", symbol="Y")).json()["code"] == "unknown_symbol"


@pytest.mark.parametrize(
    ("fault", "published"),
    [
        ("drop", ["2 B accepted", "3 C accepted"]),
        ("duplicate", ["1 A accepted", "1 A accepted", "2 B accepted", "3 C accepted"]),
        ("reorder", ["2 B accepted", "1 A accepted", "3 C accepted"]),
        ("delay", ["2 B accepted", "3 C accepted", "1 A accepted"]),
    ],
)
async def test_the_next_report_is_lost_late_twice_or_overtaken(fault: str, published: list[str]) -> None:
    async with venue() as (scene, client):
        assert (await told(client, fault, seconds=0.05)).json() == {"pending": {fault: 1}, "frozen": False}
        for name in "ABC":
            await scene.host.put(buy(name, 5))
        await scene.known()
        await scene.until(lambda: len(scene.published) == len(published))
        assert scene.published == published


async def test_new_orders_never_arrive_or_are_refused() -> None:
    async with venue() as (scene, client):
        await told(client, "forget")
        await told(client, "reject", reason="no_mood")
        for name in "ABC":
            await scene.host.put(buy(name, 5))
        assert await scene.known() == ["B", "C"]
        assert scene.published == ["1 B rejected", "2 C accepted"]


async def test_what_was_to_go_wrong_can_be_called_off() -> None:
    async with venue() as (scene, client):
        await told(client, "drop", count=100)
        await told(client, "freeze", seconds=3600)
        assert (await client.delete("/venues/V/faults")).json() == {"pending": {}, "frozen": False}
        await scene.host.put(buy("A", 5))
        await scene.known()
        assert scene.published == ["1 A accepted"]


async def test_a_frozen_venue_receives_and_says_nothing_until_it_thaws() -> None:
    async with venue() as (scene, client):
        await told(client, "freeze", seconds=0.1)
        await scene.host.put(buy("A", 5))
        assert (scene.host.faults.frozen, scene.published) == (True, [])
        await scene.known()
        assert (scene.host.faults.frozen, scene.published) == (False, ["1 A accepted"])


async def test_the_staff_trades_busts_corrects_cancels_and_forgets() -> None:
    async with venue() as (scene, client):
        scene.host.show(quote(), 0)
        for name in "AB":
            await scene.host.put(buy(name, 5))
        await scene.known()
        scene.published.clear()
        assert (await told(client, "fill", order_id="order-A", price="4")).status_code == 200
        await told(client, "correct", exec_id="V-1", price="3")
        await told(client, "bust", exec_id="V-2")
        await told(client, "overfill", order_id="order-A", quantity="2")
        await told(client, "cancel", order_id="order-B", reason="mood")
        await told(client, "fill", order_id="order-B", quantity="1")
        await told(client, "forget", order_id="order-B")
        await scene.until(lambda: len(scene.published) == 6)
        assert [text.split(" ", 1)[1] for text in scene.published] == [
            "A fill",
            "A correction",
            "A bust",
            "A fill",
            "B cancelled",
            "B fill",
        ]
        assert await scene.known() == ["A"]
        assert scene.host.venue.orders["A"].cum_quantity == 3


async def test_a_halt_and_what_was_replaced_survive_a_restart() -> None:
    async with venue() as (scene, client):
        await scene.host.put(buy("A", 5))
        await scene.host.put(Replace(buy("A", 4)))
        await told(client, "halt", symbol="X")
        await scene.host.put(buy("B", 5))
        await scene.known()
        assert scene.published[-1].endswith("B rejected")
    again = Scene(scene.log)
    running = asyncio.create_task(again.host.run())
    await again.host.ready.wait()
    assert again.host.venue.halted == {"X"}
    assert again.host.venue.orders["A"].request.price == 4
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
