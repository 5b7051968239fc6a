"""`trade kill`, `trade arm`, `trade risk`: what is sent, what a person reads, and which exit code says what."""

from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner, Result

from adapters.local_kills import LocalKills
from apps.cli.main import app
from apps.http.credentials import new_key_id, new_secret
from tests.apps.fake_oms import FakeOms

NOWHERE: Final = "http://127.0.0.1:1"
BY: Final = ("--reason", "a scene", "--who", "desk-1")


def trade(door: FakeOms, *words: str, **environment: str) -> Result:
    return CliRunner(env={"TRADE_RISK_URL": door.url, "TRADE_EXEQ_URL": door.url, **environment}).invoke(app, words)


def killed(status: str = "yes", **more: Any) -> dict[str, Any]:
    return {"scope": "all", "killed": True, "obeyed": {"exeq": status, "oms": "yes"}, **more}


def test_a_switch_is_thrown_with_who_and_why(door: FakeOms) -> None:
    door.says("POST", "/risk/kill", killed())
    found = trade(door, "kill", "account:alice", *BY)
    assert (found.exit_code, found.stdout) == (0, "Killed: account:alice. exeq acknowledged, oms acknowledged.\n")
    assert door.asked[0].json == {"scope": "account:alice", "reason": "a scene", "who": "desk-1"}


def test_when_a_service_did_not_acknowledge_the_exit_code_is_3_and_the_other_way_is_named(door: FakeOms) -> None:
    door.says("POST", "/risk/kill", killed("unknown"), status=202)
    found = trade(door, "kill", "all", *BY)
    assert found.exit_code == 3
    assert found.stderr.endswith("trade kill all --local\n")
    unreachable = trade(door, "kill", "all", *BY, TRADE_RISK_URL=NOWHERE)
    assert unreachable.exit_code == 3
    assert unreachable.stderr.startswith(f"risk at {NOWHERE} cannot be reached")
    assert unreachable.stderr.endswith("trade kill all --local\n")


@pytest.mark.parametrize("scope", ["everything", "account:", "account:a.b", "desk:x", "symbol:a b", ""])
def test_what_is_no_scope_is_not_sent(door: FakeOms, scope: str) -> None:
    found = trade(door, "kill", scope, *BY)
    assert (found.exit_code, door.asked) == (2, [])


def test_the_local_way_asks_exeq(door: FakeOms) -> None:  # FAILURES 42
    door.says("POST", "/kill", {"scope": "all", "killed": True, "obeyed": {"exeq": "yes"}})
    found = trade(door, "kill", "all", "--local", *BY, TRADE_RISK_URL=NOWHERE)
    assert (found.exit_code, found.stdout) == (0, "Killed: all. exeq acknowledged.\n")
    assert door.asked[0].path == "/kill"


def test_when_exeq_does_not_answer_either_a_file_is_left_for_it(door: FakeOms, tmp_path: Path) -> None:  # FAILURES 42
    found = trade(door, "kill", "venue:PAPER_A", "--local", *BY, TRADE_EXEQ_URL=NOWHERE, TRADE_DATA_DIR=str(tmp_path))
    assert (found.exit_code, found.stdout.split(",")[0]) == (0, "Killed: venue:PAPER_A")
    kill = LocalKills(tmp_path / "kills").load()["venue:PAPER_A"]
    assert (kill.who, kill.reason, kill.reported) == ("desk-1", "a scene", None)
    door.refuses("POST", "/kill", 503, "starting", "exeq is starting")
    assert trade(door, "kill", "all", "--local", *BY, TRADE_DATA_DIR=str(tmp_path)).exit_code == 0
    assert set(LocalKills(tmp_path / "kills").load()) == {"all", "venue:PAPER_A"}


