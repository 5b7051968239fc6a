"""The journal of controls is damaged, cut or gone: risk, oms and exeq each find it out alone, and nothing passes."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from adapters import subjects
from adapters.controls import CONTROL_COMMITS, CONTROL_JOURNAL, make, open_journal
from apps.runtime.chassis import FAILED
from domain.ports import Head
from domain.risk.controls import ControlEvent, ControlsAccepted, KillThrown
from tests.faults.scene import PATIENT, WITHOUT_CLOSES, connected, order, until
from tests.faults.test_old_copy import trade
from tests.live import LiveServer
from tests.process import LiveService

KILLED: Final = "account:stopped"
REASONS: Final = ("had been acknowledged", "does not verify", "cannot be read", "RISK_CONTROL", "stream is silent")
"""One of these is in the last words of a service that does not go on; which one depends on what the server makes of the damage."""


class House:
    """risk, oms and exeq with a data directory each, as in containers: none can look into another's."""

    def __init__(self, nats: LiveServer, home: Path) -> None:
        self.nats = nats
        changes: dict[str, Any] = {"risk": WITHOUT_CLOSES, "oms": PATIENT, "exeq": None}
        self.services = {name: LiveService(name, nats, home / name, changes=changes[name]) for name in changes}
        for service in self.services.values():
            service.makes_controls = False
        self.marks = [home / "risk/watermarks/risk.control.all.mark"]
        self.marks += [home / name / "watermarks" / name / "risk.control.all.mark" for name in ("oms", "exeq")]
        self.store = nats.home / "nats" / "jetstream"

    def start(self) -> None:
        for service in self.services.values():
            service.begin()
        for service in self.services.values():
            service.ready()

    def stop(self) -> None:
        for service in self.services.values():
            service.stop()

    async def kill(self, scope: str) -> int:
        """Its sequence, when each service has written down that it read it."""
        async with self.services["risk"].client(60) as http:
            answer = await http.post("/risk/kill", json={"scope": scope, "reason": "drill"})
        assert answer.status_code in (200, 202), answer.text
        seq = int(answer.json()["seq"])
        await until(lambda: all(mark.is_file() and f'"seq":{seq},' in mark.read_text() for mark in self.marks), 60)
        return seq

    async def refuses(self) -> None:
        """Each by itself, with the others down: it ends with a reason, or waits with one and is not ready."""
        for name, service in self.services.items():
            service.begin()
            await until(lambda service=service: service.ended is not None or any(r in service.said() for r in REASONS), 90)  # type: ignore[misc]
            assert not service.is_ready(), name
            assert any(reason in service.said() for reason in REASONS), f"{name}: {service.said()}"
            assert service.ended in (None, FAILED)
            service.stop()


async def events(nats: LiveServer) -> list[ControlEvent]:
    async with connected(nats.url) as client:
        journal = await open_journal(client, CONTROL_JOURNAL)
        until_seq = (await journal.head()).seq
        return [
            e for batch in [b async for b in journal.follow(Head(), until=until_seq)] for r in batch for e in CONTROL_COMMITS.read(r).events
        ]


@asynccontextmanager
async def house(nats: LiveServer, home: Path) -> AsyncIterator[House]:
    made = House(nats, home)
    try:
        yield made
    finally:
        made.stop()


def flipped(store: Path, words: bytes) -> None:
    """One bit of the commit that has these words."""
    for block in store.rglob("RISK_CONTROL/**/*.blk"):
        content = bytearray(block.read_bytes())
        if (at := content.find(words)) >= 0:
            content[at] ^= 1
            block.write_bytes(content)
            return
    raise AssertionError("nothing to damage")


def gone(house: House, copy: Path) -> None:
    for stream in house.store.rglob("RISK_CONTROL"):
        shutil.rmtree(stream)


def an_older_copy(house: House, copy: Path) -> None:
    shutil.rmtree(house.store)
    shutil.copytree(copy, house.store)


def changed_in_the_middle(house: House, copy: Path) -> None:
    flipped(house.store, b"account:second")


def changed_at_the_end(house: House, copy: Path) -> None:
    flipped(house.store, KILLED.encode())


DAMAGES: Final = (gone, an_older_copy, changed_in_the_middle, changed_at_the_end)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_a_damaged_journal_of_controls_lets_nothing_pass(
    fresh_nats: LiveServer, tmp_path: Path, damage: Callable[[House, Path], None]
) -> None:
    # FAILURES 12, 13, 40
    async with house(fresh_nats, tmp_path) as desk:
        desk.start()
        for scope in ("account:first", "account:second"):
            await desk.kill(scope)
        fresh_nats.freeze()
        shutil.copytree(desk.store, tmp_path / "copy")
        fresh_nats.thaw()
        last = await desk.kill(KILLED)
        desk.stop()
        fresh_nats.stop()
        damage(desk, tmp_path / "copy")
        fresh_nats.begin()
        await until(lambda: serves(fresh_nats))
        await desk.refuses()
        shown = trade(fresh_nats, desk.services["risk"], "journal", "show")
        assert shown.returncode == 1, shown.stdout + shown.stderr
        assert "risk.control.all" in shown.stderr, shown.stderr
        if damage in (gone, an_older_copy):
            await accepted(desk, last)


