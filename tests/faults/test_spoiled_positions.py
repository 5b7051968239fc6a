"""A foreign write to the positions in Valkey: oms finds it by the journal, corrects it, counts it, and finds nothing the next time."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from redis import Redis

from tests.faults.scene import PATIENT, answered, order
from tests.faults.test_send import House
from tests.live import LiveServer
from tests.process import Changes

CHANGES: Final[Changes] = {**PATIENT, "order_management": {"reconcile_positions_interval_sec": 1}}
KEY = "position:alice:BTCUSDT"


async def upkeep(house: House, *, passes: int) -> dict[str, Any]:
    """What oms counts after this many more passes."""
    before = None
    async with asyncio.timeout(120):
        while True:
            found: dict[str, Any] = (await house.http["oms"].get("/stats")).json()["positions_upkeep"]
            before = found["passes"] if before is None else before
            if found["passes"] >= before + passes:
                return found
            await asyncio.sleep(0.1)


async def test_a_spoiled_position_is_corrected_within_one_interval(
    fresh_nats: LiveServer, fresh_valkey: LiveServer, tmp_path: Path
) -> None:
    house = House(fresh_nats, tmp_path, valkey_url=fresh_valkey.url, changes=CHANGES)
    async with house.living(fresh_nats):
        await answered(house.http["oms"], order("o-1", price="50000", quantity="0.01"))
        await house.settled()
        assert (await upkeep(house, passes=2))["repaired"] == 0
        with Redis.from_url(fresh_valkey.url, db=5, decode_responses=True) as store:
            good = store.hgetall(KEY)
            assert Decimal(good["quantity"]) == Decimal("0.01")
            store.hset(KEY, "quantity", "7")
            async with asyncio.timeout(120):
                while store.hgetall(KEY) != good:
                    await asyncio.sleep(0.1)
        counted = await upkeep(house, passes=2)
        assert (counted["repaired"], counted["failed"], counted["positions"]) == (1, 0, 1)
        await answered(house.http["oms"], order("o-2", price="50000", quantity="0.01"))
        await house.settled()
        async with asyncio.timeout(120):
            while (await house.http["oms"].get("/positions/alice")).json()["BTCUSDT"]["quantity"] != 0.02:
                await asyncio.sleep(0.1)
    assert "differed from the journal and was repaired" in (tmp_path / "oms" / "oms.out").read_text()
