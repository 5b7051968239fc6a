"""A whole stack that keeps snapshots every moment: stopped, killed, its snapshots spoilt, it continues as if it had read all."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from typing import Any, Final

import httpx
import pytest
import yaml

from adapters.snapshots import NEWEST
from config.loading import BACKEND
from tests.flows.audit import audit
from tests.flows.traffic import Traffic
from tests.stack import PATIENT, LiveStack

ORDERS: Final = 300
A_SECOND: Final = 150.0
KEEPERS: Final = ("risk", "exeq")


@pytest.fixture(scope="module")
def eager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """One stack with SQLite fills, whose risk and exeq keep a snapshot as often as they can."""
    home = tmp_path_factory.mktemp("eager")
    copytree(PATIENT, home / "config")
    for name in KEEPERS:
        settings = yaml.safe_load((BACKEND / name / "config.yaml").read_text())
        settings["following"]["snapshot_every_commits"] = 1
        file = home / "config" / name / "config.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump(settings))
    started = LiveStack(home / "data", "--fills", "sqlite", "--config-dir", str(home / "config")).start()
    yield started
    started.close()


def stats(stack: LiveStack, name: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{stack.url(name)}/stats").json()
    return found


def told(stack: LiveStack, name: str) -> dict[str, Any]:
    found: dict[str, Any] = stats(stack, name)["snapshots"]
    return found


def at_stake(stack: LiveStack, traffic: Traffic) -> list[dict[str, Any]]:
    """What risk says that the accounts hold, but for what moves with the market."""
    answers = [httpx.get(f"{stack.url('risk')}/risk/portfolio", params={"account": account}).json() for account in traffic.accounts]
    names = ("quantity", "open_buy_quantity", "open_sell_quantity", "open_sell_notional")
    return [{name: answer["symbols"]["BTCUSDT"][name] for name in names} for answer in answers]


def warnings(stack: LiveStack, name: str) -> list[str]:
    lines = map(json.loads, (stack.data_dir / "logs" / f"{name}.jsonl").read_text().splitlines())
    return [line["event"] for line in lines if line["level"] == "warning" and "snapshot" in line["event"]]


async def test_killed_while_they_keep_snapshots_they_begin_from_one(eager: LiveStack) -> None:
    # FAILURES 2, 6, 50
    traffic = Traffic(eager, "kept")
    await traffic.seed()
    flowing = asyncio.create_task(traffic.flow(ORDERS, A_SECOND))
    await traffic.moving()
    for name in KEEPERS:
        while told(eager, name)["taken"] <= 3:
            await asyncio.sleep(0.02)
    for pid in {eager.pid(name) for name in KEEPERS}:  # one process in a unit
        os.kill(pid, signal.SIGKILL)
    await flowing
    await asyncio.to_thread(eager.await_ready)
    for name in KEEPERS:
        assert told(eager, name)["restored_from"] > 0
        assert warnings(eager, name) == []
    await audit(eager, traffic)


async def test_a_clean_stop_leaves_no_tail_and_a_spoilt_snapshot_no_trace(eager: LiveStack) -> None:
    # FAILURES 51, 73
    traffic = Traffic(eager, "again")
    await traffic.seed()
    await traffic.flow(ORDERS // 3, A_SECOND)
    await audit(eager, traffic)
    seq = stats(eager, "oms")["seq"]
    before = at_stake(eager, traffic)
    await asyncio.to_thread(eager.restart)
    await asyncio.to_thread(eager.await_ready)
    for name in KEEPERS:
        assert told(eager, name)["restored_from"] == seq, name
    assert at_stake(eager, traffic) == before

    await asyncio.to_thread(eager.stop)
    for name in KEEPERS:
        for file in (eager.data_dir / "snapshots" / name).iterdir():
            file.write_bytes(file.read_bytes()[:-1] + b"?")
        assert Path(eager.data_dir / "snapshots" / name / NEWEST).exists()
    await asyncio.to_thread(eager.start)
    await asyncio.to_thread(eager.await_ready)
    for name in KEEPERS:
        assert told(eager, name)["restored_from"] == 0
        assert warnings(eager, name) == ["a snapshot is ignored"] * 2
    assert at_stake(eager, traffic) == before
    await traffic.flow(30, A_SECOND)
    await audit(eager, traffic)
