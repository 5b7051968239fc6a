"""The body of `POST /orders`: what is not one JSON object of known fields is malformed, and says where."""

import json
from decimal import Decimal

import pytest

from domain.values import OrderType, Side, TimeInForce, order_id_of
from tests.apps.submits import ALL_FIELDS, GOOD, malformed_at, read, refusal, text, with_raw


def test_an_order_is_read_with_its_defaults() -> None:
    limit = read(b'{"symbol":"BTCUSDT","side":"sell","quantity":"0.100","price":45000}')
    assert (limit.account, limit.order_type, limit.time_in_force, limit.priority) == ("main", OrderType.LIMIT, TimeInForce.GTC, 0)
    assert (limit.side, limit.quantity, limit.price, limit.stop_price) == (Side.SELL, Decimal("0.1"), Decimal(45000), None)
    assert limit.client_order_id.startswith("auto-")
    assert read(text(price=...)).order_type is OrderType.MARKET
    nulls = dict.fromkeys(("account", "client_order_id", "type", "price", "stop_price", "time_in_force", "expire_at", "priority"))
    assert read(text(**nulls)).order_type is OrderType.MARKET


def test_two_orders_without_an_id_are_two_orders() -> None:
    body = text(client_order_id=...)
    assert read(body).order_id != read(body).order_id
    assert read(text()).order_id == read(text()).order_id == order_id_of("alice", "a-1")


@pytest.mark.parametrize("field", ALL_FIELDS)
@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_a_key_that_occurs_twice_is_malformed(field: str, escaped: bool, first: bool) -> None:  # FAILURES 57
    """Also as null, also written with an escape, before or behind the other one."""
    values = {
        **GOOD,
        "stop_price": None,
        "type": None,
        "time_in_force": None,
        "expire_at": None,
        "priority": 1,
        "post_only": True,
        "reduce_only": None,
    }
    key = f"\\u{ord(field[0]):04x}{field[1:]}" if escaped else field
    again = f'"{key}": {json.dumps(values[field])}'
    inside = json.dumps(values)[1:-1]
    assert malformed_at(("{" + (f"{again}, {inside}" if first else f"{inside}, {again}") + "}").encode()) == f"/{field}"


def test_text_that_looks_like_a_key_is_none() -> None:
    """Colons and quotes inside of values do not confuse the count of keys."""
    assert malformed_at(text(account='x": "y')) == "/account"
    assert malformed_at(text(account='"price":')) == "/account"
    assert refusal(text(symbol='","price":1,"price":2,"')).code == "unknown_symbol"
    assert refusal(text(symbol="\\")).code == "unknown_symbol"
    assert refusal(text(symbol='\\"')).code == "unknown_symbol"


STRANGERS = [
    *("status", "filled_qty", "cum_quantity", "leaves_quantity", "order_id", "seq", "version", "approved", "risk", "source", "shard", "at"),
    *("Symbol", "SYMBOL", " symbol", "symbol ", "symbol\x00", "ѕymbol", "symbol\u200b", "", "__proto__", "constructor", "a/b~c", "`", "$"),
    *("x - at `$.side`", "x field `y`", "😀", "\u202e", "k" * 60_000),
]


@pytest.mark.parametrize("name", STRANGERS, ids=ascii)
def test_a_field_that_is_not_ours_is_malformed(name: str) -> None:  # FAILURES 57, 69
    pointer = malformed_at(text(**{name: 1}))
    assert pointer == "/" + name[:64].replace("~", "~0").replace("/", "~1")


@pytest.mark.parametrize("field", ["symbol", "side", "quantity"])
def test_what_is_required_is_asked_for(field: str) -> None:
    assert malformed_at(text(**{field: ...})) == f"/{field}"
    assert malformed_at(text(**{field: None})) == f"/{field}"


@pytest.mark.parametrize(
    "field", ["symbol", "side", "account", "client_order_id", "type", "time_in_force", "expire_at", "priority", "quantity", "price"]
)
def test_a_value_of_another_type_is_malformed(field: str) -> None:
    for value in (True, False, 1.5, [], ["BTCUSDT"], {}, {"a": 1}, {"$ne": None}, *([] if field in ("quantity", "price") else [10**30])):
        if isinstance(value, float) and field in ("quantity", "price"):
            continue
        assert malformed_at(text(**{field: value})) == f"/{field}", value


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b" ",
            b"\n",
            b"null",
            b"true",
            b"[]",
            b"5",
            b'"text"',
            b"{",
            b"}",
            b"{}}",
            b"{]",
            b"nothing",
            b"<order/>",
            b"symbol=BTCUSDT",
        ),
        *(b"\xef\xbb\xbf" + text(), text().decode().encode("utf-16"), text().decode().encode("utf-32"), b"\x00" + text(), text() + b"\x00"),
        *(
            text()[:-1],
            text()[1:],
            text() + b"x",
            text() + text(),
            text() + b"\n" + text(),
            b"[" + text() + b"]",
            text().replace(b":", b"="),
        ),
        *(text().replace(b'"', b"'"), text()[:-1] + b",}", b"{," + text()[1:], text()[:-1] + b"/* */}", b"// x\n" + text()),
        *(text(account="@").replace(b"@", each) for each in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\nb", b"\x00")),
        *(text(account="@").replace(b"@", each) for each in (b"\\ud800", b"\\udc00", b"\\ud800\\u0041", b"\\x41", b"\\u12", b"\\")),
        text().replace(b"symbol", b"symb\xffol"),
        text().replace(b"symbol", b"symb\\ud800ol"),
    ],
    ids=lambda body: ascii(body[:40]),
)
def test_what_is_not_a_json_object_is_malformed(body: bytes) -> None:  # FAILURES 57, 58
    malformed_at(body)


@pytest.mark.parametrize("depth", [500, 900, 1100, 30_000, 100_000])
@pytest.mark.parametrize("field", [*ALL_FIELDS, "status"])
def test_nesting_without_end_is_refused_and_no_process_dies(depth: int, field: str) -> None:  # FAILURES 57
    for opened, closed in (("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")):
        malformed_at(with_raw(field, opened * depth + "1" + closed * depth))
        malformed_at(with_raw(field, opened * depth))
        malformed_at((opened * depth).encode())
