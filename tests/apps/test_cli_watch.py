"""`trade watch`: what the stream says is printed as lines or as it came, until Ctrl-C."""

import os
import subprocess
import sys
from decimal import Decimal
from typing import Any, Final

import pytest

from apps.cli.watch import lines
from apps.desk.client import StreamMessage
from tests.apps.fake_oms import FakeOms

AT: Final = "2023-11-14T22:13:20.123456Z"
EVENT: Final = {
    "seq": 7,
    "at": AT,
    "account": "alice",
    "order_id": "O1",
    "status": "partially_filled",
    "type": "OrderFilled",
    "description": "Bought 4 at 49.5 on PAPER_A.",
}
ROW: Final = {
    "order_id": "O1",
    "account": "alice",
    "symbol": "BTCUSDT",
    "side": "buy",
    "type": "limit",
    "quantity": Decimal("10"),
    "price": Decimal("50"),
    "time_in_force": "gtc",
    "status": "partially_filled",
    "cum_quantity": Decimal("4"),
    "leaves_quantity": Decimal("6"),
    "average_price": Decimal("49.5"),
    "updated_at": AT,
    "seq": 7,
}
POSITION: Final = {"account": "alice", "symbol": "BTCUSDT", "quantity": Decimal("0.1"), "average_price": Decimal("45000.1"), "seq": 7}


def frame(**data: Any) -> StreamMessage:
    return StreamMessage("frame", {"prev_seq": 6, "seq": 7, "at": AT, **data}, "7.0123456789abcdef", "{}")


def test_each_event_order_and_position_of_a_frame_is_a_line() -> None:
    assert lines(frame(events=[EVENT], orders=[ROW], positions=[POSITION])) == [
        f"{AT} alice order O1 partially_filled seq 7 | OrderFilled: Bought 4 at 49.5 on PAPER_A.",
        f"{AT} alice order O1 buy 10 BTCUSDT limit @ 50 gtc partially_filled, filled 4 @ 49.5 leaves 6 seq 7",
        f"{AT} alice position BTCUSDT 0.1 @ 45000.1 seq 7",
    ]


def test_an_event_about_the_journal_itself_names_no_order() -> None:
    taken = {"seq": 1, "index": 0, "at": AT, "type": "ShardTaken", "description": "exeq-1 of unit-0 takes over sending."}
    assert lines(frame(events=[taken])) == [f"{AT} journal seq 1 | ShardTaken: exeq-1 of unit-0 takes over sending."]


def test_a_change_of_controls_is_a_line() -> None:
    assert lines(frame(controls={"version": 5, "killed": ["account:a"], "blocked_symbols": []})) == [
        f"{AT} controls version 5: killed account:a"
    ]


def test_a_snapshot_is_not_news() -> None:
    assert lines(StreamMessage("snapshot", {"orders": [ROW]}, "", "{}")) == []


@pytest.fixture
def environment(door: FakeOms) -> dict[str, str]:
    return {"TRADE_DESK_URL": door.url, "TRADE_NATS_URL": "nats://127.0.0.1:1"}


def watched(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "apps.cli", "watch", *words]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False)


def test_a_refusal_is_1_with_its_code(door: FakeOms, environment: dict[str, str]) -> None:
    door.says("GET", "/stream", {"code": "account_not_yours", "detail": "this key is for another account", "status": 403}, status=403)
    ended = watched(environment, "--account", "bob")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "account_not_yours" in ended.stderr


def test_a_desk_that_is_not_there_is_3() -> None:
    ended = watched({"TRADE_DESK_URL": "http://127.0.0.1:1"})
    assert ended.returncode == 3
    assert len(ended.stderr.splitlines()) == 2


@pytest.mark.parametrize("words", [("--account", "a.b"), ("--from-seq", "-1")])
def test_what_cannot_be_asked_is_2(words: tuple[str, ...]) -> None:
    assert watched({"TRADE_DESK_URL": "http://127.0.0.1:1"}, *words).returncode == 2
