"""Connections of a service to NATS, and waiting for dependencies."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import nats.errors
import structlog
from nats.aio.client import Client
from prometheus_client.core import Metric

from adapters import bus
from adapters.jetstream import FOREIGN_SEEN, OldStream
from apps.connections.announcements import Interest
from apps.connections.service_stats import answer_stats
from apps.connections.unit import Unit
from apps.runtime import metrics, tasks
from apps.runtime.health import SERVICE
from apps.runtime.service import Chassis
from apps.runtime.standby import AnyTurn, NoTurn, Turn
from config.settings import Settings
from config.text import ConfigError
from domain.ports import Corrupt, Unavailable

TRY_AGAIN_S: Final = 0.5
PROBE_TIMEOUT_S: Final = 0.8
log = structlog.get_logger()
AnySettings = TypeVar("AnySettings", bound=Settings)
T = TypeVar("T")


async def connect(chassis: Chassis[AnySettings], unit: Unit | None = None) -> Client:
    """Return the NATS connection of the service or its unit: retried until it succeeds, watched by health, closed at the end."""
    client = await (_connected(chassis, chassis.settings.nats.url, chassis.name, "nats") if unit is None else _shared(chassis, unit))
    metrics.read(chassis.registry, lambda: _foreign_seen())
    await answer_stats(chassis, client)
    return client


async def _shared(chassis: Chassis[AnySettings], unit: Unit) -> Client:
    """Return the shared connection of a unit. It is closed when all services of the unit have ended."""
    client = await patiently(lambda: unit.connected(float(chassis.settings.nats.connect_timeout_sec)))
    chassis.health.depend("nats", lambda: nats_trouble(client))
    return client


async def connect_writer(chassis: Chassis[AnySettings]) -> Client:
    """Return the connection that a service uses only to write its journal: see apps.stack.credentials.nats."""
    settings = chassis.settings.nats
    return await _connected(chassis, settings.writer_url or settings.url, f"{chassis.name} journal", "nats journal")


async def _connected(chassis: Chassis[AnySettings], url: str, name: str, dependency: str) -> Client:
    timeout_s = float(chassis.settings.nats.connect_timeout_sec)

    def closed() -> None:
        if not chassis.stopping.is_set():
            chassis.fail("the NATS client gave up its connection")

    client = await patiently(lambda: bus.connect(url, name, closed=closed, timeout_s=timeout_s))
    chassis.exits.push_async_callback(client.close)
    chassis.health.depend(dependency, lambda: nats_trouble(client))
    return client


def interest(chassis: Chassis[AnySettings], client: Client, unit: Unit | None = None) -> Interest:
    """Return the interest in announcements of this process. A unit polls once for all of its services."""
    if unit is not None and unit.interest is not None:
        return unit.interest
    found = Interest(client, chassis.settings.nats.monitors())
    chassis.spawn(found.run, tasks.INTEREST)
    if unit is not None:
        unit.interest = found
    return found


def _foreign_seen() -> list[Metric]:
    seen = {journal: float(len(sequences)) for journal, sequences in FOREIGN_SEEN.items()}
    return [metrics.gauge("journal_foreign_messages", "Messages in a journal that are not commits, read by this process", seen, "journal")]


async def turn_in(unit: Unit | None, chassis: Chassis[AnySettings], client: Client) -> AnyTurn:
    """Wait for the turn of the service, as `turn` does; at once in a unit that shares the shards with others."""
    if unit is None or unit.leases is None:
        return await turn(chassis, client)
    return NoTurn(unit.leases.sender)


def refuse_apart(unit: Unit | None, name: str) -> None:
    """Check that a service by itself has no unit's name. Raises ConfigError."""
    if unit is None and name:
        raise ConfigError(f"unit.name is {name!r}, but this process is one service by itself: only a unit shares shards with other units")


async def turn(chassis: Chassis[AnySettings], client: Client) -> Turn:
    """Wait while another process of this service works; then hold the turn until another process takes it, which ends this one."""
    own = Turn(client, chassis.name)

    def waits(reason: str) -> None:
        chassis.log.warning(f"{chassis.name} {reason}")
        chassis.ready.set(SERVICE, False, reason)
        chassis.health.set(SERVICE, True)  # standby is healthy, though not ready

    await own.wait(waits)
    chassis.spawn(lambda: own.run(chassis.fail), tasks.TURN)
    return own


async def nats_trouble(client: Client) -> str | None:
    """Return None if a ping is answered, else why not. A ping is needed because a dead connection may look connected."""
    if not client.is_connected:
        return "not connected"
    try:
        await client.rtt(PROBE_TIMEOUT_S)  # type: ignore[arg-type]
    except (TimeoutError, OSError, nats.errors.Error) as error:
        return f"no answer: {str(error) or type(error).__name__}"
    return None


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Call `attempt` until it raises no Unavailable: a dependency may start after this service. A new reason is logged."""
    logged = ""
    while True:
        try:
            return await attempt()
        except Unavailable as trouble:
            if str(trouble) != logged:
                log.warning("waiting for a dependency", reason=str(trouble))
            logged = str(trouble)
            await asyncio.sleep(TRY_AGAIN_S)


async def or_refused(chassis: Chassis[AnySettings], attempt: Callable[[], Awaitable[T]]) -> T:
    """Call `attempt` until it works. A journal that does not verify ends the service, with the reason in its last log line."""
    try:
        return await patiently(attempt)
    except (Corrupt, OldStream) as trouble:
        chassis.fail(str(trouble))
        await asyncio.Event().wait()
        raise
