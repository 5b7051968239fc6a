"""exeq asks right before the wire; a switch thrown at exeq itself needs no other service, and outlives the process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.clock import SystemClock
from adapters.local_kills import LocalKill, LocalKills
from adapters.memory import MemoryJournal
from apps.connections.controls import Scopes
from apps.exeq.kill_switch import ExeqKillSwitch
from apps.exeq.local_kill_endpoint import router
from apps.http.app import application
from domain.order.commands import RefuseRoute
from domain.ports import Unavailable
from domain.risk.controls import KILLED, Armed, Controls, KillThrown, SymbolBlocked
from tests.apps.callers import as_caller
from tests.apps.test_exeq_restart import Exeq, born, cancel_requested, routed
from tests.apps.test_snapshots import until

SAID: dict[str, Any] = {"version": 2, "at": 1, "who": "desk-1", "reason": "a scene"}


def kill(scope: str = "all", **more: Any) -> LocalKill:
    said: dict[str, Any] = {"scope": scope, "who": "desk-1", "reason": "a scene", "at": 1, **more}
    return LocalKill(**said)


def refused(exeq: Exeq) -> list[tuple[str, str, str | None]]:
    return [(c.order_id, c.reason, c.route_id) for c in exeq.asked if isinstance(c, RefuseRoute)]


@pytest.mark.parametrize("scope", ["all", "account:alice", "symbol:BTCUSDT", "venue:PAPER_A"])
async def test_what_was_routed_is_withheld_when_the_switch_was_thrown_since(tmp_path: Path, scope: str) -> None:  # FAILURES 40, 41
    async with Exeq(MemoryJournal(), tmp_path).live() as exeq:
        await exeq.reads(born("A"))
        await until(lambda: exeq.asked)
        exeq.controls.apply(KillThrown(scope=scope, **SAID))
        await exeq.reads(routed("A"))
        assert exeq.sent.routes == []
        assert refused(exeq) == [("A", KILLED, "A-1")]


async def test_what_is_blocked_or_killed_is_not_routed(tmp_path: Path) -> None:  # FAILURES 40
    async with Exeq(MemoryJournal(), tmp_path).live() as exeq:
        exeq.controls.apply(SymbolBlocked(symbol="BTCUSDT", **SAID))
        await exeq.reads(born("A"))
        await until(lambda: refused(exeq))
        assert refused(exeq) == [("A", "symbol_blocked", None)]
        exeq.switch.local["all"] = kill()
        await exeq.reads(born("B"))
        await until(lambda: len(refused(exeq)) == 2)
        assert refused(exeq)[1] == ("B", KILLED, None)


async def test_a_killed_venue_is_no_candidate(tmp_path: Path) -> None:
    async with Exeq(MemoryJournal(), tmp_path).live() as exeq:
        exeq.controls.apply(KillThrown(scope="venue:PAPER_A", **SAID))
        await exeq.reads(born("A"))
        await until(lambda: refused(exeq))
        assert refused(exeq) == [("A", "no_venue", None)]


async def test_while_it_is_unknown_what_is_forbidden_a_send_waits(tmp_path: Path) -> None:
    async with Exeq(MemoryJournal(), tmp_path).live() as exeq:
        known = False
        exeq.switch.controls_known = lambda: known
        exeq.executor.caught_up = lambda: known and exeq.follower.caught_up
        await exeq.reads(born("A"), routed("A"))
        await asyncio.sleep(0.05)
        assert exeq.sent.routes == []
        known = True
        await until(lambda: exeq.sent.routes)
        assert exeq.sent.routes == [("new", "A-1")]


def test_a_local_switch_outlives_the_process(tmp_path: Path) -> None:  # FAILURES 42
    ExeqKillSwitch(Controls(), LocalKills(tmp_path / "kills")).throw(kill("symbol:BTC/USD"))
    again = ExeqKillSwitch(Controls(), LocalKills(tmp_path / "kills"))
    assert (again.forbids("alice", "BTC/USD"), again.forbids("alice", "ETH")) == (KILLED, None)


def test_a_switch_file_that_cannot_be_read_stops_everything(tmp_path: Path) -> None:
    store = LocalKills(tmp_path)
    store.keep(kill("account:alice"))
    (file,) = tmp_path.glob("*.kill")
    file.write_bytes(b"\x00" + file.read_bytes()[1:])
    assert ExeqKillSwitch(Controls(), store).forbids("bob", "ETH") == KILLED


def test_a_switch_that_cannot_be_kept_is_in_force_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "kills").write_text("a file where the directory should be")
    for switch in (ExeqKillSwitch(Controls(), None), ExeqKillSwitch(Controls(), LocalKills(tmp_path / "kills"))):
        with pytest.raises(Unavailable):
            switch.throw(kill())
        assert switch.forbids("alice", "ETH") == KILLED


def _missing(kills: Path) -> None:
    kills.rename(kills.with_name("elsewhere"))


def _a_file(kills: Path) -> None:
    _missing(kills)
    kills.write_text("where the directory should be")


def _a_loop(kills: Path) -> None:
    _missing(kills)
    kills.symlink_to(kills)


def _to_nowhere(kills: Path) -> None:
    _missing(kills)
    kills.symlink_to("nowhere")


def _under_a_file(kills: Path) -> None:
    kills.parent.rename(kills.parent.with_name("was"))
    kills.parent.write_text("where the data directory should be")


@pytest.mark.parametrize("spoil", [_missing, _a_file, _a_loop, _to_nowhere, _under_a_file])
async def test_while_the_directory_of_switches_cannot_be_read_nothing_is_sent_and_cancels_go(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    async with Exeq(MemoryJournal(), tmp_path).live() as exeq:
        exeq.switch = exeq.executor._switch = ExeqKillSwitch(exeq.controls, LocalKills(data / "kills"))
        exeq.switch.controls_known = lambda: True
        await exeq.reads(born("A"), routed("A"), born("B"))
        await until(lambda: exeq.sent.routes == [("new", "A-1")])
        spoil(data / "kills")
        exeq.switch._look()
        assert await exeq.switch.unreadable() == exeq.switch.trouble
        assert "kills cannot be read" in (exeq.switch.trouble or "")
        await exeq.reads(routed("B"), born("C"), cancel_requested("B"), cancel_requested("A"))
        await until(lambda: ("cancel", "A-1") in exeq.sent.routes)
        assert exeq.sent.routes == [("new", "A-1"), ("cancel", "A-1")], "B's cancel would come before B"
        assert "C" not in {command.order_id for command in exeq.asked}, "nothing is routed either"
        for spoilt in (data, data / "kills"):
            if spoilt.is_symlink() or spoilt.is_file():
                spoilt.unlink()
        LocalKills(data / "kills").prepare()
        exeq.switch._look()
        await until(lambda: len(exeq.sent.routes) == 4)
        assert exeq.sent.routes[2:] == [("new", "B-1"), ("cancel", "B-1")]
        await until(lambda: "C" in {command.order_id for command in exeq.asked})


def _dangling(file: Path) -> None:
    file.symlink_to("nowhere")


def _in_a_circle(file: Path) -> None:
    file.symlink_to(file.name)


def _rubbish(file: Path) -> None:
    file.write_bytes(b"\xff\x00")


@pytest.mark.parametrize("spoil", [Path.mkdir, Path.touch, _dangling, _in_a_circle, _rubbish])
def test_a_file_that_is_no_switch_stops_everything_also_when_it_came_while_exeq_ran(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    switch = ExeqKillSwitch(Controls(), LocalKills(tmp_path / "kills"))
    spoil(tmp_path / "kills" / "x.kill")
    switch._look()
    assert (switch.trouble, switch.forbids("bob", "ETH"), switch.local["all"].who) == (None, KILLED, "exeq")
    assert "x.kill cannot be read" in switch.local["all"].reason


def test_exeq_that_starts_without_a_readable_directory_sends_nothing(tmp_path: Path) -> None:
    (tmp_path / "kills").write_text("a file where the directory should be")
    switch = ExeqKillSwitch(Controls(), LocalKills(tmp_path / "kills"))
    switch.controls_known = lambda: True
    assert (switch.known(), switch.trouble is None) == (False, False)


def test_a_local_switch_goes_with_the_arming_that_follows_its_report_and_not_with_an_older_one(tmp_path: Path) -> None:
    store = LocalKills(tmp_path)
    switch = ExeqKillSwitch(Controls(), store)
    switch.throw(kill())
    switch.heard(Armed(scope="all", token="t", **SAID))
    assert switch.forbids("alice", "ETH") == KILLED, "risk had not been told of it"
    switch.throw(kill(reported=5))
    switch.heard(Armed(scope="all", token="t", **SAID | {"version": 4}))
    assert switch.forbids("alice", "ETH") == KILLED
    switch.heard(Armed(scope="all", token="t", **SAID | {"version": 7}))
    assert switch.forbids("alice", "ETH") is None
    assert store.load() == {}


class Left:
    """Stands for the outbox."""

    def __init__(self, left: bool) -> None:
        self._left = left

    async def left(self, within_s: float) -> bool:
        return self._left


@asynccontextmanager
async def door(store: LocalKills | None, *, left: bool = True) -> AsyncIterator[tuple[ExeqKillSwitch, httpx.AsyncClient]]:
    switch = ExeqKillSwitch(Controls(), store)
    app: Any = application("exeq", router(switch, Left(left), Scopes({"BTCUSDT"}, {"PAPER_A"}), SystemClock()))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=as_caller(app)), base_url="http://exeq") as client:
        yield switch, client


async def test_the_local_door_answers_when_it_is_on_the_disk(tmp_path: Path) -> None:
    async with door(LocalKills(tmp_path)) as (switch, client):
        answer = await client.post("/kill", json={"scope": "account:alice", "reason": "runaway", "who": "desk-1"})
        assert (answer.status_code, answer.json()["obeyed"], answer.json()["reported"]) == (200, {"exeq": "yes"}, None)
        assert list(LocalKills(tmp_path).load()) == ["account:alice"]
        assert switch.forbids("alice", "BTCUSDT") == KILLED
        assert [one["scope"] for one in (await client.get("/kill")).json()["killed"]] == ["account:alice"]


async def test_the_local_door_does_not_promise_what_it_cannot_keep(tmp_path: Path) -> None:
    body = {"scope": "all", "reason": "x"}
    async with door(None) as (_, client):
        answer = await client.post("/kill", json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "not_durable")
    async with door(LocalKills(tmp_path), left=False) as (_, client):
        assert (await client.post("/kill", json=body)).status_code == 202
    async with door(LocalKills(tmp_path / "other")) as (switch, client):
        answer = await client.post("/kill", json={"scope": "venue:PAPR_A", "reason": "x"})
        assert (answer.status_code, answer.json()["code"], switch.local) == (422, "unknown_venue", {})
