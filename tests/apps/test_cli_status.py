"""`trade status`, and how commands find the stack that is meant."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner, Result

from apps.cli.addresses import find
from apps.cli.main import app
from apps.cli.trouble import Unreachable, WrongUsage
from apps.stack import stack
from tests.apps.fake_oms import FakeOms, fake_oms
from tests.live import LiveServer

NOWHERE: Final = "http://127.0.0.1:1"
SERVICES: Final = ("OMS", "RISK", "EXEQ", "GATEWAY", "PROJECTOR", "DESK")


@pytest.fixture
def oms(door: FakeOms) -> FakeOms:
    return door


def trade(words: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(app, words)


def well(oms: FakeOms) -> None:
    oms.says("GET", "/health", {"status": "healthy"})
    oms.says("GET", "/ready", {"status": "ready"})
    oms.says("GET", "/stats", {"seq": 812, "lag": 0})
    oms.says("GET", "/exec", {"dataset": [[1]]})
    oms.says("GET", "/healthz", {"status": "ok"})


def everywhere(oms: FakeOms, valkey: str) -> Mapping[str, str]:
    """All services and HTTP servers are the fake; NATS's monitor is found by its distance from NATS's port."""
    port = int(oms.url.rpartition(":")[2])
    urls = {f"TRADE_{name}_URL": oms.url for name in SERVICES}
    return {**urls, "TRADE_QUESTDB_HTTP_URL": oms.url, "TRADE_NATS_URL": f"nats://127.0.0.1:{port - 4000}", "TRADE_VALKEY_URL": valkey}


def test_all_well_is_0_and_a_row_each(oms: FakeOms, valkey_server: LiveServer) -> None:
    well(oms)
    ended = trade("status", **everywhere(oms, valkey_server.url))
    assert (ended.exit_code, ended.stderr) == (0, "")
    rows = [line.split()[:5] for line in ended.stdout.splitlines()[1:]]
    assert rows[:3] == [[name, "yes", "yes", "-", "-"] for name in ("nats", "valkey", "questdb")]
    assert rows[3:] == [[name, "yes", "yes", "0", "812"] for name in ("oms", "risk", "exeq", "live-gateway", "projector", "desk")]


def test_one_that_is_not_ready_is_1_with_its_reason(oms: FakeOms, valkey_server: LiveServer) -> None:
    well(oms)
    oms.answers[("GET", "/ready")].clear()
    oms.says("GET", "/ready", {"status": "not_ready", "reason": "journal: catching up"}, 503)
    ended = trade("status", **{**everywhere(oms, valkey_server.url), "TRADE_RISK_URL": NOWHERE})
    assert ended.exit_code == 1
    assert ended.stderr.splitlines()[0] == "Not ready: oms, risk, exeq, live-gateway, projector, desk."
    notes = {line.split()[0]: line for line in ended.stdout.splitlines()}
    assert "503: journal: catching up" in notes["oms"]
    assert "does not answer" in notes["risk"]


def test_how_far_one_is_behind_the_journal_follows_from_what_oms_says(oms: FakeOms, valkey_server: LiveServer) -> None:
    well(oms)
    oms.answers[("GET", "/stats")].clear()
    oms.says("GET", "/stats", {"seq": 812})
    with fake_oms() as risk:
        well(risk)
        risk.answers[("GET", "/stats")].clear()
        risk.says("GET", "/stats", {"as_of_seq": 800})
        ended = trade("status", **{**everywhere(oms, valkey_server.url), "TRADE_RISK_URL": risk.url})
    rows = {line.split()[0]: line.split()[3:5] for line in ended.stdout.splitlines()}
    assert (rows["oms"], rows["risk"]) == (["0", "812"], ["12", "800"])


def test_of_two_projections_the_slower_one_counts(oms: FakeOms, valkey_server: LiveServer) -> None:
    well(oms)
    oms.answers[("GET", "/stats")].clear()
    oms.says("GET", "/stats", {"positions": {"seq": 812, "lag_commits": 0}, "fills": {"seq": 800, "lag_commits": 12}})
    ended = trade("status --json", **everywhere(oms, valkey_server.url))
    projector = json.loads(ended.stdout)["services"][-2]
    assert (projector["name"], projector["lag"], projector["seq"]) == ("projector", 12, 800)


def test_no_answer_from_any_service_is_exit_code_3() -> None:
    urls = {f"TRADE_{name}_URL": NOWHERE for name in SERVICES}
    ended = trade(
        "status", **urls, TRADE_NATS_URL="nats://127.0.0.1:1", TRADE_VALKEY_URL="redis://127.0.0.1:1", TRADE_QUESTDB_HTTP_URL=NOWHERE
    )
    assert ended.exit_code == 3
    assert ended.stderr.splitlines()[0] == "Nothing answers."


def test_a_stack_without_questdb_is_not_asked_for_it(oms: FakeOms, valkey_server: LiveServer) -> None:
    well(oms)
    ended = trade("status", **everywhere(oms, valkey_server.url), TRADE_FILLS="sqlite")
    assert ended.exit_code == 0
    assert "questdb" not in ended.stdout


# Addresses


def written(data_dir: Path) -> stack.Stack:
    process_state = stack.ProcessState(name="nats", kind="server", ports={"nats": 5222, "monitor": 9999}, log="", starts=3)
    urls = {"nats": "nats://127.0.0.1:5222", "valkey": "redis://127.0.0.1:7379", "oms": "http://127.0.0.1:9099"}
    running = stack.Stack(
        pid=1, started_at=0.0, data_dir=str(data_dir), port_offset=1000, fills="sqlite", urls=urls, processes=[process_state]
    )
    stack.write(data_dir, running)
    return running


def test_the_usual_ports_shift_together() -> None:
    addresses = find(None, 100, {"TRADE_OMS_URL": NOWHERE})
    assert addresses["oms"] == "http://127.0.0.1:8199"
    assert addresses["nats"] == "nats://127.0.0.1:4322"
    assert addresses.nats_monitor == "http://127.0.0.1:8322"


def test_a_running_stack_tells_where_it_is_and_how_often_it_died(tmp_path: Path) -> None:
    running = written(tmp_path)
    addresses = find(tmp_path, None, {"TRADE_OMS_URL": NOWHERE})
    assert addresses.urls == running.urls
    assert addresses.nats_monitor == "http://127.0.0.1:9999"
    assert addresses.restarts == {"nats": 2}
    with pytest.raises(Unreachable, match="runs without exeq"):
        addresses["exeq"]


def test_the_environment_rules_over_a_stack_that_was_not_named(tmp_path: Path) -> None:
    written(tmp_path)
    addresses = find(None, None, {"TRADE_DATA_DIR": str(tmp_path), "TRADE_OMS_URL": "http://oms:8099/"})
    assert addresses["oms"] == "http://oms:8099"
    assert addresses["valkey"] == "redis://127.0.0.1:7379"


def test_a_directory_from_which_nothing_runs_is_reported_as_such(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="No stack runs from"):
        find(tmp_path, None, {})


def test_an_invalid_nats_address_is_wrong_usage() -> None:
    with pytest.raises(WrongUsage, match="TRADE_NATS_URL"):
        find(None, None, {"TRADE_NATS_URL": "nats://127.0.0.1:x"})
