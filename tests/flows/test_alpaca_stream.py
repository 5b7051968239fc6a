"""The Alpaca stream of a whole stack: an order's life, a key that is revoked, and a client that comes back after oms was killed."""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from apps.stack.topology import UNIT
from tests.stack import LiveStack

HANGS_S: Final = 120.0
ORDERS: Final = 12
ENDS: Final = ("fill", "rejected", "canceled", "expired")


def key(stack: LiveStack, account: str) -> tuple[str, str]:
    made = stack.trade("key", "create", "--account", account, "--scopes", "trade,read", "--json")
    assert made.returncode == 0, made.stderr
    found = json.loads(made.stdout)
    return found["key_id"], found["secret"]


@contextlib.contextmanager
def opened(stack: LiveStack, shown: tuple[str, str], **more: Any) -> Iterator[ClientConnection]:
    """A connection that listens."""
    with connect(stack.url("oms").replace("http", "ws") + "/alpaca/stream", proxy=None, max_queue=None) as client:
        client.send(json.dumps({"action": "authenticate", "data": {"key_id": shown[0], "secret_key": shown[1]}}))
        assert json.loads(client.recv(HANGS_S))["data"]["status"] == "authorized"
        client.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"], **more}}))
        assert json.loads(client.recv(HANGS_S)) == {"stream": "listening", "data": {"streams": ["trade_updates"]}}
        yield client


def update(client: ClientConnection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(client.recv(HANGS_S))["data"]
    return found


def order(account: str, name: str) -> dict[str, object]:
    return {"account": account, "client_order_id": name, "symbol": "BTCUSDT", "side": "buy", "quantity": 0.01, "type": "market"}


def test_an_order_is_followed_until_it_is_filled_and_a_revoked_key_gets_nothing_more(running: LiveStack) -> None:
    shown = key(running, "streamed")
    with opened(running, shown) as client, running.client() as oms:
        submitted = oms.post("/orders", json=order("streamed", "s-1")).json()
        sent = [update(client)]
        while sent[-1]["event"] != "fill":
            sent.append(update(client))
        events = [each["event"] for each in sent]
        assert events[:2] == ["accepted", "pending_new"]
        assert events.count("new") == 1
        assert sent[0]["seq"] == submitted["seq"]
        assert {each["order"]["id"].replace("-", "") for each in sent} == {submitted["order_id"]}
        held = oms.get("/positions/streamed", params={"min_seq": sent[-1]["seq"]}).json()["BTCUSDT"]
        assert float(sent[-1]["position_qty"]) == held["quantity"]
        assert running.trade("key", "revoke", shown[0]).returncode == 0
        with pytest.raises(ConnectionClosed) as end:
            client.recv(HANGS_S)
    assert end.value.rcvd is not None
    assert end.value.rcvd.code == 1008


def test_after_a_kill_a_client_that_comes_back_has_missed_nothing(fresh: LiveStack) -> None:
    shown = key(fresh, "returns")
    heard: list[dict[str, Any]] = []
    orders: set[str] = set()
    with opened(fresh, shown) as client:
        _submit(fresh, orders, "before")
        heard += [update(client) for _ in range(ORDERS)]
        fresh.kill(UNIT)
        with pytest.raises(ConnectionClosed):
            _heard_without_end(client, heard)
    fresh.await_ready()
    _submit(fresh, orders, "after")
    whole = max((each["seq"] for each in heard if "more" not in each), default=0)
    heard = [each for each in heard if each["seq"] <= whole]
    with opened(fresh, shown, since_seq=whole) as again:
        _heard_until_all_have_ended(again, heard, orders)
    with opened(fresh, shown, since_seq=0) as other:
        assert [update(other) for _ in heard] == heard


def _submit(stack: LiveStack, orders: set[str], name: str) -> None:
    """Submit half of the orders, and note those that oms has recorded."""
    with stack.client() as oms:
        for number in range(ORDERS // 2):
            answer = oms.post("/orders", json=order("returns", f"{name}-{number}"))
            assert answer.status_code == 200, answer.text
            orders.add(f"{name}-{number}")


def _heard_without_end(client: ClientConnection, heard: list[dict[str, Any]]) -> None:
    while True:
        heard.append(update(client))


def _heard_until_all_have_ended(client: ClientConnection, heard: list[dict[str, Any]], orders: set[str]) -> None:
    """Until each order is filled, or was refused by the processes that died and came back."""
    deadline = time.monotonic() + HANGS_S
    while orders - {each["order"]["client_order_id"] for each in heard if each["event"] in ENDS} or "more" in heard[-1]:
        assert time.monotonic() < deadline, [each["event"] for each in heard]
        heard.append(update(client))
