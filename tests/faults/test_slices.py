"""exeq dies in the middle of a slice of an algo: no slice is made twice, and the algo trades exactly its quantity. CONTINGENT.md 4."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.runtime.failpoint import KILLED
from domain.order.events import AlgoSliced, OrderRouted
from tests.faults.scene import events_of, until, until_ready
from tests.faults.test_send import SETTLED_WITHIN_S, House
from tests.live import LiveServer

ICEBERG: dict[str, Any] = {
    "account": "alice",
    "client_algo_id": "i-1",
    "symbol": "BTCUSDT",
    "side": "buy",
    "quantity": 0.4,
    "limit_price": 50000,
    "strategy": "iceberg",
    "params": {"display_quantity": 0.1},
}


async def until_done(http: httpx.AsyncClient, algo_id: str) -> dict[str, Any]:
    async with asyncio.timeout(SETTLED_WITHIN_S):
        while True:
            found: dict[str, Any] = (await http.get(f"/algos/{algo_id}")).json()
            if found["status"] == "done":
                return found
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(("step", "on_disk"), [("before_slice", 1), ("after_slice", 2)])
async def test_an_exeq_that_dies_at_a_slice_continues_with_the_right_one(
    fresh_nats: LiveServer, tmp_path: Path, step: str, on_disk: int
) -> None:
    house = House(fresh_nats, tmp_path)
    async with house.living(fresh_nats, exeq={"TRADE_FAILPOINT": f"{step}:2"}):
        http, exeq = house.http["oms"], house.services["exeq"]
        submitted = (await http.post("/algos", json=ICEBERG)).json()
        assert submitted["status"] == "submitted", submitted
        await until(lambda: exeq.ended is not None)
        assert exeq.wait() == KILLED
        assert (await http.get(f"/algos/{submitted['algo_id']}")).json()["slices_done"] == on_disk
        exeq.start()
        await until_ready(house.http["exeq"])
        ended = await until_done(http, submitted["algo_id"])
        assert (ended["reason"], ended["cum_quantity"], ended["flags"]) == ("filled", 0.4, [])
        ends = Counter((order["status"], order["reason"], order["quantity"]) for order in await house.orders())
        lost = ends.pop(("rejected", "never_arrived", 0.1), 0)  # its route was recorded, and exeq died before it was sent
        assert (ends, lost <= 1) == ({("filled", None, 0.1): 4}, True)
        events = [event for _, event in await events_of(fresh_nats)]
        assert [event.n for event in events if isinstance(event, AlgoSliced)] == list(range(1, 5 + lost))
        routed = [leg.route_id for event in events if isinstance(event, OrderRouted) for leg in event.legs]
        assert len(routed) == len(set(routed))
        assert (await house.sends())["most"] == 1
