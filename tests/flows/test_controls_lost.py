"""The whole stack: the store of the controls is lost between two starts; a message of nats-server is in each journal of a running one."""

import asyncio
import contextlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.runtime.exit_codes import Exit
from apps.stack.credentials.nats import ACCESS, CONTROLS, ORDERS, VENUES
from tests.faults.scene import connected
from tests.faults.test_foreign import ANSWER
from tests.stack import LiveStack

KILLED = "stopped"
READY_S = 150.0
JOURNALS = {
    "oms.journal.0": (),
    "risk.control.all": ("--controls",),
    "access.control": ("--access",),
    "venue.journal.PAPER_A": ("--venue", "PAPER_A"),
}

STREAMS = dict(zip(JOURNALS, (ORDERS, CONTROLS, ACCESS, VENUES), strict=True))


def order(stack: LiveStack, account: str, name: str) -> dict[str, Any]:
    body = {"account": account, "client_order_id": name, "symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "45000"}
    with stack.client() as http:
        answer: dict[str, Any] = http.post("/orders", json=body).json()
    return answer


def killed(stack: LiveStack) -> None:
    done = stack.trade("kill", f"account:{KILLED}", "--reason", "drill")
    assert done.returncode == Exit.DONE, done.stderr
    assert order(stack, KILLED, "before")["reason"] == "killed"


@pytest.mark.timeout(600)
def test_a_lost_journal_of_controls_lets_nothing_pass(tmp_path: Path) -> None:
    stack = LiveStack(tmp_path / "data", "--fills", "sqlite").start()
    try:
        killed(stack)
        stack.stop()
        for store in stack.data_dir.glob("nats/jetstream/**/RISK_CONTROL"):
            shutil.rmtree(store)
        with pytest.raises(AssertionError, match="trade up ended with 1"):
            stack.start()
        assert "the stream RISK_CONTROL is missing, but risk.control.all had been acknowledged up to sequence 2" in stack.said()

        servers = LiveStack(stack.data_dir, "--fills", "sqlite", "--only-servers").start()
        try:
            shown = servers.trade("journal", "show")
            assert shown.returncode == Exit.REFUSED
            assert "risk.control.all: the stream RISK_CONTROL is missing" in shown.stderr, shown.stderr
            report = json.loads(servers.trade("verify", "--json").stdout)
            found = {check["name"]: check.get("found") for check in report["checks"] if check["outcome"] == "different"}
            assert found["controls"] == "the stream RISK_CONTROL is missing, but risk had sequence 2", report
            accepted = servers.trade("journal", "accept", "--controls", "--reason", "the disk was lost")
            assert accepted.returncode == Exit.DONE, accepted.stderr
        finally:
            servers.close()

        stack.start()
        assert order(stack, KILLED, "after")["reason"] == "killed"
        verified(stack)
    finally:
        stack.close()


@pytest.mark.timeout(600)
def test_a_lost_journal_of_access_admits_no_key_until_it_is_accepted_and_then_only_the_command_lines(tmp_path: Path) -> None:
    stack = LiveStack(tmp_path / "data", "--fills", "sqlite", "--access", "keys").start()
    try:
        key = stack.trade("key", "create", "--account", "main", "--scopes", "read").stdout.strip()
        assert whoami(stack, key) == 200
        stack.stop()
        for store in stack.data_dir.glob("nats/jetstream/**/ACCESS"):
            shutil.rmtree(store)
        with pytest.raises(AssertionError, match="trade up ended with 1"):
            stack.start()
        assert "the stream ACCESS is missing, but access.control had been acknowledged up to sequence 3" in stack.said()

        servers = LiveStack(stack.data_dir, "--fills", "sqlite", "--only-servers").start()
        try:
            accepted = servers.trade("journal", "accept", "--access", "--reason", "the disk was lost")
            assert accepted.returncode == Exit.DONE, accepted.stderr
        finally:
            servers.close()

        stack.start()
        assert whoami(stack, key) == 401
        assert stack.trade("key", "list").returncode == Exit.DONE, "the command line has its key"
    finally:
        stack.close()


def whoami(stack: LiveStack, key: str) -> int:
    with stack.client() as http:
        return http.get("/access/me", headers={"authorization": f"Bearer {key}"}).status_code


@pytest.mark.timeout(600)
def test_a_stack_comes_back_behind_a_foreign_message_in_each_journal(tmp_path: Path) -> None:
    stack = LiveStack(tmp_path / "data", "--fills", "sqlite").start()
    try:
        killed(stack)
        kept = order(stack, "main", "kept")
        asyncio.run(put_everywhere(stack))
        shown = stack.trade("journal", "show")
        assert shown.returncode == Exit.REFUSED
        shown_lines = {line.split()[0]: line.split() for line in shown.stdout.splitlines() if line.strip()}
        assert {name: shown_lines[name][3] for name in JOURNALS} == dict.fromkeys(JOURNALS, "foreign"), shown.stdout
        for name, which in JOURNALS.items():
            end = int(next(line for line in shown.stderr.splitlines() if line.startswith(name)).split("sequence ")[1].split()[0])
            done = stack.trade("journal", "skip", str(end), *which, "--reason", "a guest's question")
            assert done.returncode == Exit.DONE, done.stderr
        deadline = time.monotonic() + READY_S
        while stack.trade("journal", "show").returncode or not all_ready(stack):
            assert time.monotonic() < deadline, stack.said()
            time.sleep(0.5)
        assert order(stack, "main", "kept") == kept | {"replayed": True}
        assert order(stack, KILLED, "later")["reason"] == "killed"
        lines = verified(stack).splitlines()
        assert sum("skipped 1 (sequence" in line for line in lines) == 3, lines
    finally:
        stack.close()


def verified(stack: LiveStack) -> str:
    """What `trade verify` prints once nothing differs: the order store and the projections may need a moment after a start."""
    deadline = time.monotonic() + READY_S
    while (done := stack.trade("verify")).returncode:
        assert time.monotonic() < deadline, done.stdout + done.stderr
        time.sleep(0.5)
    return done.stdout


def all_ready(stack: LiveStack) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return all(httpx.get(f"{stack.url(name)}/ready", timeout=5).status_code == 200 for name in ("oms", "risk", "exeq", "live-gateway"))
    return False


async def put_everywhere(stack: LiveStack) -> None:
    """As the journals' own writers: no other user may."""
    for subject, stream in STREAMS.items():
        async with connected(stack.writer_url(stream)) as client:
            await client.request(subject, ANSWER, timeout=20)
