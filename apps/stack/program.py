"""What is run: a command line, its environment, and a question that only a working program answers."""

import http.client
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from apps.stack.ports import HOST
from apps.stack.trouble import NotReady

PROBE_TIMEOUT_S = 5.0
SILENCE_MAX_S = 60.0
"""A program that shows no progress for so long, and does not answer, will not answer."""

URGENT_NICENESS = -10
PROJECTION_NICENESS = 5
ANSWER_MAX = 4_096


@dataclass(frozen=True)
class Program:
    """One server or service. `probe` blocks at most PROBE_TIMEOUT_S, returns when the program answers, else raises NotReady.

    `niceness` is what it gives way by when the processor is short: what only projects the journal yields to what an order waits for. What a
    risk check waits for within its few milliseconds goes first (negative), where the system lets us: as root, or with RLIMIT_NICE.
    """

    name: str
    kind: Literal["server", "service"]
    command: tuple[str, ...]
    probe: Callable[[], None]
    ports: Mapping[str, int]
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    silence_max_s: float = SILENCE_MAX_S
    niceness: int = 0
    services: tuple[str, ...] = ()
    """The services that run in it."""

    def full_environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment}


def http_answers(port: int, path: str) -> bytes:
    """The body of a 200 answer; NotReady for anything else. Proxies of the environment are not asked: this is our own machine."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(ANSWER_MAX)
    except (OSError, http.client.HTTPException) as error:
        raise NotReady(f"GET {path} on port {port}: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise NotReady(f"GET {path} on port {port}: {response.status} {body[:200].decode(errors='replace')}", answered=True)
    return body


def socket_answers(port: int, *, say: bytes, hear: bytes) -> None:
    """Connect, `say` something, and read until `hear` comes; NotReady when it does not."""
    heard = b""
    try:
        with socket.create_connection((HOST, port), timeout=PROBE_TIMEOUT_S) as connection:
            connection.sendall(say)
            while hear not in heard and len(heard) < ANSWER_MAX:
                piece = connection.recv(ANSWER_MAX)
                if not piece:
                    break
                heard += piece
    except OSError as error:
        raise NotReady(f"port {port}: {str(error) or type(error).__name__}") from error
    if hear not in heard:
        raise NotReady(f"port {port} said {heard[:100]!r} instead of {hear!r}")
