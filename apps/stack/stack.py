"""What runs from a data directory, written where `trade status`, the next start and tests can read it."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
import psutil

FILE = "stack.json"
STALE_GONE_S = 5.0

State = Literal["starting", "ready", "waiting", "stopped"]
"""`waiting` is the back-off between a death and the next start."""


class ProcessState(msgspec.Struct):
    """One server or service of the stack. `starts` counts them all, so starts - 1 is how often it died."""

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
    """Those that run in it: several in a unit, none in a server."""
    within: str = ""
    """Of a service of a unit: the name of the process in which it runs. What is said here is said of that process."""
    lines_dropped: int = 0
    """Of its output, in all its starts: there was no room for them in `log`."""

    def is_alive(self) -> bool:
        """The very process, not another one that got its number later."""
        return _created_at(self.pid) == self.created_at != 0.0

    def began(self, pid: int) -> None:
        self.pid, self.created_at, self.state = pid, _created_at(pid), "starting"
        self.starts += 1


class Stack(msgspec.Struct):
    """The whole of it: the supervisor, its addresses, its processes."""

    pid: int
    started_at: float
    data_dir: str
    port_offset: int
    fills: str
    urls: dict[str, str]
    processes: list[ProcessState]

    def find(self, name: str) -> ProcessState | None:
        """A process, or a service of a unit, by its name."""
        return next((process for process in self.processes if process.name == name), None)


def write(data_dir: Path, stack: Stack) -> None:
    """Atomically: a reader sees the stack before or after, never a half. The services of a unit are named beside it, each by itself."""
    processes = [each for process in stack.processes for each in (process, *_parts(process))]
    fresh = data_dir / f"{FILE}.new"
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(stack, processes=processes)), indent=2))
    fresh.replace(data_dir / FILE)


def _parts(process: ProcessState) -> Iterator[ProcessState]:
    for name in process.services if len(process.services) > 1 else ():
        ports = {"http": process.ports[name], "metrics": process.ports[f"{name} metrics"]}
        yield msgspec.structs.replace(process, name=name, ports=ports, services=[name], within=process.name)


def read(data_dir: Path) -> Stack | None:
    """What was written last; None when nothing was, or nothing that can be read or that this version understands."""
    try:
        return msgspec.json.decode((data_dir / FILE).read_bytes(), type=Stack)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        return None


def forget(data_dir: Path) -> None:
    (data_dir / FILE).unlink(missing_ok=True)


def end_stale(data_dir: Path) -> list[str]:
    """Kill what a supervisor that died by kill -9 left behind, and say whom. Only call it while holding the directory's lock."""
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
