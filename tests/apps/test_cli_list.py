"""`trade list` as a person or a script meets it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from apps.cli.main import app
from apps.http.problem import problem_body
from tests.apps.fake_oms import FakeOms

ID = "5f0c2a9e5f0c2a9e5f0c2a9e5f0c2a9e"
BRACKET = {
    "type": "bracket",
    "orders": [
        {"symbol": "BTCUSDT", "side": "buy", "quantity": 0.2, "price": 45000.10},
        {"role": "take_profit", "price": 46000},
        {"role": "stop_loss", "stop_price": 44000},
    ],
}
ACCEPTED = {"status": "submitted", "list_id": ID, "client_list_id": "b-1", "orders": [], "seq": 812}
SHOWN = {
    "list_id": ID,
    "client_list_id": "b-1",
    "status": "alert",
    "flags": ["forced"],
    "orders": [{"role": "entry", "order_id": ID, "side": "buy", "status": "filled", "quantity": 0.2}],
}


def trade(oms: FakeOms, *words: str, stdin: str | None = None) -> Result:
    return CliRunner(env={"TRADE_OMS_URL": oms.url}).invoke(app, ["list", *words], input=stdin)


def said(oms: FakeOms, method: str, path: str, body: object, status: int = 200) -> None:
    oms.says(method, path, json.dumps(body).encode(), status)


def test_a_list_is_sent_as_it_is_in_its_file_with_an_id(door: FakeOms, tmp_path: Path) -> None:
    said(door, "POST", "/order-lists", ACCEPTED)
    file = tmp_path / "bracket.json"
    file.write_text(json.dumps(BRACKET))
    answer = trade(door, "submit", str(file), "--client-list-id", "b-1")
    assert (answer.exit_code, door.asked[0].json["client_list_id"]) == (0, "b-1")
    assert door.asked[0].json["orders"][0] == {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.2", "price": "45000.1"}
    assert ID in answer.stdout


def test_a_list_may_come_from_stdin_and_gets_an_id(door: FakeOms) -> None:
    said(door, "POST", "/order-lists", ACCEPTED)
    assert trade(door, "submit", "-", stdin=json.dumps(BRACKET)).exit_code == 0
    assert door.asked[0].json["client_list_id"].startswith("cli-")


def test_a_rejected_list_names_its_order_and_ends_with_1(door: FakeOms) -> None:
    rejected = ACCEPTED | {"status": "rejected", "reason": "buying_power", "leg": 0}
    said(door, "POST", "/order-lists", rejected)
    answer = trade(door, "submit", "-", stdin=json.dumps(BRACKET))
    assert answer.exit_code == 1
    assert "Rejected, order 0: buying_power." in answer.stderr


@pytest.mark.parametrize("text", ["[]", "{", ""])
def test_what_is_no_list_is_wrong_usage_and_is_not_sent(door: FakeOms, text: str) -> None:
    assert trade(door, "submit", "-", stdin=text).exit_code == 2
    assert door.asked == []


def test_a_list_is_shown_with_its_orders_and_flags(door: FakeOms) -> None:
    said(door, "GET", f"/order-lists/{ID}", SHOWN)
    answer = trade(door, "show", ID)
    assert answer.exit_code == 0
    assert "forced" in answer.stdout
    assert "entry" in answer.stdout


def test_lists_are_listed(door: FakeOms) -> None:
    said(door, "GET", "/order-lists", {"lists": [SHOWN], "next": None})
    answer = trade(door, "list", "--account", "alice", "--status", "alert")
    assert (answer.exit_code, door.asked[0].query["account"], door.asked[0].query["status"]) == (0, "alice", "alert")


def test_a_cancel_says_whether_exits_are_meant(door: FakeOms) -> None:
    said(door, "DELETE", f"/order-lists/{ID}", SHOWN, 202)
    assert trade(door, "cancel", ID, "--exits").exit_code == 0
    assert door.asked[0].query == {"exits": "cancel"}


def test_an_unknown_list_is_refused(door: FakeOms) -> None:
    door.says("GET", f"/order-lists/{ID}", problem_body(404, "list_not_found", "unknown list"), 404)
    assert trade(door, "show", ID).exit_code == 1
