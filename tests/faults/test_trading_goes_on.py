"""One bad thing does not stop the whole: quotes that are none, helper programs that cannot be started, switches that cannot be read."""

import asyncio
import site
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx
from nats.aio.client import Client

from adapters import bus
from apps.stack.services import CHECKOUT
from tests.apps.test_ticks import CASES
from tests.faults.scene import connected
from tests.live import LiveServer
from tests.torture.killswitch import CLIENTS, House, Wire

TIMES: Final = 20
WITHIN_S: Final = 60.0
PATIENT_S: Final = 120.0
"""How long a service may take to start on a machine that others use."""


@asynccontextmanager
async def trading(house: House, nats: LiveServer) -> AsyncIterator[tuple[Client, Wire, httpx.AsyncClient]]:
    """A system under load, with a foreign client on the wire."""
    async with AsyncExitStack() as opened:
        opened.callback(house.stop)
        for service in house.services:
            service.program = replace(service.program, silence_max_s=PATIENT_S)
        house.start()
        client = await opened.enter_async_context(connected(nats.url))
        wire = Wire(client)
        await wire.listen()
        orders, exeq = [await opened.enter_async_context(each.client()) for each in (house.oms, house.exeq)]
        clients = [asyncio.create_task(house.client(orders, number, 7)) for number in range(CLIENTS)]
        try:
            assert await wire.flows("all"), house.reasons
            yield client, wire, exeq
        finally:
            house.loading = False
            await asyncio.gather(*clients)


async def until_stats(http: httpx.AsyncClient, *path: str, at_least: int) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            found: Any = (await http.get("/stats")).json()
            for name in path:
                found = found[name]
            if found >= at_least:
                return
            await asyncio.sleep(0.05)


async def venues_come_back(house: House, exeq: httpx.AsyncClient) -> None:
    """Then they are compared with the journal at once."""
    house.gateway.freeze()
    async with asyncio.timeout(WITHIN_S):
        while not (await exeq.get("/stats")).json()["away"]:
            await asyncio.sleep(0.05)
        house.gateway.thaw()
        while (await exeq.get("/stats")).json()["away"]:
            await asyncio.sleep(0.05)


async def test_ticks_that_are_no_quotes_are_counted_and_everything_continues(fresh_nats: LiveServer, tmp_path: Path) -> None:
    house = House(fresh_nats, tmp_path)
    async with trading(house, fresh_nats) as (client, wire, _):
        # as PAPER_A and PAPER_B would say it; A and B themselves are unknown venues
        sent = 0
        for _ in range(TIMES):
            for _, payload in CASES:
                for name in (b"PAPER_A", b"PAPER_B"):
                    await bus.publish(client, "ticks.BTCUSDT", payload.replace(b'"A"', b'"' + name + b'"'))
                    sent += 1
        await bus.flush(client)
        for service in (house.exeq, house.risk, house.oms):
            async with service.client() as http:
                async with asyncio.timeout(WITHIN_S):
                    while sum((await http.get("/stats")).json()["quotes"]["refused"].values()) < sent:
                        await asyncio.sleep(0.05)
        assert await wire.flows("all"), house.reasons
        assert [service.ended for service in house.services] == [None] * 4
        async with house.exeq.client() as http:
            for shown in (await http.get("/venues")).json()["venues"]:
                assert "BTCUSDT" in shown["quoted"]


async def test_helper_programs_that_cannot_be_started_are_counted_and_exeq_continues(fresh_nats: LiveServer, tmp_path: Path) -> None:
    house = House(fresh_nats, tmp_path)
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    program = house.exeq.program
    paths = ":".join((str(CHECKOUT), *site.getsitepackages()))
    house.exeq.program = replace(
        program, command=(str(python), *program.command[1:]), environment={**program.environment, "PYTHONPATH": paths}
    )
    async with trading(house, fresh_nats) as (_, wire, exeq):
        python.unlink()  # from now on the kernel refuses every new program
        failed = (await exeq.get("/stats")).json()["venues_upkeep"]["failed"]
        await venues_come_back(house, exeq)
        await until_stats(exeq, "venues_upkeep", "failed", at_least=failed + 1)
        assert await wire.flows("all"), house.reasons
        python.symlink_to(sys.executable)
        passes = (await exeq.get("/stats")).json()["venues_upkeep"]["passes"]
        await venues_come_back(house, exeq)
        await until_stats(exeq, "venues_upkeep", "passes", at_least=passes + 1)
        assert (house.exeq.ended, (await exeq.get("/stats")).json()["task_deaths"]) == (None, {})


async def test_while_its_switches_cannot_be_read_exeq_sends_nothing_and_says_why(fresh_nats: LiveServer, tmp_path: Path) -> None:
    house = House(fresh_nats, tmp_path)
    async with trading(house, fresh_nats) as (_, wire, exeq):
        kills = house.exeq.home / "kills"
        kills.rename(house.exeq.home / "elsewhere")
        kills.symlink_to(kills)
        async with asyncio.timeout(WITHIN_S):
            while (await exeq.get("/ready")).status_code == 200:
                await asyncio.sleep(0.02)
        silent_from = await wire.count()
        assert "kills cannot be read: Too many levels of symbolic links" in (await exeq.get("/ready")).text
        assert "kills cannot be read" in (await exeq.get("/stats")).json()["kill_switches_unreadable"]
        accepted = house.reasons["200"]
        async with asyncio.timeout(WITHIN_S):
            while house.reasons["200"] < accepted + 100:
                await asyncio.sleep(0.02)
        assert await wire.count() == silent_from, "orders were taken meanwhile, and none was sent"
        house.exeq.kill()
        house.exeq.begin()
        async with asyncio.timeout(WITHIN_S):
            while True:
                try:
                    if (await exeq.get("/ready")).status_code == 503 and (await exeq.get("/health")).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)
        assert await wire.count() == silent_from, "a new process knows no more"
        kills.unlink()
        (house.exeq.home / "elsewhere").rename(kills)
        assert await wire.flows("all"), house.reasons
