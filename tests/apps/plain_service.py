"""The smallest service on the chassis, at addresses of exeq, run by test_service.py. What it should do wrong comes by environment."""

import asyncio
import contextlib
import os
from pathlib import Path

from starlette.types import Receive, Scope, Send

from apps.http.app import encode, send_json
from apps.runtime.service import Chassis, Service, run_service
from apps.runtime.tasks import Task
from config.loading import load_exeq
from config.settings import ExeqSettings
from config.text import ConfigError

LINES = 1000
"""For each GET /venues."""


async def build(chassis: Chassis[ExeqSettings]) -> Service:
    wrong = os.environ.get("WRONG", "")
    sick = Path(os.environ["SICK_FILE"])
    if wrong == "build":
        raise RuntimeError("the world is not as it was promised")
    if wrong == "configuration found out late":

        async def deaf() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            await asyncio.sleep(3600)

        chassis.spawn(deaf, Task("deaf once", True, "the scene ends"))
        await asyncio.sleep(0)
        raise ConfigError("venues.yaml: venues: nothing is there")
    if wrong == "never built":
        await asyncio.sleep(3600)

    async def probe() -> str | None:
        return sick.read_text() if sick.exists() else None

    async def fail_soon() -> None:
        await asyncio.sleep(0.1)
        raise RuntimeError("the task is broken")

    async def slow(_: Scope, __: Receive, send: Send) -> None:
        await asyncio.sleep(1)
        await send_json(send, 200, encode({"answered": True}))

    async def log(_: Scope, __: Receive, send: Send) -> None:
        for number in range(LINES):
            chassis.log.warning("much to say", number=number, text="x" * 200)
        await send_json(send, 200, encode({"lines": LINES}))

    async def say(sentence: str) -> None:
        chassis.log.info(sentence)

    chassis.health.depend("disk", probe)
    chassis.exits.push_async_callback(say, "closed first what was opened last: the connection")
    if wrong == "task":
        chassis.spawn(fail_soon, Task("fragile", True, "the scene ends"))
    if wrong == "will not end":
        chassis.exits.push_async_callback(asyncio.sleep, 3600)
    return Service(
        fast={("GET", "/queue"): slow, ("GET", "/venues"): log}, stats=lambda: {"orders": 7}, stop_intake=lambda: say("no more intake")
    )


if __name__ == "__main__":
    run_service("exeq", load_exeq, build)
