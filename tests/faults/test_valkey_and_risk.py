"""Whatever becomes of Valkey, risk decides as the journal says: it is written for readers, and never read back."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from redis import Redis

from tests.faults.scene import PATIENT, order, until_ready
from tests.live import LiveServer
from tests.process import LiveService
from tests.torture.killswitch import NO_HISTORY

WRITTEN_WITHIN_S: Final = 120.0
QUANTITIES: Final = (0.2, 0.3)
"""With 0.3 BTC open at 45 000, of which 25 000 USD may be at stake."""


class House:
    """oms and risk; an order for 0.3 BTC is open."""

    def __init__(self, valkey: LiveServer, risk: LiveService, desk: httpx.AsyncClient) -> None:
        self.valkey, self.risk, self.desk = valkey, risk, desk
        self.store = Redis.from_url(f"{valkey.url}/4", decode_responses=True)

    async def decides(self) -> list[str]:
        """What it says to an order that fits and to one that does not."""
        asked = {"account": "alice", "symbol": "BTCUSDT", "side": "buy", "price": 45000}
        answers = [(await self.desk.post("/check", json={**asked, "quantity": quantity})).json() for quantity in QUANTITIES]
        return [answer.get("reason", "approved") for answer in answers]

    async def until_written(self) -> dict[str, str]:
        async with asyncio.timeout(WRITTEN_WITHIN_S):
            while True:
                row: dict[str, str] = self.store.hgetall("risk:portfolio:alice")  # type: ignore[assignment]
                if row.get("reservations") == "6750":
                    return row
                await asyncio.sleep(0.05)

    async def until_slow_health(self) -> None:
        async with asyncio.timeout(WRITTEN_WITHIN_S):
            while (await self.desk.get("/health")).status_code != 503:
                await asyncio.sleep(0.1)


AS_IT_SHOULD: Final = ["approved", "concentration_limit"]


@pytest.fixture
async def house(fresh_nats: LiveServer, fresh_valkey: LiveServer, tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as opened:
        risk = LiveService("risk", fresh_nats, tmp_path / "risk", valkey_url=fresh_valkey.url, changes=NO_HISTORY)
        oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
        for service in (risk, oms):
            opened.callback(service.stop)
            service.begin()
        for service in (risk, oms):
            service.ready()
        http = await opened.enter_async_context(oms.client())
        answer: dict[str, Any] = (await http.post("/orders", json=order("held", quantity="0.3"))).json()
        assert answer["status"] == "submitted", answer
        made = House(fresh_valkey, risk, await opened.enter_async_context(risk.client()))
        opened.callback(made.store.close)
        await made.until_written()
        assert await made.decides() == AS_IT_SHOULD
        yield made


async def test_a_flushed_or_lost_valkey_changes_no_decision_and_is_filled_again(house: House) -> None:  # FAILURES 19
    house.store.flushall()
    assert await house.decides() == AS_IT_SHOULD
    await house.until_written()
    house.valkey.kill()
    await house.until_slow_health()
    assert await house.decides() == AS_IT_SHOULD
    for kept in house.valkey.home.rglob("appendonlydir"):
        shutil.rmtree(kept)
    for dump in house.valkey.home.rglob("*.rdb"):
        dump.unlink()
    house.valkey.start()
    await house.until_written()
    assert await house.decides() == AS_IT_SHOULD


async def test_a_full_valkey_changes_no_decision(house: House) -> None:  # FAILURES 20
    assert house.store.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    house.store.config_set("maxmemory", "1mb")
    await asyncio.sleep(2)
    assert await house.decides() == AS_IT_SHOULD
    house.store.config_set("maxmemory", "0")
    await house.until_written()


async def test_a_valkey_that_tells_of_another_day_changes_no_decision_of_the_next_start(house: House) -> None:  # FAILURES 21
    house.risk.kill()
    house.store.hset("risk:portfolio:alice", mapping={"equity": "9000000", "reservations": "0", "as_of_seq": "900000"})
    house.risk.start()
    await until_ready(house.desk)
    assert await house.decides() == AS_IT_SHOULD
    assert (await house.until_written())["equity"] == "100000"


async def test_a_frozen_valkey_holds_up_no_decision(house: House) -> None:  # FAILURES 22
    house.valkey.freeze()
    try:
        await house.until_slow_health()
        async with asyncio.timeout(120):
            for _ in range(200):
                assert await house.decides() == AS_IT_SHOULD
    finally:
        house.valkey.thaw()
    await house.until_written()
