"""oms dies at a named step of a submit: the order exists once or not at all, and asking again settles which."""

import asyncio
from pathlib import Path

import httpx
import msgspec
import pytest

from adapters import bus
from apps.failpoint import KILLED
from tests.faults.scene import PATIENT, connected, order, risk_that_says_yes, submitted, until
from tests.live import LiveServer
from tests.process import LiveService


@pytest.mark.parametrize(("step", "stored"), [("before_append", 0), ("after_append", 1)])
async def test_oms_dies_around_the_append(fresh_nats: LiveServer, tmp_path: Path, step: str, stored: int) -> None:
    # FAILURES 1, 2
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
    async with risk_that_says_yes(fresh_nats.url), oms.client() as http:
        oms.start(TRADE_FAILPOINT=f"{step}:2")
        first = (await http.post("/orders", json=order("o-1"))).json()
        with pytest.raises(httpx.TransportError):
            await http.post("/orders", json=order("o-2"))
        assert oms.wait() == KILLED
        assert await submitted(fresh_nats) == {"o-1": 1} | ({"o-2": 1} if stored else {})

        oms.start()
        again = (await http.post("/orders", json=order("o-2"))).json()
        assert (again["status"], again.get("replayed", False)) == ("submitted", bool(stored))
        assert (await http.post("/orders", json=order("o-2"))).json() == again | {"replayed": True}
        assert (await http.post("/orders", json=order("o-1"))).json() == first | {"replayed": True}
        assert await submitted(fresh_nats) == {"o-1": 1, "o-2": 1}
    oms.stop()


async def test_an_id_is_known_for_ever_whatever_the_window_of_the_server(fresh_nats: LiveServer, tmp_path: Path) -> None:
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
    risk = LiveService("risk", fresh_nats, tmp_path / "risk")
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
        async with asyncio.timeout(5):
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
