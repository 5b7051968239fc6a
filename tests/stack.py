"""A whole stack for tests: `trade up` as a process on ports of its own, as a person would start it."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from apps.cli import addresses
from apps.stack import stack
from apps.stack.ports import METRICS_OFFSET
from apps.stack.services import SECRETS
from apps.stack.topology import UNIT
from config import secrets
from tests.children import started
from tests.ports import is_free, reserved

CHECKOUT: Final = Path(__file__).resolve().parents[1]
PATIENT: Final = CHECKOUT / "tests/data/config_patient"
"""The shipped configuration, but risk and a venue that comes back may take their time: a busy test machine must not refuse orders."""
HANGS_S: Final = 300.0
"""Bounds of waits that are no promise: a machine that does twenty other things is slow, and `trade up` itself gives up what hangs."""
POLL_S: Final = 0.05
PORTS: Final = (
    *(4222, 8222, 6379, 9000, 8812, 9003, 8099, 8103, 8095, 8105, 8107, 8110, 9099, 9103, 9095, 9105, 9107, 9110),
    *(4223, 8223, 8080, 8081, 8111, 8112, 9080, 9081, 9111, 9112),  # with --market config and --with
)

_held: Final[dict[int, list[socket.socket]]] = {}


def free_offset() -> int:
    """An offset at which all ports of a stack are free, and ours until `give_back`, or the end of the run."""
    while True:
        offset = random.randrange(1000, 22_000, 25)
        if (reserved := _reserved(offset)) is None:
            continue
        _held[offset] = reserved
        if all(is_free(port + offset) for port in PORTS):
            return offset
        give_back(offset)


def give_back(offset: int) -> None:
    """Others may have its ports."""
    for reservation in _held.pop(offset, ()):
        reservation.close()


def _reserved(offset: int) -> list[socket.socket] | None:
    """Return a hold on every port at this offset; None where another run holds one of them."""
    held: list[socket.socket] = []
    for port in PORTS:
        reservation = reserved(port + offset)
        if reservation is None:
            for each in held:
                each.close()
            return None
        held.append(reservation)
    return held


def as_admin(data_dir: Path, urls: Mapping[str, str]) -> dict[str, str]:
    """The servers' addresses with the password that opens everything."""
    admin = secrets.read("admin", {secrets.VARIABLE: str(data_dir / SECRETS)})
    keys = {"nats": "nats.url", "valkey": "valkey.url", "questdb-pg": "questdb.pg_url"}
    return {name: secrets.with_user(urls[name], *admin[key]) for name, key in keys.items() if name in urls}


def as_writer_of(stream: str, data_dir: Path, urls: Mapping[str, str]) -> str:
    """NATS as the only user that may write this journal: not even the admin may."""
    admin = secrets.read("admin", {secrets.VARIABLE: str(data_dir / SECRETS)})
    return secrets.with_user(urls["nats"], *admin[f"nats.{stream}"])


