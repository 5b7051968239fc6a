"""The other tenant, and every question about what is his."""

from typing import Any

from domain.values import order_id_of
from tests.flows.access.tenants import ABSENT, ANNA, BERT, NOPE, House


class Bert:
    """The other tenant, and everything that is his."""

    def __init__(self, house: House) -> None:
        self.key = house.key(BERT, "trade", "read", owner="bert-owner", note="bert-note")
        who = self.key.headers
        self.filled = house.submit(who, symbol="ETHUSDT", quantity="0.01", price=None, client_order_id="bert-filled")["order_id"]
        self.resting = house.submit(who, symbol="ETHUSDT", quantity="0.01", price="2200", client_order_id="bert-resting")["order_id"]
        limits = {"version": house.done("risk", "GET", f"/risk/limits?account={BERT}")["version"], "max_order_size_usd": 31_415}
        house.done("risk", "PUT", f"/risk/limits/{BERT}", json={**limits, "reason": "bert-reason"})
        self.cursor = house.done("oms", "GET", "/orders?limit=1", who)["next"]
        self.traces = (BERT, "bert-", self.filled, self.resting, self.key.key_id, "31415", "ETHUSDT")
        """Nothing of this may be in an answer to another tenant."""


def questions(bert: Bert) -> list[tuple[str, str, str, str, str, dict[str, Any]]]:
    """Service, method, address, a name of bert's, one of the same form that nothing has, and a body."""
    order, made = (bert.filled, ABSENT), order_id_of(BERT, "bert-resting")
    assert made == bert.resting, "a caller can compute the ids of others"
    price, settled = {"price": "999"}, {"outcome": "cancelled", "reason": "x"}
    account, symbol, client = (BERT, NOPE), ("ETHUSDT", "SOLUSDT"), ("bert-resting", "none-resting")
    at, _, of = bert.cursor.partition("-")
    assert of in (bert.filled, bert.resting)
    asked: list[tuple[str, str, str, tuple[str, str], dict[str, Any]]] = [
        *(("oms", "GET", f"/orders/@{more}", order, {}) for more in ("", "/events", "?at_seq=1", "?at_seq=999999999")),
        *((service, method, path, order, body) for service, method, path, body in order_routes(price, settled)),
        *(
            ("oms", "GET", path, account, {})
            for path in ("/orders?account=@", "/positions/@", "/positions/@?at_seq=1", "/fills/@", "/equity/@")
        ),
        ("oms", "GET", "/fills/@?symbol=ETHUSDT", account, {}),
        ("oms", "GET", "/orders?account=@&status=open", account, {}),
        ("oms", "DELETE", "/orders?account=@", account, {}),
        ("oms", "DELETE", f"/orders?account={ANNA}&client_order_id=@", client, {}),
        ("oms", "DELETE", f"/orders?account={ANNA}&symbol=@", symbol, {}),
        ("oms", "GET", "/orders?symbol=@", symbol, {}),
        ("oms", "GET", f"/fills/{ANNA}?symbol=@", symbol, {}),
        ("oms", "GET", "/orders?client_order_id=@", client, {}),
        ("oms", "GET", f"/orders?cursor={at}-@", (of, ABSENT), {}),
        ("oms", "POST", "/orders", account, {"symbol": "BTCUSDT", "side": "buy", "quantity": 1, "price": 1, "account": "@"}),
        ("risk", "POST", "/check", account, {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.01", "price": 40_000, "account": "@"}),
        ("exeq", "POST", "/routes/preview", account, {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.01", "account": "@"}),
        ("risk", "POST", "/risk/kill", account, {"scope": "account:@", "reason": "x"}),
        ("risk", "PUT", "/risk/limits/@", account, {"version": 1, "reason": "x", "max_order_size_usd": 1}),
        ("risk", "POST", "/risk/repeats/@/enable", account, {"reason": "x"}),
        ("risk", "POST", "/risk/accounts/@/suspend", account, {"reason": "x"}),
        ("risk", "POST", "/risk/accounts/@/resume", account, {"reason": "x"}),
        *(("risk", "GET", f"/risk/{path}=@", account, {}) for path in ("portfolio?account", "portfolio?cursor", "limits?account")),
        ("risk", "GET", f"/risk/limits?account={ANNA}&symbol=@", symbol, {}),
        ("risk", "GET", "/access/keys?account=@", account, {}),
        ("risk", "POST", "/access/accounts/@/close", account, {"reason": "x"}),
        *(
            ("risk", "POST", f"/access/keys/@/{verb}", (bert.key.key_id, "PK" + "2" * 18), {})
            for verb in ("revoke", "rotate", "end-sessions")
        ),
        ("risk", "GET", "/access/keys/@", (bert.key.key_id, "PK" + "2" * 18), {}),
        ("risk", "GET", "/access/log?key=@", (bert.key.key_id, "PK" + "2" * 18), {}),
    ]
    return [(service, method, path, *names, body) for service, method, path, names, body in asked]


def order_routes(price: dict[str, Any], settled: dict[str, Any]) -> list[tuple[str, str, str, dict[str, Any]]]:
    return [
        ("oms", "PATCH", "/orders/@", price),
        ("oms", "DELETE", "/orders/@", {}),
        ("oms", "POST", "/orders/@/settle", settled),
        ("risk", "GET", "/risk/decisions/@", {}),
        ("exeq", "GET", "/routes/@", {}),
    ]


def standing(house: House, bert: Bert) -> list[Any]:
    """Everything of bert's that another could have changed."""
    views = [house.done("oms", "GET", path, bert.key.headers) for path in ("/orders", f"/positions/{BERT}", f"/fills/{BERT}")]
    views[1] = {symbol: held["quantity"] for symbol, held in views[1].items()}
    controls = [house.done("risk", "GET", path) for path in ("/risk/controls", f"/risk/limits?account={BERT}")]
    return [*views, *controls, house.done("risk", "GET", f"/access/keys/{bert.key.key_id}")["state"]]
