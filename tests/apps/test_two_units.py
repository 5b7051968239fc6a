"""Two units share four shards on one nats-server. When one is killed, stopped or suspended, the other takes its shards."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from adapters import bus
from adapters.chain import GENESIS
from adapters.codec import ORDER_COMMITS
from apps.connections import journals
from domain.audit.owner_audit import OwnerAudit
from domain.order.events import OrderSubmitted
from domain.shards import Shards
from tests.children import started
from tests.live import LiveServer, frozen
from tests.ports import free_ports

ROOT: Final = Path(__file__).parents[2]
SERVICES: Final = ("oms", "risk", "exeq")
SHARDS: Final = 4
DEADLINE_S: Final = 120
POLL_S: Final = 0.05
ACCOUNTS: Final = tuple(
    next(name for number in range(1000) if Shards(SHARDS).of(name := f"units-{number}") == shard) for shard in range(SHARDS)
)
"""One account of each shard."""


class UnitProcess:
    """`python -m apps.unit` with a name, on ports of its own."""

    def __init__(self, name: str, home: Path, nats: LiveServer) -> None:
        self.name = name
        ports = free_ports(6)
        self.port = ports[0]
        doors = {f"TRADE_{service.upper()}_PORT": str(port) for service, port in zip(SERVICES, ports, strict=False)}
        doors |= {f"TRADE_{service.upper()}_METRICS_PORT": str(port) for service, port in zip(SERVICES, ports[3:], strict=True)}
        directory = home / name
        directory.mkdir()
        common = {"TRADE_HOST": "127.0.0.1", "TRADE_FILLS": "sqlite", "TRADE_DATA_DIR": str(directory)}
        servers = {"TRADE_NATS_URL": nats.url, "TRADE_NATS_MONITOR_URL": nats.monitor_url, "TRADE_VALKEY_URL": "redis://127.0.0.1:1"}
        own = {"TRADE_UNIT_NAME": name, "TRADE_SHARDS": str(SHARDS), "TRADE_RISK_CONFIG": str(_risk(home))}
        self._environment = {**os.environ, **common, **servers, **own, **doors}
        self.output = home / f"{name}.out"
        with self.output.open("wb") as file:
            self.process: subprocess.Popen[bytes] = started(
                (sys.executable, "-m", "apps.unit"), cwd=ROOT, env=self._environment, stdout=file, stderr=file
            )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=DEADLINE_S)

    def states(self) -> dict[int, str]:
        """What the unit is to each shard; empty while it does not answer."""
        try:
            found: list[dict[str, Any]] = self.client.get("/stats").json().get("leases", [])
        except httpx.TransportError:
            assert self.process.poll() is None, self.said()
            return {}
        return {each["shard"]: each["state"] for each in found}

    def owned(self) -> set[int]:
        return {shard for shard, state in self.states().items() if state == "owned"}

    def submit(self, shard: int, number: int) -> httpx.Response:
        body = {"account": ACCOUNTS[shard], "client_order_id": f"c-{number}", "symbol": "BTCUSDT", "side": "buy", "quantity": 0.01}
        return self.client.post("/orders", json={**body, "price": 50000})

    def said(self) -> str:
        return self.output.read_text(errors="replace")[-6000:]

    def end(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def _risk(home: Path) -> Path:
    file = home / "risk.yaml"
    file.write_text("risk_checks: {enabled: []}\n")
    return file


Start = Callable[[str], UnitProcess]


@pytest.fixture
def start(tmp_path: Path, fresh_nats: LiveServer) -> Iterator[Start]:
    running: list[UnitProcess] = []

    def unit(name: str) -> UnitProcess:
        running.append(UnitProcess(name, tmp_path, fresh_nats))
        return running[-1]

    yield unit
    for each in running:
        each.end()


def until(true: Callable[[], object], *units: UnitProcess) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, "\n".join(each.said() for each in units)
        time.sleep(POLL_S)


def accepted(unit: UnitProcess, shard: int, number: int) -> str:
    """Submit until the order is accepted; its id."""
    found: list[httpx.Response] = []

    def asked() -> bool:
        found.append(unit.submit(shard, number))
        if found[-1].status_code in (200, 201, 202):
            return True
        assert found[-1].status_code == 503, found[-1].text
        return False

    until(asked, unit)
    return str(found[-1].json()["order_id"])


def test_the_shards_of_a_unit_that_is_killed_suspended_or_stopped_are_taken_by_the_other(start: Start, fresh_nats: LiveServer) -> None:
    one, two = start("unit-a"), start("unit-b")
    until(lambda: len(one.owned()) + len(two.owned()) == SHARDS, one, two)
    assert not one.owned() & two.owned()
    until(lambda: all(each.client.get("/ready").status_code == 200 for each in (one, two)), one, two)
    owners = {shard: one if shard in one.owned() else two for shard in range(SHARDS)}
    made = {accepted(owner, shard, 0): shard for shard, owner in owners.items()}
    for order, shard in made.items():
        _refuses_what_is_not_its_own(two if owners[shard] is one else one, owners[shard], shard, order)

    dead, heir = (one, two) if one.owned() else (two, one)
    lost = dead.owned()
    dead.process.send_signal(signal.SIGKILL)
    began = time.monotonic()
    for shard in lost:
        made[accepted(heir, shard, 1)] = shard
        print(f"shard {shard} accepts again {time.monotonic() - began:.2f} s after kill -9")
    until(lambda: len(heir.owned()) == SHARDS, heir)
    for order, shard in list(made.items())[:SHARDS]:
        again = heir.submit(shard, 0)
        assert (again.status_code, again.json()["order_id"]) == (200, order), again.text

    fresh = start("unit-c")
    until(lambda: len(fresh.states()) == SHARDS, fresh, heir)
    frozen(heir.process.pid)
    began = time.monotonic()
    for shard in range(SHARDS):
        made[accepted(fresh, shard, 2)] = shard
    print(f"all shards accept again {time.monotonic() - began:.2f} s after SIGSTOP")
    heir.process.send_signal(signal.SIGCONT)
    until(lambda: set(heir.states().values()) == {"following"}, heir, fresh)
    assert heir.submit(0, 3).status_code == 503
    until(lambda: heir.client.get("/ready").status_code == 200, heir)

    fresh.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    for shard in range(SHARDS):
        made[accepted(heir, shard, 4)] = shard
    print(f"all shards accept again {time.monotonic() - began:.2f} s after SIGTERM")
    assert fresh.process.wait(DEADLINE_S) == 0, fresh.said()
    asyncio.run(_one_owner_and_every_order_once(fresh_nats.url, made))


def _refuses_what_is_not_its_own(unit: UnitProcess, owner: UnitProcess, shard: int, order: str) -> None:
    """A door passes nothing on, and a standby answers nothing from its memory."""
    refused, read, listed = unit.submit(shard, 9), unit.client.get(f"/orders/{order}"), unit.client.get("/orders")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert {name: refused.json()[name] for name in ("code", "shard", "outcome", "owner")} == {
        "code": "shard_unavailable",
        "shard": shard,
        "outcome": "not_accepted",
        "owner": owner.name,
    }
    assert [(each.status_code, each.json()["code"]) for each in (read, listed)] == [(503, "shard_unavailable")] * 2


async def _one_owner_and_every_order_once(url: str, made: dict[str, int]) -> None:
    """Each journal was written by one owner at a time, and has each answered order once."""
    client = await bus.connect(url, "test", closed=lambda: None)
    try:
        for shard, journal in enumerate(await journals.order_journals(client)):
            audit, submitted = OwnerAudit(), Counter[str]()
            last = (await journal.head()).seq
            async with contextlib.aclosing(journal.follow(GENESIS, until=last)) as batches:
                async for batch in batches:
                    for entry in batch:
                        events = ORDER_COMMITS.read(entry).events
                        assert not list(audit.take(entry.head.n, events)), entry
                        submitted.update(event.order_id for event in events if isinstance(event, OrderSubmitted))
            assert submitted == Counter(order for order, its in made.items() if its == shard)
    finally:
        await client.close()
