"""Output for people never stops trading: full disks under logs and under the supervisor, and terminals that are not read."""

import os
import select
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

import httpx
import psutil

from apps.stack.directory import MARK
from tests.faults.scene import fill
from tests.stack import LiveStack

LINES: Final = 3000
"""Of 200 characters and more: much more than a pipe of 64 KB holds."""

PATIENCE_S: Final = 120.0


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def back(stack: LiveStack, name: str, old: int) -> None:
    """Another process than `old` runs."""
    until(lambda: stack.pid(name) != old, f"{name} did not come back")


def log_much(risk: httpx.Client) -> None:
    """A line in risk's log for each request."""
    for number in range(LINES):
        answer = risk.post("/risk/repeats/absent/enable", json={"reason": f"{number} " + "x" * 180})
        assert answer.status_code == 200, answer.text


def trades(stack: LiveStack) -> None:
    with stack.client() as oms:
        order = {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "45000", "type": "limit"}
        answer = oms.post("/orders", json=order, timeout=30)
        assert (answer.status_code, answer.json().get("status")) == (200, "submitted"), answer.text


def test_a_full_disk_under_the_outputs_stops_no_service_and_is_counted(tmp_path: Path) -> None:
    # FAILURES 48
    stack = LiveStack(tmp_path / "data", "--fills", "sqlite").start()
    try:
        for name in ("unit", "nats", "valkey"):
            file = stack.data_dir / "logs" / f"{name}.out"
            file.unlink()
            file.symlink_to("/dev/full")
            old = stack.pid(name)
            stack.kill(name)  # its next start opens the file
            back(stack, name, old)
        stack.await_ready(PATIENCE_S)
        with stack.client("risk") as risk:
            log_much(risk)
        trades(stack)
        until(lambda: stack.state("unit").lines_dropped >= LINES, "what is missing was not counted")
        assert "log lines dropped" in stack.trade("status").stdout
        assert "unit.out cannot be written: No space left on device" in stack.output.read_text()
        assert (stack.data_dir / "logs" / "risk.out").readlink() == Path("unit.out"), "who looks for risk's finds it"
        assert all(stack.state(name).starts == 2 for name in ("unit", "nats", "valkey"))
    finally:
        stack.close()


def test_a_terminal_that_is_not_read_stops_nothing(tmp_path: Path) -> None:
    stack = LiveStack(tmp_path / "data", "--fills", "sqlite")
    read, write = os.pipe()
    stack.start(output=write)
    os.close(write)
    try:
        with stack.client("risk") as risk:
            log_much(risk)
        trades(stack)
        assert not select.select((), (read,), (), 0)[1]
        old = stack.pid("unit")
        stack.kill("unit")
        until(lambda: stack.pid("unit") != old, "the supervisor waits for its terminal")
        stack.await_ready(PATIENCE_S)
        assert stack.stop() == 0, "and it ends when asked to"
    finally:
        os.close(read)
        stack.close()


def test_a_full_data_disk_and_deaths_do_not_end_the_supervisor(small_disk: Path, tmp_path: Path) -> None:
    # the journal lies on another disk: what a full one does to it is looked at elsewhere
    stack = LiveStack(small_disk / "data", "--fills", "sqlite")
    stack.output = tmp_path / "up.out"
    stack.data_dir.mkdir()
    (stack.data_dir / MARK).touch()
    (tmp_path / "nats").mkdir()
    (stack.data_dir / "nats").symlink_to(tmp_path / "nats")
    stack.start()
    try:
        up = psutil.Process(stack.up_pid)
        running = {name: stack.pid(name) for name in ("unit", "valkey", "projector")}
        ballast = small_disk / "ballast"
        fill(ballast)
        for pid in running.values():
            os.kill(pid, signal.SIGKILL)
        until(lambda: {"apps.unit", "apps.projector"} <= modules(up, not_in=running.values()), "they were not started again")
        assert "stack.json" in stack.output.read_text()
        ballast.unlink()
        until(lambda: all(stack.pid(name) != pid for name, pid in running.items()), "what runs was not written down when there was room")
        stack.await_ready(PATIENCE_S)
        trades(stack)
        assert up.is_running()
        assert stack.stop() == 0
    finally:
        stack.close()


def modules(up: psutil.Process, not_in: Collection[int]) -> set[str]:
    """Which `python -m MODULE` run under it, without those of these process ids."""
    found = set()
    for child in up.children():
        try:
            command = child.cmdline()
        except psutil.Error:
            continue
        if child.pid not in not_in and "-m" in command:
            found.add(command[command.index("-m") + 1])
    return found
