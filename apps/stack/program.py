"""A program to run: a command line, its environment, and a probe that only a working program answers."""

import http.client
import os
import pwd
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from apps.stack.ports import HOST
from apps.stack.trouble import NotReady

PROBE_TIMEOUT_S = 5.0
SILENCE_MAX_S = 60.0
"""A program that neither answers nor shows progress for this long is given up."""

URGENT_NICENESS = -10
PROJECTION_NICENESS = 5
SINK_NICENESS = 10
ANSWER_MAX = 4_096


@dataclass(frozen=True)
class Program:
    """One server or service. `probe` blocks at most PROBE_TIMEOUT_S, returns if the program answers, else raises NotReady.

    `niceness` orders programs when the processor is short: one that only projects the journal yields to those that an order waits for.
    A program that a risk check waits for goes first (negative), where the system permits it: as root, or with RLIMIT_NICE.
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
    """The services that run in this program."""
    user: int | None = None
    """The id of the user that it runs as, in that user's own group alone; None for the user of this process. Needs root."""

    def identity(self) -> dict[str, Any]:
        """Return the arguments of subprocess.Popen that make the child run as `user`."""
        return {} if self.user is None else {"user": self.user, "group": pwd.getpwuid(self.user).pw_gid, "extra_groups": ()}

    def full_environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment}


def http_answers(port: int, path: str) -> bytes:
    """Return the body of a 200 response; NotReady for anything else. Proxies are not used: the program is on this machine."""
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
    """Connect, send `say`, and read until `hear` is received; NotReady if it is not."""
    received = b""
    try:
        with socket.create_connection((HOST, port), timeout=PROBE_TIMEOUT_S) as connection:
            connection.sendall(say)
            while hear not in received and len(received) < ANSWER_MAX:
                piece = connection.recv(ANSWER_MAX)
                if not piece:
                    break
                received += piece
    except OSError as error:
        raise NotReady(f"port {port}: {str(error) or type(error).__name__}") from error
    if hear not in received:
        raise NotReady(f"port {port} sent {received[:100]!r} instead of {hear!r}")
