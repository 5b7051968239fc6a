"""A service dies at a named step: the order exists once or not at all, reaches a venue once or not at all, and asking settles which."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest
from nats.aio.msg import Msg

from adapters import bus
from adapters.jetstream import JetStreamJournal
from apps.desk.client import ClientState, follow
from apps.live_gateway.report_log import VENUE_COMMITS
from apps.runtime.failpoint import KILLED
from domain.paper.events import RequestTaken
from domain.ports import Head
from tests.faults.scene import PATIENT, WITHOUT_CLOSES, answered, connected, order, risk_that_says_yes, submitted, until, until_ready
from tests.live import LiveServer
from tests.process import Changes, LiveService

CHANGES: Final[Mapping[str, Changes]] = {"oms": PATIENT, "risk": WITHOUT_CLOSES}
TRADING: Final = ("risk", "oms", "exeq", "live-gateway")
VENUES: Final = ("PAPER_A", "PAPER_B")
VENUE_STREAM: Final = "PAPER_VENUES"

STEPS: Final = ("before_append", "after_append", "before_reply", "after_reply")


@pytest.mark.parametrize("step", STEPS)
async def test_oms_dies_at_a_step_of_append_and_reply(fresh_nats: LiveServer, tmp_path: Path, step: str) -> None:
    # FAILURES 1, 2
    stored = step != "before_append"
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
    async with risk_that_says_yes(fresh_nats.url), oms.client() as http:
        oms.start(TRADE_FAILPOINT=f"{step}:2")
        first = (await http.post("/orders", json=order("o-1"))).json()
        heard = await _heard(http, order("o-2"))
        assert oms.wait() == KILLED
        assert heard is None or step == "after_reply", "the answer may be lost"
        assert await submitted(fresh_nats) == {"o-1": 1} | ({"o-2": 1} if stored else {})

        oms.start()
        again = (await http.post("/orders", json=order("o-2"))).json()
        assert (again["status"], again.get("replayed", False)) == ("submitted", stored)
        assert heard is None or again == heard | {"replayed": True}
        assert (await http.post("/orders", json=order("o-2"))).json() == again | {"replayed": True}
        assert (await http.post("/orders", json=order("o-1"))).json() == first | {"replayed": True}
        assert await submitted(fresh_nats) == {"o-1": 1, "o-2": 1}
    oms.stop()


@pytest.mark.parametrize("step", ["before_publish", "after_publish"])
async def test_desk_dies_while_it_publishes_and_neither_the_order_nor_its_stream_knows_of_it(
    fresh_nats: LiveServer, tmp_path: Path, step: str
) -> None:
    # FAILURES 2
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
    desk = LiveService("desk", fresh_nats, tmp_path / "desk")
    async with risk_that_says_yes(fresh_nats.url), oms.client() as http, a_listener(fresh_nats) as heard:
        oms.start()
        desk.start(TRADE_FAILPOINT=step)
        placed = (await http.post("/orders", json=order("o-1"))).json()
        assert await asyncio.to_thread(desk.wait) == KILLED
        assert (await http.post("/orders", json=order("o-1"))).json() == placed | {"replayed": True}
        assert len(heard) <= (step == "after_publish"), "what was published may not have left the process"
        desk.start()
        state = ClientState()
        async with asyncio.timeout(60), httpx.AsyncClient() as reader:
            async for _ in follow(reader, f"{desk.url}/stream", {}, state):
                if state.orders:
                    break
        assert state.orders.keys() == {placed["order_id"]}
        assert await submitted(fresh_nats) == {"o-1": 1}
    for service in (oms, desk):
        service.stop()


@asynccontextmanager
async def a_listener(nats: LiveServer) -> AsyncIterator[list[bytes]]:
    """What is published of orders. Without a listener nothing is."""
    heard: list[bytes] = []

    async def keep(message: Msg) -> None:
        heard.append(message.data)

    async with connected(nats.url) as client:
        await client.subscribe("oms.orders.>", cb=keep)
        await bus.flush(client)
        yield heard


async def _heard(http: httpx.AsyncClient, body: dict[str, str]) -> dict[str, Any] | None:
    """What came back before the death; None when nothing did."""
    try:
        answer = await http.post("/orders", json=body)
    except httpx.TransportError:
        return None
    found: dict[str, Any] = answer.json()
    return found


DEATHS: Final = [("exeq", "before_send"), ("exeq", "after_publish"), ("live-gateway", "before_append"), ("live-gateway", "before_report")]


async def test_a_process_that_dies_around_a_send_asks_and_does_not_send_again(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 36
    services = {name: LiveService(name, fresh_nats, tmp_path / name, changes=CHANGES.get(name)) for name in TRADING}
    for service in services.values():
        service.begin()
    for service in services.values():
        service.ready()
    async with services["oms"].client() as http:
        for number, (who, step) in enumerate(DEATHS, 1):
            dying = services[who]
            dying.kill()
            dying.start(TRADE_FAILPOINT=step)
            await until_ready(http)
            accepted = await answered(http, order(f"o-{number}", price="45900"))
            assert accepted["status"] == "submitted", accepted
            assert await asyncio.to_thread(dying.wait, 20) == KILLED, step
            dying.start()
            ended = await _ended(http, accepted["order_id"])
            assert (ended["status"], ended["reason"]) in (("filled", None), ("rejected", "never_arrived")), step
            taken = await _taken_by_venues(fresh_nats)
            assert set(taken.values()) <= {1}, f"{step}: a route was sent twice: {taken}"
            sent = {route["route_id"] for route in ended["routes"]} & taken.keys()
            assert bool(sent) == (ended["status"] == "filled"), step
    for service in services.values():
        service.stop()


async def _ended(http: httpx.AsyncClient, order_id: str) -> dict[str, Any]:
    """The order when it is closed: the venue is asked about it after 2 s, and three times if it denies it."""
    async with asyncio.timeout(120):
        while True:
            shown = (await http.get(f"/orders/{order_id}")).json()
            if shown.get("status") in ("filled", "rejected", "cancelled"):
                found: dict[str, Any] = shown
                return found
            await asyncio.sleep(0.1)


async def _taken_by_venues(nats: LiveServer) -> Counter[str]:
    """How often each route reached a venue, by the venues' own journals."""
    found: Counter[str] = Counter()
    async with connected(nats.url) as client:
        for venue in VENUES:
            journal = await JetStreamJournal.open(client, stream=VENUE_STREAM, subject=f"venue.journal.{venue}")
            async for batch in journal.follow(Head(), until=(await journal.head()).seq):
                for recorded in batch:
                    events = VENUE_COMMITS.read(recorded).events
                    found.update(event.request.route_id for event in events if isinstance(event, RequestTaken))
    return found


