"""The journal on three servers, and the one that leads is killed: refusals for some seconds, then on, nothing lost and nothing twice."""

import asyncio
import itertools
from pathlib import Path
from typing import Any, Final

import pytest
from nats.aio.client import Client

from adapters.subjects import ORDER_STREAM
from apps.journal.group_commit import TRUST_S
from tests.cluster import cluster, leader, on_a_cluster
from tests.faults.scene import PATIENT, ROUNDS, answered, connected, order, risk_that_says_yes, submitted, until
from tests.live import LiveServer
from tests.process import LiveService

KILLS: Final = 2 * ROUNDS
CALLERS: Final = 4
ANSWERED_WITHIN_S: Final = 120.0
PAUSE_S: Final = 0.02
REFUSED_ENOUGH: Final = 3


@pytest.mark.timeout(60 + 60 * KILLS)
async def test_when_the_leader_is_killed_every_order_is_answered_and_stored_once(tmp_path: Path) -> None:
    # FAILURES 9
    with cluster(tmp_path) as nodes:
        oms = LiveService("oms", nodes[0], tmp_path / "oms", changes=PATIENT | {"nats": on_a_cluster(nodes)})
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


@pytest.mark.timeout(240)
async def test_a_leader_without_the_others_proves_nothing_whatever_it_answers(tmp_path: Path) -> None:
    """SCALE "Trust": cut off it says for a while what the journal's end was, and knows nothing of what the others acknowledged."""
    with cluster(tmp_path) as nodes:
        changes = PATIENT | {"nats": on_a_cluster(nodes)}
        first = LiveService("oms", nodes[0], tmp_path / "first", changes=changes)
        async with risk_that_says_yes(nodes[0].url), connected(nodes[0].url) as client:
            first.start()
            first.stop()
            leads = await _leader(client, nodes)
        oms = LiveService("oms", leads, tmp_path / "oms", changes=changes)
        async with risk_that_says_yes(leads.url), oms.client(30) as http:
            oms.start()
            path = f"/orders/{(await answered(http, order('o-1'), ANSWERED_WITHIN_S))['order_id']}"
            others, loop = [node for node in nodes if node is not leads], asyncio.get_running_loop()
            for node in others:
                node.freeze()
            frozen_at, refused = loop.time(), 0
            while refused < REFUSED_ENOUGH:
                asked_at = loop.time()
                answer = await http.get(path)
                refused += answer.status_code == 503
                assert answer.status_code == 503 or asked_at < frozen_at + TRUST_S, "an answer without proof"
            for node in others:
                node.thaw()
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                while (await http.get(path)).status_code != 200:
                    await asyncio.sleep(PAUSE_S)
        oms.stop()
