"""`POST /orders/{id}/settle`: what may be said of an order in doubt, and what is malformed before any order is looked at."""

from decimal import Decimal

import pytest

from apps.http.app import Refusal
from apps.oms.settle import read_settle
from domain.order.commands import Outcome

WORD = '"who":"ann","reason":"asked the desk"'


def test_a_trade_is_read_exactly() -> None:
    said = read_settle("o1", f'{{"outcome":"filled",{WORD},"quantity":0.100000000001,"price":"45000","exec_id":"X"}}'.encode())
    assert (said.outcome, said.quantity, said.price, said.exec_id) == (Outcome.FILLED, Decimal("0.100000000001"), Decimal(45000), "X")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        f'{{"outcome":"lost",{WORD}}}',
        '{"outcome":"cancelled","who":"ann"}',
        '{"outcome":"cancelled","who":" ","reason":"x"}',
        '{"outcome":"cancelled","who":"ann","reason":"a\\nb"}',
        f'{{"outcome":"cancelled","who":"ann","reason":"{"x" * 201}"}}',
        f'{{"outcome":"cancelled",{WORD},"price":1}}',
        f'{{"outcome":"filled",{WORD}}}',
        f'{{"outcome":"filled",{WORD},"quantity":1}}',
        f'{{"outcome":"filled",{WORD},"quantity":0,"price":1}}',
        f'{{"outcome":"filled",{WORD},"quantity":1e400,"price":1}}',
        f'{{"outcome":"filled",{WORD},"quantity":NaN,"price":1}}',
        f'{{"outcome":"filled",{WORD},"quantity":-1,"price":1}}',
        f'{{"outcome":"cancelled",{WORD},"route_id":"a.b"}}',
        f'{{"outcome":"cancelled",{WORD},"more":1}}',
    ],
)
def test_what_is_malformed_is_refused(body: str) -> None:
    # FAILURES 55, 57
    with pytest.raises(Refusal) as refused:
        read_settle("o1", body.encode())
    assert (refused.value.status, refused.value.code) == (400, "malformed")


@pytest.mark.parametrize("name", ["outcome", "who", "reason", "route_id", "quantity"])
def test_a_key_that_comes_twice_is_malformed(name: str) -> None:
    fields = {"outcome": '"filled"', "who": '"a:b"', "reason": '"it: was"', "route_id": '"r"', "quantity": "1", "price": "2"}
    once = "{" + ",".join(f'"{key}":{value}' for key, value in fields.items())
    assert read_settle("o1", f"{once}}}".encode()).who == "a:b"
    with pytest.raises(Refusal) as refused:
        read_settle("o1", f'{once},"{name}":{fields[name]}}}'.encode())
    assert (refused.value.code, refused.value.extra["pointer"]) == ("malformed", f"/{name}")
