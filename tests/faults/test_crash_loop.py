"""oms is killed again and again while it recovers: each start begins again from what verifies, and the last one has everything."""

import asyncio
import random
from pathlib import Path
from typing import Final

from apps.runtime.failpoint import KILLED
from tests.faults.scene import PATIENT, ROUNDS, order, risk_that_says_yes, submitted
from tests.live import LiveServer
from tests.process import LiveService

ORDERS: Final = 300
DEATHS: Final = 3 * ROUNDS
START_S: Final = 3.0
"""About what a start takes: the others die anywhere in it."""


async def test_killed_in_every_recovery_it_has_everything_in_the_end(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 50, 74
    chance = random.Random(74)
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
    async with risk_that_says_yes(fresh_nats.url), oms.client() as http:
        oms.start()
        first = [(await http.post("/orders", json=order(f"o-{n}"))).json() for n in range(ORDERS)]
        for answer in first[::2]:
            assert (await http.delete(f"/orders/{answer['order_id']}")).json()["status"] == "cancelled"
        shown = [(await http.get(f"/orders/{answer['order_id']}")).json() for answer in first]
        oms.kill()
        for _ in range(DEATHS):
            for file in (tmp_path / "oms").glob("orders.db*"):
                file.unlink()  # or there would be nothing to recover
            oms.begin(TRADE_FAILPOINT="during_recovery")
            assert oms.wait(120) == KILLED
            oms.begin()
            await asyncio.sleep(chance.uniform(0, START_S))
            oms.kill()
        oms.start()
        assert [(await http.get(f"/orders/{answer['order_id']}")).json() for answer in first] == shown
        assert (await http.post("/orders", json=order("o-0"))).json() == first[0] | {"replayed": True}
        assert await submitted(fresh_nats) == {f"o-{n}": 1 for n in range(ORDERS)}
        stats = (await http.get("/stats")).json()
        assert stats["orders"] == {"queued": ORDERS // 2, "cancelled": ORDERS // 2}
    oms.stop()
