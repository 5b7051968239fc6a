"""A stack is archived while it trades, destroyed, and comes back from its archive alone: orders, positions, keys and the kill switch."""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from adapters import bus, subjects
from adapters.journalcopy import STREAMS, size_of
from apps.connections.journals import order_journal
from apps.runtime.exit_codes import Exit
from apps.stack.credentials.users import SINK_ALT
from apps.stack.ports import HOST
from apps.stack.program import Program, http_answers
from apps.stack.services import CHECKOUT, SECRETS
from apps.stack.stack import read as running_stack
from apps.tools.verify.fold import JournalFold
from config.loading import BACKEND
from domain.audit.state_hash import orders_state, positions_state, state_hash
from tests.flows.test_backup import body, everything
from tests.live import LiveProcess
from tests.ports import free_ports
from tests.stack import HANGS_S, LiveStack

ORDERS = 12
LINES: Final = {"archive", "events", "journal", "orders", "controls", "access"}


class Sink:
    """sink-alt beside a stack, as its own user of NATS: a process with the stack's servers and passwords."""

    def __init__(self, stack: LiveStack, home: Path, archive: str) -> None:
        port, metrics_port = free_ports(2)
        found = running_stack(stack.data_dir)
        assert found is not None
        home.mkdir()
        environment = {
            "PYTHONUNBUFFERED": "1",
            "TRADE_HOST": HOST,
            "TRADE_PORT": str(port),
            "TRADE_METRICS_PORT": str(metrics_port),
            "TRADE_CONFIG": str(BACKEND / SINK_ALT / "config.yaml"),
            "TRADE_DATA_DIR": str(home),
            "TRADE_SECRETS_DIR": str(stack.data_dir / SECRETS),
            "TRADE_NATS_URL": found.urls["nats"],
            "TRADE_ARCHIVE_URL": archive,
        }
        command = (sys.executable, "-m", "apps.sink")

        def probe() -> None:
            http_answers(port, "/ready")

        ports = {"http": port, "metrics": metrics_port}
        self.process = LiveProcess(
            Program(name=SINK_ALT, kind="service", command=command, probe=probe, ports=ports, environment=environment, cwd=CHECKOUT), home
        )
        self.url = f"http://{HOST}:{port}"

    def has_all_of(self, stack: LiveStack) -> None:
        """Until the archive has what every stream has now."""
        ends = asyncio.run(_ends(stack))
        deadline = time.monotonic() + HANGS_S
        while (behind := {stream: last for stream, last in ends.items() if last > self._reached(stream)}) and time.monotonic() < deadline:
            assert self.process.ended is None, self.process.said()
            time.sleep(0.05)
        assert not behind, f"{behind}: {self.process.said()}"

    def _reached(self, stream: str) -> int:
        sinks = httpx.get(f"{self.url}/stats").json()["sinks"]
        return int(sinks[f"archive.{stream}"]["checkpoint"]["points"].get(stream, {}).get("0", 0))


async def _ends(stack: LiveStack) -> dict[str, int]:
    client = await bus.connect(stack.url("nats"), "test", closed=lambda: None, timeout_s=5.0)
    try:
        sizes = {stream: await size_of(client, stream) for stream in STREAMS}
        return {stream: size.messages for stream, size in sizes.items() if size is not None}
    finally:
        await client.close()


def hash_of(stack: LiveStack) -> tuple[str, str]:
    """The state that the order journal leads to: the hashes of orders and of positions."""
    return asyncio.run(_hash_of(stack))


async def _hash_of(stack: LiveStack) -> tuple[str, str]:
    client = await bus.connect(stack.url("nats"), "test", closed=lambda: None, timeout_s=5.0)
    fold = JournalFold(await order_journal(client), None, lambda _: None)
    try:
        await fold.catch_up()
        orders = [line.order for _, line in fold.lines.items_in_order()]
        return state_hash(orders_state(orders)), state_hash(positions_state(fold.audit.book.positions.values()))
    finally:
        fold.close()
        await client.close()


def trade(stack: LiveStack) -> None:
    with stack.client() as oms:
        last = max(oms.post("/orders", json=body(number)).json()["seq"] for number in range(ORDERS))
        assert oms.get("/positions/main", params={"min_seq": last + 2}).status_code in (200, 503)


def killed(stack: LiveStack) -> list[Any]:
    with stack.client("risk") as risk:
        found: list[Any] = risk.get("/risk/controls").json()["killed"]
        return found


def done(said: "subprocess.CompletedProcess[str]") -> str:
    assert said.returncode == Exit.DONE, said.stdout + said.stderr
    return said.stdout


@pytest.mark.timeout(900)
def test_a_destroyed_stack_comes_back_from_its_archive_alone(tmp_path: Path) -> None:
    # given a stack that is archived while it trades, with a kill switch and a key
    url = f"file://{tmp_path / 'archive'}"
    stack = LiveStack(tmp_path / "data", "--fills", "sqlite").start()
    try:
        sink = Sink(stack, tmp_path / "sink", url)
        sink.process.start()
        trade(stack)
        done(stack.trade("kill", "account:other", "--reason", "for the archive"))
        key_id = done(stack.trade("key", "create", "--account", "main", "--scopes", "read")).partition(".")[0]
        orders, state, kills = everything(stack), hash_of(stack), killed(stack)
        sink.has_all_of(stack)
        sink.process.kill()
        stack.stop()
        # when everything but the archive is gone
        shutil.rmtree(stack.data_dir)
        report = json.loads(done(stack.trade("verify", "--archive", url, "--json")))
        assert (report["ok"], report["complete"], {check["name"] for check in report["checks"]}) == (True, True, LINES)
        empty = LiveStack(stack.data_dir, "--fills", "sqlite", "--only-servers").start()
        try:
            done(empty.trade("restore", "--from-archive", url, "--keep-keys"))
            again = empty.trade("restore", "--from-archive", url)
            assert (again.returncode, again.stdout) == (Exit.REFUSED, "")
            assert f"Nothing was written: the stream {subjects.ORDER_STREAM} holds" in again.stderr
        finally:
            empty.close()
        # then the stack is what it was, and the archive continues from it
        stack.start()
        assert hash_of(stack) == state
        assert (everything(stack), killed(stack)) == (orders, kills)
        assert key_id in done(stack.trade("key", "list"))
        done(stack.trade("verify"))
        sink = Sink(stack, tmp_path / "sink again", url)
        sink.process.start()
        sink.has_all_of(stack)
        sink.process.kill()
        done(stack.trade("verify", "--archive", url))
    finally:
        stack.close()
