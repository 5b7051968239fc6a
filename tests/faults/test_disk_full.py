"""A full disk under nats-server: orders are refused and none is lost. Under a service: trading continues."""

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Final

import httpx

from adapters.natsmonitor import health_trouble
from apps.stack import servers
from apps.stack.ports import ServerPorts
from tests.faults.scene import PATIENT, WITHOUT_CLOSES, answered, fill, order, risk_that_says_yes, submitted, until_ready
from tests.live import LiveServer
from tests.ports import free
from tests.process import LiveService

MORE_MB: Final = 192
JOURNAL_MAX: Final = 12 * 2**20
FULL: Final = 50
ROOM: Final = 100_000
"""Bytes that are left for the journal when the disk is nearly full."""


async def test_a_full_disk_refuses_orders_and_loses_none(small_disk: Path, tmp_path: Path) -> None:
    # FAILURES 47
    ports = free(ServerPorts)
    nats = LiveServer(servers.nats(small_disk, ports), small_disk, servers.Servers.at(ports))
    nats.output = tmp_path / "nats.out"
    nats.start()
    oms = LiveService("oms", nats, tmp_path / "oms", changes=PATIENT | {"journal": {"max_bytes": JOURNAL_MAX}})
    async with risk_that_says_yes(nats.url), oms.client(30) as http:
        oms.start()
        accepted = {f"before-{n}": (await answered(http, order(f"before-{n}"))) for n in range(20)}
        (small_disk / "ballast").write_bytes(bytes(_free(small_disk) - ROOM))
        for n in range(10_000):
            answer = await http.post("/orders", json=order(f"o-{n}"))
            if answer.status_code != 200:
                break
            accepted[f"o-{n}"] = answer.json()
        assert (answer.status_code, answer.json()["outcome"]) == (503, "unknown"), answer.text
        unknown = f"o-{n}"
        async with asyncio.timeout(120):
            while (ready := await http.get("/ready")).status_code == 200:
                await asyncio.sleep(0.1)
        print(len(accepted), "orders before the disk was full;", ready.text)
        assert (await http.post("/orders", json=order("refused"))).status_code == 503
        assert "not healthy" in (await health_trouble(nats.monitor_url) or ""), "nats-server says so itself"

        (small_disk / "ballast").unlink()
        subprocess.run(["mount", "-o", f"remount,size={MORE_MB}m", small_disk], check=True)  # noqa: ASYNC221 - nothing else continues
        nats.restart()
        await until_ready(http)
        for name, first in accepted.items():
            assert (await answered(http, order(name))) == first | {"replayed": True}
        await answered(http, order(unknown))
        await answered(http, order("refused"))
        assert await submitted(nats) == dict.fromkeys([*accepted, unknown, "refused"], 1)
    oms.stop()
    nats.stop()


async def test_with_no_room_for_logs_orders_marks_and_snapshots_trading_continues(
    fresh_nats: LiveServer, small_disk: Path, tmp_path: Path
) -> None:
    # FAILURES 48
    oms = LiveService("oms", fresh_nats, small_disk / "oms", changes=PATIENT)
    risk = LiveService("risk", fresh_nats, small_disk / "risk", changes=WITHOUT_CLOSES | {"following": {"snapshot_every_commits": 1}})
    ballast = small_disk / "ballast"
    for service in (oms, risk):
        service.output = tmp_path / f"{service.program.name}.out"
        service.begin(TRADE_LOG_DIR=str(service.home / "logs"))
    async with oms.client() as http, risk.client() as about:
        oms.ready()
        risk.ready()
        answers = {name: await answered(http, order(name)) for name in ("before-1", "before-2")}
        await until_kept(about, 1)
        fill(ballast)
        answers |= {f"full-{n}": await answered(http, order(f"full-{n}")) for n in range(FULL)}
        assert {answer["status"] for answer in answers.values()} == {"submitted"}
        assert (await http.get("/ready")).status_code == 200
        async with asyncio.timeout(120):
            while not (await about.get("/stats")).json()["snapshots"]["failed"]:
                await asyncio.sleep(0.1)
        assert "the order store cannot be written" in oms.said()

        ballast.unlink()
        oms.kill()
        risk.kill()
        risk.begin()
        oms.start()
        risk.ready()
        for name, first in answers.items():
            assert await answered(http, order(name)) == first | {"replayed": True}
        answers["after"] = await answered(http, order("after"))  # the snapshot of the end may have found room just before the kill
        await until_kept(about, 1)
        assert (await about.get("/stats")).json()["open_orders"] == len(answers)
    oms.stop()
    risk.stop()


async def until_kept(risk: httpx.AsyncClient, snapshots: int) -> None:
    async with asyncio.timeout(120):
        while (await risk.get("/stats")).json()["snapshots"]["taken"] < snapshots:
            await asyncio.sleep(0.05)


def _free(directory: Path) -> int:
    stat = os.statvfs(directory)
    return stat.f_bavail * stat.f_bsize
