"""The file that describes the running stack of a data directory, for `trade status`, the next start and tests."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
import psutil

from config.access_mode import OPEN

FILE = "stack.json"
STALE_GONE_S = 5.0

State = Literal["starting", "ready", "waiting", "stopped"]
"""`waiting` is the back-off between a death and the next start."""


class ProcessState(msgspec.Struct):
    """One server or service of the stack. `starts` counts every start, so starts - 1 is how often it died."""

    name: str
    kind: Literal["server", "service"]
    ports: dict[str, int]
    log: str
    state: State = "stopped"
    pid: int = 0
    created_at: float = 0.0
    starts: int = 0
    last_ending: str = ""
    services: list[str] = []
    """The services in this process: several in a unit, none in a server."""
    within: str = ""
    """Of a service of a unit: the name of its process, which all other fields describe."""
    lines_dropped: int = 0
    """Lines of its output that are missing in `log` for lack of room, over all its starts."""

    def is_alive(self) -> bool:
        """Return whether this very process runs, and not a later one with the same pid."""
        return _created_at(self.pid) == self.created_at != 0.0

    def began(self, pid: int) -> None:
        self.pid, self.created_at, self.state = pid, _created_at(pid), "starting"
        self.starts += 1


class Stack(msgspec.Struct):
    """The running stack: its supervisor, addresses and processes."""

    pid: int
    started_at: float
    data_dir: str
    port_offset: int
    fills: str
    urls: dict[str, str]
    processes: list[ProcessState]
    access: str = OPEN
    """The mode of access. Files of a release without it are of stacks that asked for no key."""

    def find(self, name: str) -> ProcessState | None:
        """Return a process, or a service of a unit, by its name."""
        return next((process for process in self.processes if process.name == name), None)


def write(data_dir: Path, stack: Stack) -> None:
    """Write the file atomically, so that a reader never sees a part. The services of a unit are listed beside it, one by one."""
    processes = [each for process in stack.processes for each in (process, *_parts(process))]
    fresh = data_dir / f"{FILE}.new"
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(stack, processes=processes)), indent=2))
    fresh.replace(data_dir / FILE)


def _parts(process: ProcessState) -> Iterator[ProcessState]:
    for name in process.services if len(process.services) > 1 else ():
        ports = {"http": process.ports[name], "metrics": process.ports[f"{name} metrics"]}
        yield msgspec.structs.replace(process, name=name, ports=ports, services=[name], within=process.name)


def read(data_dir: Path) -> Stack | None:
    """Return the last written stack; None if the file is missing, unreadable, or of a version that this one cannot decode."""
    try:
        return msgspec.json.decode((data_dir / FILE).read_bytes(), type=Stack)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        return None


def forget(data_dir: Path) -> None:
    (data_dir / FILE).unlink(missing_ok=True)


def end_stale(data_dir: Path) -> list[str]:
    """End processes that a killed supervisor left behind, and return their names. Call it only while holding the directory's lock."""
    stack = read(data_dir)
    stale = [each for each in stack.processes if each.is_alive() and not each.within] if stack else []
    for each in stale:
        _signal_group(each.pid, signal.SIGTERM)
    _wait_gone(stale)
    for each in stale:
        _signal_group(each.pid, signal.SIGKILL)
    forget(data_dir)
    return [f"{each.name} (pid {each.pid})" for each in stale]


def _wait_gone(stale: Iterable[ProcessState]) -> None:
    deadline = time.monotonic() + STALE_GONE_S
    while any(each.is_alive() for each in stale) and time.monotonic() < deadline:
        time.sleep(0.05)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _created_at(pid: int) -> float:
    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except (psutil.Error, ValueError):
        return 0.0
