"""oms with little memory: a flood is turned away; and when the kernel takes the process all the same, nothing answered is lost."""

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import httpx

from tests.children import started
from tests.faults.scene import PATIENT, answered, order, risk_that_says_yes, submitted, until
from tests.live import LiveServer
from tests.memory import MemoryGroup, memory_group
from tests.process import LiveService

MB: Final = 2**20
LIMIT: Final = 300 * MB
FLOOD: Final = 1200
CALLERS: Final = 100
IN_FLIGHT_MAX: Final = 32
ASKED_AGAIN: Final = 50
ROOM: Final = 50 * MB
"""Too little for oms."""
KILLED_BY_KERNEL: Final = -9
HOG: Final = "import sys, time; held = b'x' * int(sys.argv[1]); time.sleep(60)"


async def test_a_flood_stays_within_the_memory_and_a_death_by_it_loses_nothing(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 49
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT | {"order_management": {"intake_max": IN_FLIGHT_MAX}})
    with memory_group(LIMIT) as group:
        group.hold(oms)
        async with risk_that_says_yes(fresh_nats.url), oms.client(30) as http:
            oms.start()
            answers, most = await _flooded(oms, group)
            statuses = Counter(answer.status_code for answer in answers.values())
            print(dict(statuses), "memory at most", most // MB, "MB")
            assert statuses.keys() == {200, 429}, "some were taken and some turned away"
            assert oms.ended is None
            assert 0 < most < LIMIT

            await _taken_by_the_kernel(oms, group)
            oms.start()
            taken = {name: answer.json() for name, answer in answers.items() if answer.status_code == 200}
            for name in random.Random(49).sample(sorted(taken), ASKED_AGAIN):
                assert await answered(http, order(name)) == taken[name] | {"replayed": True}
            assert await submitted(fresh_nats) == dict.fromkeys(taken, 1)
        oms.stop()


async def _flooded(oms: LiveService, group: MemoryGroup) -> tuple[dict[str, httpx.Response], int]:
    """Every answer, and the most memory that the group had."""
    names, answers, most = iter(f"o-{n}" for n in range(FLOOD)), {}, 0

    async def call() -> None:
        async with oms.client(30) as http:
            for name in names:
                answers[name] = await http.post("/orders", json=order(name))

    calling = [asyncio.create_task(call()) for _ in range(CALLERS)]
    while not all(task.done() for task in calling):
        most = max(most, group.used)
        await asyncio.sleep(0.05)
    await asyncio.gather(*calling)
    return answers, most


async def _taken_by_the_kernel(oms: LiveService, group: MemoryGroup) -> None:
    """Another one takes what was left in the group, and the kernel makes room."""
    group.first_to_go()
    hog = started(group.inside(sys.executable, "-c", HOG, str(LIMIT - ROOM)))
    try:
        await until(lambda: oms.ended is not None)
        assert oms.wait() == KILLED_BY_KERNEL
    finally:
        hog.kill()
        hog.wait()
