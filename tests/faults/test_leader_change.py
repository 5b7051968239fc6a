"""The journal on three servers, and the one that leads is killed: refusals for some seconds, then on, nothing lost and nothing twice."""

import asyncio
import itertools
from pathlib import Path
from typing import Any, Final

import pytest
from nats.aio.client import Client

from apps.wiring import ORDER_STREAM
from tests.cluster import cluster, leader
from tests.faults.scene import PATIENT, ROUNDS, answered, connected, order, risk_that_says_yes, submitted, until
from tests.live import LiveServer
from tests.process import LiveService

KILLS: Final = 2 * ROUNDS
CALLERS: Final = 4
ANSWERED_WITHIN_S: Final = 40.0
PAUSE_S: Final = 0.02


@pytest.mark.timeout(60 + 60 * KILLS)
async def test_when_the_leader_is_killed_every_order_is_answered_and_stored_once(tmp_path: Path) -> None:
    # FAILURES 9
    with cluster(tmp_path) as nodes:
        oms = LiveService("oms", nodes[0], tmp_path / "oms", changes=PATIENT | {"nats": {"replicas": len(nodes)}})
        async with risk_that_says_yes(nodes[0].url), oms.client() as http, connected(nodes[0].url) as client:
            oms.start()
            answers: dict[str, dict[str, Any]] = {}
            names, over = (f"o-{n}" for n in itertools.count()), False

            async def call() -> None:
                while not over:
                    name = next(names)
                    answers[name] = await answered(http, order(name), ANSWERED_WITHIN_S)
                    await asyncio.sleep(PAUSE_S)

            calling = [asyncio.create_task(call()) for _ in range(CALLERS)]
            for _ in range(KILLS):
                killed = await _leader(client, nodes)
                killed.kill()
                known = len(answers)
                await until(lambda known=known: len(answers) > known + 2 * CALLERS, ANSWERED_WITHIN_S)  # type: ignore[misc]
                killed.begin()
                await asyncio.to_thread(killed.ready)
            over = True
            await asyncio.gather(*calling)
            stored = await submitted(await _leader(client, nodes))
            print(len(answers), "orders over", KILLS, "leaders; recoveries", (await http.get("/stats")).json()["recoveries"])
            assert stored == dict.fromkeys(answers, 1)
            for name, answer in answers.items():
                again = await answered(http, order(name))
                assert again == answer | {"replayed": True}
        oms.stop()


async def _leader(client: Client, nodes: list[LiveServer]) -> LiveServer:
    async with asyncio.timeout(ANSWERED_WITHIN_S):
        while (found := await leader(client, ORDER_STREAM, nodes)) is None:
            await asyncio.sleep(0.1)
    return found