class LiveStack:
    """A stack that a test may treat badly, without desk unless it is asked for.

    `http` speaks to oms; `urls` has the address of every service. `up` is the module that runs it.
    """

    def __init__(self, data_dir: Path, *arguments: str, up: str = "apps.stack", desk: bool = False) -> None:
        self.data_dir = data_dir
        self._up = up
        self.offset = free_offset()
        self.output = data_dir.with_suffix(".out")
        self.topology = UNIT
        """Of the next start."""
        self._arguments: Sequence[str] = arguments if "--config-dir" in arguments else (*arguments, "--config-dir", str(PATIENT))
        if not desk:
            self._arguments = (*self._arguments, "--no-desk")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, output: int | None = None) -> "LiveStack":
        """Run `trade up` and return when all of it is ready. What it says goes to `output`, a descriptor, if one is given."""
        command = [sys.executable, "-m", self._up, "--data-dir", str(self.data_dir), "--port-offset", str(self.offset)]
        command += ["--topology", self.topology, *self._arguments]
        with self.output.open("ab") as file:
            self._process = started(
                command,
                cwd=CHECKOUT,
                stdout=output or file,
                stderr=output or file,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            self._await_announced(self._process)
        except BaseException:
            self.close()
            raise
        return self

    def _await_announced(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + HANGS_S
        while not self._announced():
            assert process.poll() is None, f"trade up ended with {process.returncode}:\n{self.said()}"
            assert time.monotonic() < deadline, f"trade up is not ready after {HANGS_S} s:\n{self.said()}"
            time.sleep(POLL_S)

    def _announced(self) -> bool:
        """`trade up` says that all is ready, and it is not speaking of one that has died since."""
        found = stack.read(self.data_dir)
        return found is not None and all(process.state == "ready" and process.is_alive() for process in found.processes)

    def said(self) -> str:
        return self.output.read_text(errors="replace")[-4000:]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ctrl-C, or another signal; the exit code."""
        assert self._process
        self._process.send_signal(number)
        code = self._process.wait(HANGS_S)
        self._process = None
        return code

    def close(self) -> None:
        """The end of a test, however it went: nothing is left running. When `trade up` is killed, the kernel ends its children."""
        give_back(self.offset)
        if self._process is None:
            return
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self._process = None
            raise

    def restart(self) -> None:
        self.stop()
        self.start()

    @property
    def environment(self) -> dict[str, str]:
        """For `trade` commands that should speak to this stack, whatever else runs here."""
        others = {name: value for name, value in os.environ.items() if name not in addresses.VARIABLES.values()}
        return others | {addresses.DATA_DIR_VARIABLE: str(self.data_dir)}

    @property
    def urls(self) -> dict[str, str]:
        """As the admin, who may do everything: tests tamper with what no program may."""
        found = stack.read(self.data_dir)
        assert found is not None, "the stack does not run"
        return found.urls | as_admin(self.data_dir, found.urls)

    def url(self, name: str) -> str:
        return self.urls[name]

    def writer_url(self, stream: str) -> str:
        """NATS as the user that writes this journal."""
        found = stack.read(self.data_dir)
        assert found is not None, "the stack does not run"
        return as_writer_of(stream, self.data_dir, found.urls)

    def state(self, name: str) -> stack.ProcessState:
        found = stack.read(self.data_dir)
        assert found is not None, "the stack does not run"
        process = found.find(name)
        assert process is not None, f"there is no {name} in the stack"
        return process

    @property
    def up_pid(self) -> int:
        """Of `trade up` itself."""
        assert self._process
        return self._process.pid

    def metrics_url(self, name: str) -> str:
        """The other port of a service."""
        address = urlsplit(self.url(name))
        return f"http://{address.hostname}:{(address.port or 0) + METRICS_OFFSET}"

    def metrics_page(self, name: str) -> str:
        """What Prometheus reads of a service."""
        return httpx.get(f"{self.metrics_url(name)}/metrics").text

    def pid(self, name: str) -> int:
        pid = self.state(name).pid
        assert pid, f"{name} does not run"
        return pid

    def kill(self, name: str) -> None:
        """kill -9 of one process; `trade up` is expected to bring it back."""
        os.kill(self.pid(name), signal.SIGKILL)

    def revive(self, *names: str) -> None:
        """kill -9 of these processes, and wait until others are in their places and the stack is ready."""
        before = {name: self.pid(name) for name in names}
        for name in names:
            self.kill(name)
        deadline = time.monotonic() + HANGS_S
        while any(self.state(name).pid == pid for name, pid in before.items()):
            assert time.monotonic() < deadline, f"{names} are not started again"
            time.sleep(0.05)
        self.await_ready()

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """A process that is stopped meanwhile, as by a machine that hangs."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def await_ready(self, within_s: float = HANGS_S) -> None:
        """Until every process is up and every service answers /ready again."""
        deadline = time.monotonic() + within_s
        while True:
            try:
                if self._announced() and all(
                    httpx.get(f"{self.url(name)}/ready", timeout=30).status_code == 200 for name in SERVICES if name in self.urls
                ):
                    return
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, f"not ready after {within_s} s:\n{self.said()}"
            time.sleep(POLL_S)

    def client(self, name: str = "oms") -> httpx.Client:
        return httpx.Client(base_url=self.url(name), timeout=30.0)

    def trade(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A `trade` command against this stack."""
        command = [str(Path(sys.executable).parent / "trade"), *arguments]
        return subprocess.run(command, cwd=CHECKOUT, env=self.environment, capture_output=True, text=True, timeout=HANGS_S, check=False)

    def query(self, sql: str) -> list[list[Any]]:
        """Rows from QuestDB."""
        answer = httpx.get(f"{self.url('questdb')}/exec", params={"query": sql}, timeout=60).json()
        assert "dataset" in answer, json.dumps(answer)
        rows: list[list[Any]] = answer["dataset"]
        return rows


SERVICES: Final = ("oms", "risk", "exeq", "live-gateway", "projector", "desk")
