"""Ports: the fixed ones, shifted by one number; and the process that uses a taken one."""

import socket
from dataclasses import dataclass, fields
from typing import Self

import psutil

from apps.runtime.exit_codes import Exit
from apps.stack.trouble import CannotStart

HOST = "127.0.0.1"
PORT_MAX = 65_535
METRICS_OFFSET = 1_000
SERVICE_PORTS = {"oms": 8099, "risk": 8103, "exeq": 8095, "live-gateway": 8105, "projector": 8107, "desk": 8110}
"""The services of every stack."""
MARKET_PORTS = {"gateway": 8080, "normalizer": 8081, "sink-ticks": 8111, "sink-alt": 8112}
"""The services that run only if they are asked for: `trade up --market config`, `--with`."""
ALL_PORTS = SERVICE_PORTS | MARKET_PORTS


@dataclass(frozen=True)
class ServerPorts:
    """The ports of the embedded servers; the defaults are the well-known ones."""

    nats: int = 4222
    nats_monitor: int = 8222
    valkey: int = 6379
    questdb_http: int = 9000
    questdb_pg: int = 8812
    questdb_min: int = 9003
    market_nats: int = 4223
    market_nats_monitor: int = 8223

    def shifted(self, offset: int) -> Self:
        return type(self)(*(port + offset for port in self.all()))

    def all(self) -> tuple[int, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    def named(self, *, questdb: bool, market: bool = False) -> dict[str, int]:
        """Return server -> port, for those that will run."""
        absent = tuple(name for name, runs in (("questdb", questdb), ("market_nats", market)) if not runs)
        return {field.name: getattr(self, field.name) for field in fields(self) if not field.name.startswith(absent)}


def check_free(wanted: dict[str, int]) -> None:
    """Raise CannotStart for the first of the `wanted` (owner -> port) that is out of range or in use."""
    for owner, port in wanted.items():
        if not 0 < port <= PORT_MAX:
            raise CannotStart(f"Port {port} for {owner} is out of range.", remedy="Choose another --port-offset.", exit_code=Exit.USAGE)
    for owner, port in wanted.items():
        if _is_taken(port):
            sentence = f"Port {port}, which {owner} needs, is in use{_by_whom(port)}."
            raise CannotStart(sentence, remedy="Stop that process, or move all ports: trade up --port-offset 100")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection in TIME_WAIT is not in the way
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
        return False


def _by_whom(port: int) -> str:
    """Return which process listens on the port, as far as this user may see it."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        return ""
    return ""
