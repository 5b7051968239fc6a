"""Three nats-servers that keep one journal together, for scenes in which the leader goes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from nats.aio.client import Client

from adapters import bus
from apps.stack import servers
from apps.stack.ports import HOST, ServerPorts
from domain.ports import Unavailable
from tests.live import LiveServer
from tests.ports import free, free_ports

SIZE: Final = 3
ROUTES: Final = """
cluster {{
  name: trade
  listen: "{host}:{own}"
  routes: [{routes}]
}}
"""


@contextmanager
def cluster(home: Path) -> Iterator[list[LiveServer]]:
    """Started, and stopped at the end. A client of one is told of the others."""
    routes = free_ports(SIZE)
    nodes = [_node(home / f"node-{number}", own, routes) for number, own in enumerate(routes)]
    try:
        for node in nodes:
            node.begin()
        for node in nodes:
            node.ready()
        yield nodes
    finally:
        for node in nodes:
            node.kill()


def _node(home: Path, own: int, routes: list[int]) -> LiveServer:
    home.mkdir(parents=True)
    ports = free(ServerPorts)
    program = servers.nats(home, ports)
    conf = home / "nats" / "nats.conf"
    others = ", ".join(f'"nats://{HOST}:{port}"' for port in routes)
    conf.write_text(
        conf.read_text().replace("server_name: trade", f"server_name: {home.name}") + ROUTES.format(host=HOST, own=own, routes=others)
    )
    return LiveServer(program, home, servers.Servers.at(ports))


async def leader(client: Client, stream: str, nodes: list[LiveServer]) -> LiveServer | None:
    """Who takes the appends now; None while they have not agreed."""
    try:
        info: dict[str, Any] = msgspec.json.decode(await bus.request(client, f"$JS.API.STREAM.INFO.{stream}", b"", 1.0))
    except Unavailable:
        return None
    name = info.get("cluster", {}).get("leader")
    return next((node for node in nodes if node.home.name == name), None)


def on_a_cluster(nodes: list[LiveServer]) -> dict[str, object]:
    """The section `nats` of a service whose journal is on all of these."""
    return {"replicas": len(nodes), "monitor_urls": [node.monitor_url for node in nodes]}