async def test_an_id_is_known_forever_whatever_the_window_of_the_server(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 5: the index comes from the log, not from JetStream's dedupe window, and not from oms's own store either
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
    async with risk_that_says_yes(fresh_nats.url), oms.client() as http:
        oms.start()
        await _window_of_one_second(fresh_nats)
        first = (await http.post("/orders", json=order("o-1"))).json()
        oms.stop()
        for kept in (True, False):
            await asyncio.sleep(1.2)
            if not kept:
                for file in (tmp_path / "oms").glob("orders.db*"):
                    file.unlink()
            oms.start()
            assert (await http.post("/orders", json=order("o-1"))).json() == first | {"replayed": True}
            refused = await http.post("/orders", json=order("o-1", quantity="0.002"))
            assert (refused.status_code, refused.json()["code"]) == (422, "client_order_id_reused")
            oms.kill()
        assert await submitted(fresh_nats) == {"o-1": 1}


async def _window_of_one_second(nats: LiveServer) -> None:
    async with connected(nats.url) as client:
        info = msgspec.json.decode(await bus.request(client, "$JS.API.STREAM.INFO.OMS_JOURNAL", b"", 2))
        config = msgspec.json.encode(info["config"] | {"duplicate_window": 1_000_000_000})
        answer = msgspec.json.decode(await bus.request(client, "$JS.API.STREAM.UPDATE.OMS_JOURNAL", config, 2))
    assert answer["config"]["duplicate_window"] == 1_000_000_000, answer


async def test_what_risk_approved_for_an_oms_that_died_is_given_back(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 17
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
    risk = LiveService("risk", fresh_nats, tmp_path / "risk", changes=WITHOUT_CLOSES)
    oms.begin(TRADE_FAILPOINT="after_risk:2")
    risk.start()
    oms.ready()
    async with oms.client() as http, risk.client() as about:
        assert (await http.post("/orders", json=order("o-1"))).json()["status"] == "submitted"

        async def at_stake() -> tuple[int, int]:
            stats = (await about.get("/stats")).json()
            return stats["open_orders"], stats["reservations"]

        with pytest.raises(httpx.TransportError):
            await http.post("/orders", json=order("o-2"))
        assert oms.wait() == KILLED
        assert await at_stake() == (1, 1), "the approval is held: it may still turn up in the journal"
        async with asyncio.timeout(120):
            while await at_stake() != (1, 0):
                await asyncio.sleep(0.1)
        assert (await about.get("/stats")).json()["leaked_reservations"] == 1
        oms.start()
        again = await http.post("/orders", json=order("o-2"))
        assert "replayed" not in again.json()
        await until(lambda: risk.is_ready())
        assert await at_stake() == (2, 0)
    oms.stop()
    risk.stop()
