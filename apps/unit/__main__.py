"""`python -m apps.unit`: oms, risk and exeq of one shard in one process, each on its own ports and with its own configuration.

The variables TRADE_CONFIG, TRADE_PORT and TRADE_METRICS_PORT belong to one service. Here each service has its own: TRADE_OMS_PORT,
TRADE_RISK_CONFIG and so on. A failure of one service ends the process, and all three start again from the journal.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final

from apps.connections.unit import Unit
from apps.exeq.wiring import build as build_exeq
from apps.oms.wiring import build as build_oms
from apps.risk.wiring import build as build_risk
from apps.runtime.chassis import Chassis
from apps.runtime.service import begin, live, run_process, stops_on_signals
from apps.stack.topology import UNIT
from config import secrets
from config.loading import load_exeq, load_oms, load_risk
from config.text import ConfigError

OF_ONE: Final = ("CONFIG", "PORT", "METRICS_PORT")
"""Variables that each service of a unit has for itself, under its own name."""


def own_environment(service: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that this service has for itself, under the names it reads. An empty one sets nothing."""
    return {f"TRADE_{what}": environ.get(f"TRADE_{service.upper()}_{what}", "") for what in OF_ONE}


def environment_of(service: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return all variables as this service reads them."""
    return {**environ, **own_environment(service, environ)}


def lives() -> Coroutine[Any, Any, int]:
    """Read all configurations and return the coroutine that runs the services. Raises ConfigError before anything is started."""
    environ = os.environ
    oms = load_oms(environ=environment_of("oms", environ))
    risk = load_risk(environ=environment_of("risk", environ))
    exeq = load_exeq(environ=environment_of("exeq", environ))
    if len(numbers := {each.nats.shards for each in (oms, risk, exeq)}) > 1:
        raise ConfigError(f"nats.shards must be the same for oms, risk and exeq, found {', '.join(map(str, sorted(numbers)))}")
    if len(names := {each.unit.name for each in (oms, risk, exeq)}) > 1:
        raise ConfigError(f"unit.name must be the same for oms, risk and exeq, found {', '.join(repr(name) for name in sorted(names))}")
    begin(oms, risk, exeq)
    url, credentials = str(oms.nats.url), secrets.read(UNIT, environ)
    if user := credentials.get("nats.url"):
        url = secrets.with_user(url, *user)

    async def together() -> int:
        unit = Unit(url, lambda reason: chassis[0].fail(reason), oms.nats.shards, oms.unit.name)
        chassis: tuple[Chassis[Any], ...] = tuple(
            Chassis(each, own_environment(each.service.name, environ), partial(unit.front, each.service.name)) for each in (oms, risk, exeq)
        )
        try:
            return await _all(chassis, [partial(build, unit=unit) for build in (build_oms, build_risk, build_exeq)])
        finally:
            await unit.close()

    return together()


async def _all(chassis: tuple[Chassis[Any], ...], builds: Sequence[Callable[[Chassis[Any]], Any]]) -> int:
    """Run all services until one of them ends, then stop the others. Return the first exit code that is not 0. Raises ConfigError."""

    def stop() -> None:
        for each in chassis:
            each.stop()

    stops_on_signals(stop)
    running = [asyncio.create_task(live(each, build)) for each, build in zip(chassis, builds, strict=True)]
    ending = [asyncio.create_task(each.stopping.wait()) for each in chassis]
    await asyncio.wait((*running, *ending), return_when=asyncio.FIRST_COMPLETED)
    stop()
    await asyncio.wait(running)
    codes = [each.result() for each in running]
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    run_process(lives)