def test_without_exeq_and_without_its_files_it_says_so(door: FakeOms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = trade(door, "kill", "all", "--local", *BY, TRADE_EXEQ_URL=NOWHERE)
    assert found.exit_code == 3
    assert "--data-dir" in found.stderr


def test_arming_tells_the_second_person_what_to_do(door: FakeOms) -> None:
    door.says("POST", "/risk/arm", {"scope": "all", "killed": True, "token": "c0ffee01", "expires_at": "2026-11-22T20:13:34Z"}, status=202)
    found = trade(door, "arm", "all", *BY)
    assert found.exit_code == 0
    assert "trade arm all --token c0ffee01" in found.stdout
    door.answers.clear()
    door.refuses("POST", "/risk/arm", 403, "second_person_required", "desk-1 asked for it")
    found = trade(door, "arm", "all", "--token", "c0ffee01", *BY)
    assert (found.exit_code, door.asked[-1].json["token"]) == (1, "c0ffee01")
    assert "--who NAME" in found.stderr
    found = trade(door, "arm", "all", "--token", "c0ffee01", "--reason", "a scene", TRADE_KEY=f"{new_key_id()}.{new_secret()}")
    assert (found.exit_code, "--who" in found.stderr, "with a key of their own" in found.stderr) == (1, False, True)


def test_blocks_and_what_remains(door: FakeOms) -> None:
    door.says("POST", "/risk/symbols/BTCUSDT/block", {"symbol": "BTCUSDT", "blocked": True})
    assert trade(door, "risk", "block", "BTCUSDT", *BY).stdout == "Blocked: BTCUSDT.\n"
    who = {"version": 4, "at": "2026-11-22T20:03:34.673824Z", "who": "desk-1", "reason": "a scene"}
    door.says(
        "GET",
        "/risk/controls",
        {"version": 4, "killed": [{"scope": "all", **who}], "blocked_symbols": [{"symbol": "BTCUSDT", **who}], "arming": []},
    )
    rows = trade(door, "risk", "controls").stdout.splitlines()
    assert [row.split()[:4] for row in rows[1:]] == [
        ["killed", "all", "4", who["at"]],
        ["blocked", "symbol:BTCUSDT", "4", who["at"]],
    ]
    assert trade(door, "risk", "controls", "--json").stdout.startswith('{"version": 4')


def test_setting_one_limit_keeps_the_others_and_names_the_version_it_was_made_up_from(door: FakeOms) -> None:
    own = {"new": {"max_order_size_usd": 4500.5, "short_allowed": True, "max_concentration_pct": 10}}
    found = {"version": 7, "set_by": "desk-2", "account": "alice", "max_order_size_usd": 4500.5, "own": own}
    door.says("GET", "/risk/limits", found)
    door.says("PUT", "/risk/limits/alice", found)
    done = trade(door, "risk", "limits", "set", "alice", "--max-order-size-shares", "12", "--unset", "max_concentration_pct", *BY)
    assert done.exit_code == 0, done.stderr
    assert door.asked[-1].json == {
        "max_order_size_usd": "4500.5",
        "short_allowed": True,
        "max_order_size_shares": "12",
        "version": 7,
        "reason": "a scene",
        "who": "desk-1",
    }
    assert [line.split() for line in done.stdout.splitlines()][1] == ["max_order_size_usd", "4500.5", "own"]


PROPOSAL: Final = {
    "type": "LimitsProposed",
    "account": "alice",
    "symbol": "BTCUSDT",
    "old": {},
    "new": {"max_order_size_usd": 300000},
    "token": "c0ffee01",
    "limits_version": 7,
    "version": 9,
    "at": "2026-11-22T20:03:34.673824Z",
    "expires_at": "2026-11-22T20:13:34.673824Z",
    "who": "desk-1",
    "reason": "a scene",
}
PROPOSED: Final = "alice BTCUSDT: defaults -> max_order_size_usd 300000"


def test_a_limit_that_takes_a_second_person_prints_what_that_person_runs(door: FakeOms) -> None:
    door.says("GET", "/risk/limits", {"version": 7, "account": "alice", "own": None})
    door.says("PUT", "/risk/limits/alice", PROPOSAL, status=202)
    words = ("--symbol", "BTCUSDT", "--max-order-size-usd", "300000", "--unset", "max_order_size_shares")
    found = trade(door, "risk", "limits", "set", "alice", *words, *BY)
    assert (found.exit_code, found.stdout.splitlines()) == (
        0,
        [
            f"Proposed: {PROPOSED}. Nothing has changed; a second person must confirm before 2026-11-22T20:13:34.673824Z:",
            f"trade risk limits set alice {' '.join(words)} --token c0ffee01 --reason ... --who ...",
        ],
    )
    assert "token" not in door.asked[-1].json
    shorts = trade(door, "risk", "limits", "set", "alice", "--no-short", *BY)
    assert "set alice --no-short --token" in shorts.stdout
    door.answers.clear()
    door.says("GET", "/risk/limits", {"version": 7, "account": "alice", "own": None})
    door.says("PUT", "/risk/limits/alice", {"version": 10, "set_by": "eve", "account": "alice"})
    assert trade(door, "risk", "limits", "set", "alice", *words, "--token", "c0ffee01", "--reason", "x", "--who", "eve").exit_code == 0
    said = door.asked[-1].json
    assert (said["token"], said["version"], said["max_order_size_usd"], said["who"]) == ("c0ffee01", 7, "300000", "eve")


def test_a_proposal_is_listed_and_in_the_history(door: FakeOms) -> None:
    door.says("GET", "/risk/controls", {"version": 9, "proposals": [PROPOSAL]})
    door.says("GET", "/risk/controls/history", {"controls": [PROPOSAL]})
    row = trade(door, "risk", "controls").stdout.splitlines()[1]
    assert (row.startswith("proposed, token c0ffee01"), PROPOSED in row, "desk-1" in row) == (True, True, True)
    row = trade(door, "risk", "history").stdout.splitlines()[1]
    assert (row.startswith("LimitsProposed"), PROPOSED in row) == (True, True)


@pytest.mark.parametrize(
    "words",
    [
        ("alice", "--max-order-size-usd", "1e18"),
        ("alice", "--max-order-size-usd", "-1"),
        ("alice",),
        ("alice", "--unset", "enabled"),
        ("a.b", "--max-order-size-usd", "1"),
    ],
)
def test_what_can_be_seen_to_be_wrong_is_not_sent(door: FakeOms, words: tuple[str, ...]) -> None:
    assert trade(door, "risk", "limits", "set", *words, *BY).exit_code == 2
    assert door.asked == []


def test_the_history_tells_what_the_catalogue_gained_and_lost(door: FakeOms) -> None:
    change = {
        "type": "CatalogueChanged",
        "version": 2,
        "at": "2026-11-21T09:00:00.000000Z",
        "who": "catalogue",
        "reason": "catalogue at the start of risk",
    }
    more = {"rates": {"EUR": 0.9}, "listed": {"AAPL": "USD"}, "delisted": ["A", "B", "C", "D", "E", "F"]}
    door.says("GET", "/risk/controls/history", {"controls": [change | more]})
    assert "EUR 0.9 USD; 1 symbols listed; delisted: A, B, C, D, E …" in trade(door, "risk", "history").stdout


def test_the_history_tells_old_and_new(door: FakeOms) -> None:
    change = {"type": "LimitsChanged", "account": "alice", "symbol": "BTCUSDT", "old": {}, "new": {"max_order_size_usd": 5}}
    at = "2026-11-22T20:03:34.673824Z"
    door.says("GET", "/risk/controls/history", {"controls": [{**change, "version": 2, "at": at, "who": "desk-1", "reason": "a scene"}]})
    said = trade(door, "risk", "history").stdout
    assert "alice BTCUSDT: defaults -> max_order_size_usd 5" in said
