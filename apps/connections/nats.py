"""Connections of a service to NATS, and waiting for what is not there yet."""

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
from apps.connections.unit import Unit
from apps.runtime import metrics, tasks
from apps.runtime.health import SERVICE
from apps.runtime.service import Chassis
from apps.runtime.standby import Turn
from config.settings import Settings
from domain.ports import Corrupt, Unavailable

TRY_AGAIN_S: Final = 0.5
PROBE_TIMEOUT_S: Final = 0.8
log = structlog.get_logger()
AnySettings = TypeVar("AnySettings", bound=Settings)
T = TypeVar("T")


async def connect(chassis: Chassis[AnySettings], unit: Unit | None = None) -> Client:
    """The service's NATS connection, or its unit's: tried until it is there, watched, closed at the end."""
    client = await (_connected(chassis, chassis.settings.nats.url, chassis.name, "nats") if unit is None else _shared(chassis, unit))
    metrics.read(chassis.registry, lambda: _foreign_seen())
    return client


async def _shared(chassis: Chassis[AnySettings], unit: Unit) -> Client:
    """The one connection of a unit. It is closed when all its services have ended."""
    client = await patiently(lambda: unit.connected(float(chassis.settings.nats.connect_timeout_sec)))
    chassis.health.depend("nats", lambda: nats_trouble(client))
    return client


async def connect_writer(chassis: Chassis[AnySettings]) -> Client:
    """The connection over which a service writes its journal, and does nothing else: see apps.stack.credentials.nats."""
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
    """Who listens to what this process announces. A unit asks once for all of its services."""
    if unit is not None and unit.interest is not None:
        return unit.interest
    found = Interest(client, chassis.settings.nats.monitors())
    chassis.spawn(found.run, tasks.INTEREST)
    if unit is not None:
        unit.interest = found
    return found


def _foreign_seen() -> list[Metric]:
    seen = {journal: float(len(sequences)) for journal, sequences in FOREIGN_SEEN.items()}
    return [metrics.gauge("journal_foreign_messages", "Messages in a journal that are no commits, seen by this process", seen, "journal")]


async def turn(chassis: Chassis[AnySettings], client: Client) -> Turn:
    """Stand by while another process of this service works; from then on this one does, until it is followed, which ends it."""
    own = Turn(client, chassis.name)

    def waits(reason: str) -> None:
        chassis.log.warning(f"{chassis.name} {reason}")
        chassis.ready.set(SERVICE, False, reason)
        chassis.health.set(SERVICE, True)  # it is well, and has nothing to do

    await own.wait(waits)
    chassis.spawn(lambda: own.run(chassis.fail), tasks.TURN)
    return own


async def nats_trouble(client: Client) -> str | None:
    """None while a ping comes back; else why not. A deaf connection looks connected, so it is asked."""
    if not client.is_connected:
        return "not connected"
    try:
        await client.rtt(PROBE_TIMEOUT_S)  # type: ignore[arg-type]
    except (TimeoutError, OSError, nats.errors.Error) as error:
        return f"no answer: {str(error) or type(error).__name__}"
    return None


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Until it works: a dependency that starts after us is no failure."""
    said = ""
    while True:
        try:
            return await attempt()
        except Unavailable as trouble:
            if str(trouble) != said:
                log.warning("waiting for a dependency", reason=str(trouble))
            said = str(trouble)
            await asyncio.sleep(TRY_AGAIN_S)


async def or_refused(chassis: Chassis[AnySettings], attempt: Callable[[], Awaitable[T]]) -> T:
    """`attempt` until it works. A journal that does not verify ends the service, with the reason as its last line."""
    try:
        return await patiently(attempt)
    except (Corrupt, OldStream) as trouble:
        chassis.fail(str(trouble))
        await asyncio.Event().wait()
        raise
