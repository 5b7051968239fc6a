"""A kill is never refused for its words: at risk, at exeq, by the command line and by a file they are cleaned and cut, and it kills."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from typer.testing import CliRunner

from adapters.clock import SystemClock
from adapters.local_kills import LocalKills
from apps.cli.main import app
from apps.connections.controls import Scopes
from apps.exeq.kill_switch import ExeqKillSwitch
from apps.exeq.local_kill_endpoint import router
from apps.http.app import application
from domain.risk.controls import ALL, NO_REASON, OPERATOR, REASON_MAX, WHO_MAX, Controls, words_of_kill
from tests.apps.callers import as_caller
from tests.apps.fake_oms import fake_oms
from tests.apps.risk_house import House

REASONS: list[tuple[object, str]] = [
    ("line one\nline two", "line one line two"),
    ("\x1b[31mred\x00\tbell\x07", "[31mred bell"),
    ("turned \u202e round", "turned round"),
    ("x" * 201, "x" * REASON_MAX),
    ("stra\u00dfe, M\u00fcnchen \u5317\u4eac", "stra\u00dfe, M\u00fcnchen \u5317\u4eac"),
    ("  ", NO_REASON),
    ("\n\r\n", NO_REASON),
    (None, NO_REASON),
    (5, "5"),
    ([], NO_REASON),
]
NAMES: list[tuple[object, str]] = [
    ("J\u00f6rg Meier", "J\u00f6rg Meier"),
    ("ops@desk\n", "ops@desk"),
    ("y" * 65, "y" * WHO_MAX),
    ("", OPERATOR),
    (None, OPERATOR),
    ({"name": "ann"}, OPERATOR),
]
WORDS = [*((reason, "desk-1", told, "desk-1") for reason, told in REASONS), *(("halt", who, "halt", told) for who, told in NAMES)]


@pytest.mark.parametrize(("reason", "who", "reason_kept", "who_kept"), WORDS)
async def test_risk_kills_whatever_the_words_are(reason: object, who: object, reason_kept: str, who_kept: str) -> None:
    house = House()
    async with house.http() as client:
        answer = await client.post("/risk/kill", json={"scope": "all", "reason": reason, "who": who})
    assert (answer.status_code, answer.json()["killed"]) == (200, True)
    kill = house.risk.controls.kills[ALL]
    assert (kill.reason, kill.who) == (reason_kept, who_kept)


@pytest.mark.parametrize(("reason", "who", "reason_kept", "who_kept"), WORDS)
async def test_exeq_kills_whatever_the_words_are(reason: object, who: object, reason_kept: str, who_kept: str, tmp_path: Path) -> None:
    switch = ExeqKillSwitch(Controls(), LocalKills(tmp_path))
    routes = router(switch, Left(), Scopes({"BTCUSDT"}, {"PAPER_A"}), SystemClock())  # type: ignore[arg-type]
    door: Any = application("exeq", routes)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=as_caller(door)), base_url="http://exeq") as client:
        answer = await client.post("/kill", json={"scope": "all", "reason": reason, "who": who})
    assert (answer.status_code, answer.json()["killed"]) == (200, True)
    assert (switch.local[ALL].reason, switch.local[ALL].who) == (reason_kept, who_kept)


class Left:
    """Stands for the outbox: all that was put on the wire has left."""

    async def left(self, within_s: float) -> bool:
        return True


def test_words_are_one_line_within_their_bounds_whatever_they_were() -> None:
    for told in ("\ud800 half a pair", "a\u2028b", "e\u0301" * 300, "\x7f" * 300 + "end"):
        reason, who = words_of_kill(told, told)
        assert reason.isprintable()
        assert who.isprintable()
        assert len(reason) <= REASON_MAX
        assert len(who) <= WHO_MAX
        assert reason.encode()


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """The command line sets up logging for its process, which here is ours."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("logging_as_it_was")
def test_the_command_line_kills_whatever_the_words_are_also_by_a_file(tmp_path: Path) -> None:
    words = ("--reason", "line one\nline two\udcff", "--who", "J\u00f6rg Meier")
    with fake_oms() as door:
        door.says("POST", "/risk/kill", {"scope": "all", "killed": True, "obeyed": {"exeq": "yes", "oms": "yes"}})
        found = CliRunner(env={"TRADE_RISK_URL": door.url}).invoke(app, ["kill", "all", *words])
        assert found.exit_code == 0
        assert door.asked[0].json == {"scope": "all", "reason": "line one line two", "who": "J\u00f6rg Meier"}
    nowhere = {"TRADE_EXEQ_URL": "http://127.0.0.1:1", "TRADE_DATA_DIR": str(tmp_path)}
    assert CliRunner(env=nowhere).invoke(app, ["kill", "all", "--local", *words]).exit_code == 0
    kept = LocalKills(tmp_path / "kills").load()[ALL]
    assert (kept.reason, kept.who) == ("line one line two", "J\u00f6rg Meier")
