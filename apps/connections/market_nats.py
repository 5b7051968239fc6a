"""The connection of a service to the market's NATS server."""

from typing import Any

from nats.aio.client import Client

from adapters import bus
from apps.connections.nats import nats_trouble, patiently
from apps.runtime.chassis import Chassis


async def connect(chassis: Chassis[Any], core: Client) -> Client:
    """Return the connection to the market's server, which is `core` without one: retried until it succeeds, and watched by /ready.

    The health of the process does not depend on it: what waits for the server is bounded in memory.
    """
    settings = chassis.settings.market_nats
    if settings.url is None:
        return core
    url, timeout_s = str(settings.url), float(settings.connect_timeout_sec)

    def closed() -> None:
        if not chassis.stopping.is_set():
            chassis.fail("the NATS client gave up its connection to the market's server")

    client = await patiently(lambda: bus.connect(url, chassis.name, closed=closed, timeout_s=timeout_s))
    chassis.exits.push_async_callback(client.close)
    chassis.ready.depend("market nats", lambda: nats_trouble(client))
    return client