async def accepted(desk: House, last: int) -> None:
    """An operator's word: everything is killed, and all three start."""
    risk = desk.services["risk"]
    done = trade(desk.nats, risk, "journal", "accept", "--controls", "--who", "ann", "--reason", "the disk was lost")
    assert done.returncode == 0, done.stderr
    assert "everything is killed" in done.stdout
    desk.start()
    *_, found = (event for event in await events(desk.nats) if isinstance(event, ControlsAccepted))
    assert (found.who, found.reason, found.acknowledged_to, found.lost) == ("ann", "the disk was lost", last, True)
    async with risk.client() as http, desk.services["oms"].client() as oms:
        state = (await http.get("/risk/controls")).json()
        assert state["version"] == (await events(desk.nats))[-1].version >= found.version
        assert "all" in {kill["scope"] for kill in state["killed"]}
        refused = (await oms.post("/orders", json=order("o-1", "other"))).json()
        assert (refused["status"], refused["reason"]) == ("rejected", "killed")
        first = (await http.post("/risk/arm", json={"scope": "all", "reason": "looked at", "who": "ann"})).json()
        armed = await http.post("/risk/arm", json={"scope": "all", "reason": "looked at", "who": "bob", "token": first["token"]})
        assert armed.status_code == 200, armed.text
        seq = int(armed.json()["seq"])
        await until(lambda: all(f'"seq":{seq},' in mark.read_text() for mark in desk.marks), 60)
        assert (await oms.post("/orders", json=order("o-2", "other"))).json().get("reason") != "killed"
    again = trade(desk.nats, risk, "journal", "accept", "--controls", "--reason", "once more")
    assert (again.returncode, "nothing to accept" in again.stderr) == (1, True), again.stderr


def serves(nats: LiveServer) -> bool:
    """It answers; one that cannot load a stream never calls itself healthy."""
    try:
        return httpx.get(f"{nats.monitor_url}/varz", timeout=1).status_code == 200
    except httpx.TransportError:
        return False


async def test_only_risk_makes_the_stream_and_its_followers_wait_for_it(fresh_nats: LiveServer, tmp_path: Path) -> None:
    async with house(fresh_nats, tmp_path) as desk, connected(fresh_nats.url) as client:
        exeq = desk.services["exeq"]
        exeq.begin()
        await until(lambda: "stream RISK_CONTROL" in exeq.said(), 60)
        assert not exeq.is_ready()
        await make(client, CONTROL_JOURNAL)
        await until(lambda: exeq.is_ready() or "stream OMS_JOURNAL" in exeq.said(), 60)


@pytest.mark.timeout(600)
async def test_a_directory_without_a_mark_starts_and_has_one_then(fresh_nats: LiveServer, tmp_path: Path) -> None:
    """What a present version left behind."""
    async with house(fresh_nats, tmp_path) as desk:
        desk.start()
        last = await desk.kill(KILLED)
        desk.stop()
        for name in desk.services:
            shutil.rmtree(tmp_path / name / "watermarks")
        desk.start()
        await until(lambda: all(mark.is_file() and f'"seq":{last},' in mark.read_text() for mark in desk.marks), 60)


@pytest.mark.timeout(600)
async def test_a_foreign_message_among_the_controls_is_named_and_skipped(fresh_nats: LiveServer, tmp_path: Path) -> None:
    async with house(fresh_nats, tmp_path) as desk:
        desk.start()
        last = await desk.kill(KILLED)
        async with connected(fresh_nats.url) as client:
            await client.request(subjects.CONTROLS, b'{"type":"io.nats.jetstream.api.v1.account_info_response"}', timeout=5)
        risk, foreign = desk.services["risk"], last + 1
        assert risk.wait(60) == FAILED, "it ends while nothing is written, too"
        assert f"sequence {foreign} is no commit" in risk.said()
        shown = trade(fresh_nats, risk, "journal", "show")
        assert shown.returncode == 1
        assert f"trade journal skip {foreign} --controls" in shown.stderr, shown.stderr
        done = trade(fresh_nats, risk, "journal", "skip", str(foreign), "--controls", "--reason", "an answer of nats-server")
        assert done.returncode == 0, done.stderr
        risk.start()
        found = (await events(fresh_nats))[-1]
        assert isinstance(found, ControlsAccepted)
        assert ([each.seq for each in found.skipped], found.lost) == ([foreign], False)
        assert await desk.kill("account:another") == foreign + 2, "obeyed by oms and exeq, which went past it"
        thrown = [event.scope for event in await events(fresh_nats) if isinstance(event, KillThrown)]
        assert thrown == [KILLED, "account:another"], "nothing was lost, so nothing else is killed"
        assert trade(fresh_nats, risk, "journal", "show").returncode in (0, 1)
