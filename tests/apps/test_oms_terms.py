"""What is well formed and cannot trade: refused with a stable code and its numbers, in a fixed order."""

import json
from typing import Any

import pytest

from tests.apps.submits import read, refusal, text


@pytest.mark.parametrize(
    ("changes", "code", "found", "limit", "unit"),
    [
        ({"symbol": "NOPE"}, "unknown_symbol", "NOPE", None, None),
        ({"type": "stop_limit", "stop_price": 50}, "order_type_unsupported", "stop_limit", None, None),
        ({"type": "limit", "price": None}, "price_required", None, None, None),
        ({"type": "market"}, "price_not_allowed", "50", None, None),
        ({"type": "stop", "stop_price": 50}, "price_not_allowed", "50", None, None),
        ({"type": "stop", "price": None}, "stop_price_required", None, None, None),
        ({"stop_price": "49.50"}, "stop_price_not_allowed", "49.5", None, None),
        ({"quantity": 0}, "quantity_not_positive", "0", "0", None),
        ({"quantity": "0.00100001"}, "quantity_off_lot", "0.00100001", "0.001", None),
        ({"quantity": "1000.001"}, "quantity_too_large", "1000.001", "1000", None),
        ({"quantity": "9" * 18}, "quantity_too_large", "9" * 18, "1000", None),
        ({"price": "0.000"}, "price_not_positive", "0", "0", None),
        ({"price": "50.001"}, "price_off_tick", "50.001", "0.01", None),
        ({"type": "stop", "price": None, "stop_price": 0}, "stop_price_not_positive", "0", "0", None),
        ({"type": "stop", "price": None, "stop_price": "50.009"}, "stop_price_off_tick", "50.009", "0.01", None),
        ({"quantity": "0.001", "price": "0.01"}, "notional_too_small", "0.00001", "5", "USDT"),
        ({"type": "stop", "price": None, "stop_price": "4.99"}, "notional_too_small", "4.99", "5", "USDT"),
        ({"time_in_force": "gtd"}, "expire_at_required", None, None, None),
        ({"expire_at": "2099-01-01T01:00:00+01:00"}, "expire_at_not_allowed", "2099-01-01T00:00:00.000000Z", None, None),
        ({"time_in_force": "ioc", "expire_at": "2099-01-01T00:00:00Z"}, "expire_at_not_allowed", "2099-01-01T00:00:00.000000Z", None, None),
        (
            {"time_in_force": "gtd", "expire_at": "2023-11-14T22:13:20Z"},
            *("expire_at_in_past", "2023-11-14T22:13:20.000000Z", "2023-11-14T22:13:20.000000Z", None),
        ),
        (
            {"time_in_force": "gtd", "expire_at": "0001-01-01T00:00:00Z"},
            *("expire_at_in_past", "0001-01-01T00:00:00.000000Z", "2023-11-14T22:13:20.000000Z", None),
        ),
    ],
)
def test_what_cannot_trade_is_refused_by_name_and_number(
    changes: dict[str, Any], code: str, found: str | None, limit: str | None, unit: str | None
) -> None:
    refused = refusal(text(**changes))
    said = {"found": found, "limit": limit, "unit": unit}
    assert (refused.status, refused.code, refused.extra) == (422, code, {k: v for k, v in said.items() if v is not None})


def test_what_may_only_reduce_may_be_below_the_least_notional() -> None:
    small = {"quantity": "0.001", "price": "0.01"}
    assert refusal(text(**small)).code == "notional_too_small"
    assert read(text(**small, reduce_only=True)).reduce_only


WRONG: dict[str, Any] = {
    "status": "filled",
    "side": "hold",
    "quantity": "-1",
    "price": "1e99",
    "stop_price": [],
    "account": "",
    "client_order_id": "é",
    "expire_at": "soon",
    "symbol": "NOPE",
    "type": "stop_limit",
    "time_in_force": "gtd",
    "twice": ',"symbol":"BTCUSDT"',
    "key": "é",
}
"""Everything is: `twice` is what stands behind the body, `key` the Idempotency-Key."""
REPAIRS: list[tuple[str | None, dict[str, Any]]] = [
    ("/status", {"status": ...}),
    ("/side", {"side": "buy"}),
    ("/quantity", {"quantity": "0.0001"}),
    ("/price", {"price": "0.001"}),
    ("/stop_price", {"stop_price": "1"}),
    ("/symbol", {"twice": ""}),
    ("/account", {"account": "alice"}),
    ("/client_order_id", {"client_order_id": "a-1"}),
    (None, {"key": "k-1"}),
    ("/client_order_id", {"key": "a-1"}),
    ("/expire_at", {"expire_at": "2000-01-01T00:00:00Z"}),
    ("unknown_symbol", {"symbol": "BTCUSDT"}),
    ("order_type_unsupported", {"type": "limit"}),
    ("stop_price_not_allowed", {"stop_price": None}),
    ("quantity_off_lot", {"quantity": "0.001"}),
    ("price_off_tick", {"price": "0.01"}),
    ("notional_too_small", {"price": "50000"}),
    ("expire_at_in_past", {"expire_at": "2099-01-01T00:00:00Z"}),
]


def test_refusals_come_in_a_fixed_order() -> None:
    """An order with everything wrong is corrected step by step: form, then instrument, then terms."""
    order = WRONG
    for said, repair in REPAIRS:
        refused = refusal(_written(order), order["key"])
        assert (refused.extra.get("pointer") if refused.status == 400 else refused.code) == said
        order = {**order, **repair}
    assert read(_written(order), order["key"]).client_order_id == "a-1"


def _written(order: dict[str, Any]) -> bytes:
    fields = {name: value for name, value in order.items() if name not in ("twice", "key") and value is not ...}
    return f"{json.dumps(fields)[:-1]}{order['twice']}}}".encode()
