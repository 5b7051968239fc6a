"""Free ports for the servers of tests."""

import random
import socket
from collections import deque
from dataclasses import fields
from typing import Final, TypeVar

from apps.stack.ports import HOST

Ports = TypeVar("Ports")

RANGE: Final = range(10_000, 32_700)
"""Below the ports that Linux gives to connections: such a connection would keep a server from its port."""
KEPT_MAX: Final = 300
"""Reservations that a process keeps, the newest: the servers of those before listen by now, or have ended."""

_kept: Final[deque[socket.socket]] = deque()


def free_ports(count: int) -> list[int]:
    """Return ports that no server and no other test has. They are kept for servers that start later, and start again."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(RANGE)
        reservation = reserved(port)
        if reservation is None:
            continue
        if is_free(port):
            _kept.append(reservation)
            found.append(port)
        else:
            reservation.close()
    while len(_kept) > KEPT_MAX:
        _kept.popleft().close()
    return found


def free(kind: type[Ports]) -> Ports:
    """Return a dataclass of ports with free ones."""
    return kind(*free_ports(len(fields(kind))))  # type: ignore[arg-type]


def reserved(port: int) -> socket.socket | None:
    """Return a hold on a port, by which no two servers and no two runs choose the same; None where another test holds it.

    The hold is on the port of UDP, so it is in no server's way, also not of one that listens on all addresses.
    """
    reservation = socket.socket(type=socket.SOCK_DGRAM)
    try:
        reservation.bind((HOST, port))
    except OSError:
        reservation.close()
        return None
    return reservation


def is_free(port: int) -> bool:
    """Return whether a server may listen on the port."""
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
