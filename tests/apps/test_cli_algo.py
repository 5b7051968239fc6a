"""`trade algo` as a person or a script meets it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adapters.clock import SystemClock
from apps.cli.main import app
from apps.http.problem import problem_body
from tests.apps.fake_oms import FakeOms

ID = "5f0c2a9e5f0c2a9e5f0c2a9e5f0c2a9e"
TWAP = {"symbol": "BTCUSDT", "side": "buy", "quantity": 0.5, "strategy": "twap", "params": {"interval_sec": 2.5}}
ACCEPTED = {"status": "submitted", "algo_id": ID, "client_algo_id": "t-1", "seed": 7, "slices": 30, "seq": 900}
SHOWN = {
    "algo_id": ID,
    "account": "alice",
    "strategy": "twap",
    "status": "working",
    "quantity": 0.5,
    "cum_quantity": 0.25,
    "target_quantity": 0.3,
    "params": {"interval_sec": 10, "child": "near"},
    "flags": ["late_trade"],
}
SLICE = {"n": 1, "due_at": "2026-12-01T12:00:00.000000Z", "target": 0.1, "quantity": 0, "reason": "no_quote", "order_id": None}
REPORT = {
    "algo_id": ID,
    "cum_quantity": 0.5,
    "average_price": 45000,
    "to_arrival": {"benchmark": 44990, "bps": 2.2227, "money": 5},
    "to_twap": {"benchmark": None, "bps": None, "money": None},
    "without_child": {"no_quote": 3},
    "venues": [{"venue": "PAPER_A", "trades": 4, "quantity": 0.5, "maker_pct": 60, "to_arrival": {"bps": 2.2227}}],
}


def trade(oms: FakeOms, *words: str, stdin: str | None = None) -> Result:
    return CliRunner(env={"TRADE_OMS_URL": oms.url}).invoke(app, ["algo", *words], input=stdin)


def said(oms: FakeOms, method: str, path: str, body: object, status: int = 200) -> None:
    oms.says(method, path, json.dumps(body).encode(), status)


def test_an_algo_is_sent_as_it_is_in_its_file_with_an_id(door: FakeOms, tmp_path: Path) -> None:
    said(door, "POST", "/algos", ACCEPTED)
    file = tmp_path / "twap.json"
    file.write_text(json.dumps(TWAP | {"end_at": "2026-12-01T15:00:00Z"}))
    answer = trade(door, "submit", str(file), "--client-algo-id", "t-1")
    assert (answer.exit_code, door.asked[0].json["client_algo_id"]) == (0, "t-1")
    assert (door.asked[0].json["quantity"], door.asked[0].json["params"]) == ("0.5", {"interval_sec": "2.5"})
    assert ID in answer.stdout


def test_its_end_may_be_given_as_a_duration(door: FakeOms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SystemClock, "now_ns", lambda self: 1_800_000_000_000_000_000)
    said(door, "POST", "/algos", ACCEPTED)
    assert trade(door, "submit", "-", "--for", "10m", stdin=json.dumps(TWAP)).exit_code == 0
    assert door.asked[0].json["end_at"] == "2027-01-15T08:10:00.000000Z"
    assert door.asked[0].json["client_algo_id"].startswith("cli-")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", []),
        ("{", []),
        (json.dumps(TWAP), ["--for", "soon"]),
        (json.dumps(TWAP | {"end_at": "2026-12-01T15:00:00Z"}), ["--for", "1m"]),
    ],
)
def test_what_is_no_algo_is_wrong_usage_and_is_not_sent(door: FakeOms, text: str, words: list[str]) -> None:
    assert trade(door, "submit", "-", *words, stdin=text).exit_code == 2
    assert door.asked == []


def test_a_rejected_algo_ends_with_1_and_says_why(door: FakeOms) -> None:
    numbers = {"found": 150000, "limit": 100000, "unit": "USD"}
    said(door, "POST", "/algos", ACCEPTED | {"status": "rejected", "reason": "order_size_limit", "detail": numbers})
    answer = trade(door, "submit", "-", stdin=json.dumps(TWAP))
    assert answer.exit_code == 1
    assert "Rejected: order_size_limit: found 150000, limit 100000 USD." in answer.stderr


def test_an_algo_is_shown_with_its_slices(door: FakeOms) -> None:
    said(door, "GET", f"/algos/{ID}", SHOWN)
    said(door, "GET", f"/algos/{ID}/slices", {"slices": [SLICE], "next": None})
    said(door, "GET", f"/algos/{ID}/events", {"events": [{"seq": 9, "type": "AlgoStarted", "at": "2026-12-01T12:00:00Z"}], "next": None})
    answer = trade(door, "show", ID, "--slices", "--events")
    assert answer.exit_code == 0
    for word in ("working", "0.25", "params.child", "late_trade", "no_quote", "AlgoStarted"):
        assert word in answer.stdout


def test_algos_are_listed(door: FakeOms) -> None:
    said(door, "GET", "/algos", {"algos": [SHOWN], "next": None})
    answer = trade(door, "list", "--account", "alice", "--status", "open")
    assert (answer.exit_code, door.asked[0].query["account"], door.asked[0].query["status"]) == (0, "alice", "open")
    assert "twap" in answer.stdout


def test_an_algo_is_paused_resumed_and_cancelled(door: FakeOms) -> None:
    said(door, "POST", f"/algos/{ID}/pause", SHOWN | {"status": "paused"})
    said(door, "POST", f"/algos/{ID}/resume", SHOWN)
    said(door, "DELETE", f"/algos/{ID}", SHOWN | {"status": "ending"}, 202)
    assert trade(door, "pause", ID, "--reason", "lunch", "--keep-child").exit_code == 0
    assert trade(door, "resume", ID).exit_code == 0
    assert trade(door, "cancel", ID).exit_code == 0
    assert [asked.json for asked in door.asked[:2]] == [{"reason": "lunch", "keep_child": True}, {"reason": ""}]


def test_a_report_shows_what_it_cost_and_where(door: FakeOms) -> None:
    said(door, "GET", f"/algos/{ID}/report", REPORT)
    answer = trade(door, "report", ID)
    assert answer.exit_code == 0
    for word in ("to_arrival.bps", "2.2227", "without_child.no_quote", "PAPER_A"):
        assert word in answer.stdout


def test_an_unknown_algo_is_refused(door: FakeOms) -> None:
    door.says("GET", f"/algos/{ID}", problem_body(404, "algo_not_found", "unknown algo"), 404)
    assert trade(door, "show", ID).exit_code == 1
