"""`POST /orders/{id}/settle`: what may be said of an order in doubt, and what is malformed before any order is looked at."""

from decimal import Decimal
from typing import Final

import pytest

from apps.http.app import Refusal
from apps.http.caller import LOCAL_CALLER
from apps.oms.settle import read_settle
from domain.order.commands import Outcome
from tests.apps.callers import ERIN

WORD = '"who":"ann","reason":"asked the desk"'


def test_a_trade_is_read_exactly() -> None:
    said = read_settle(
        "o1", f'{{"outcome":"filled",{WORD},"quantity":0.100000000001,"price":"45000","exec_id":"X"}}'.encode(), LOCAL_CALLER
    )
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
        read_settle("o1", body.encode(), LOCAL_CALLER)
    assert (refused.value.status, refused.value.code) == (400, "malformed")


@pytest.mark.parametrize("name", ["outcome", "who", "reason", "route_id", "quantity"])
def test_a_key_that_comes_twice_is_malformed(name: str) -> None:
    fields = {"outcome": '"filled"', "who": '"a:b"', "reason": '"it: was"', "route_id": '"r"', "quantity": "1", "price": "2"}
    once = "{" + ",".join(f'"{key}":{value}' for key, value in fields.items())
    assert read_settle("o1", f"{once}}}".encode(), LOCAL_CALLER).who == "a:b"
    with pytest.raises(Refusal) as refused:
        read_settle("o1", f'{once},"{name}":{fields[name]}}}'.encode(), LOCAL_CALLER)
    assert (refused.value.code, refused.value.extra["pointer"]) == ("malformed", f"/{name}")


ERINS: Final = [("", 200), ('"who":null,', 200), ('"who":"erin",', 200), ('"who":" ERIN",', 200), ('"who":"ann",', 403), ('"who":"",', 403)]


@pytest.mark.parametrize(("who", "status"), ERINS)
def test_with_a_key_its_owner_signs(who: str, status: int) -> None:
    body = f'{{"outcome":"cancelled",{who}"reason":"asked the desk"}}'.encode()
    if status == 200:
        command = read_settle("o1", body, ERIN)
        assert (command.by, command.who) == (ERIN.key_id, "erin")
        return
    with pytest.raises(Refusal) as refused:
        read_settle("o1", body, ERIN)
    assert (refused.value.status, refused.value.code, refused.value.extra["pointer"]) == (403, "who_not_yours", "/who")


def test_without_a_key_a_name_must_be_given() -> None:
    command = read_settle("o1", f'{{"outcome":"cancelled",{WORD}}}'.encode(), LOCAL_CALLER)
    assert (command.by, command.who) == ("local", "ann")
    with pytest.raises(Refusal) as refused:
        read_settle("o1", b'{"outcome":"cancelled","reason":"asked the desk"}', LOCAL_CALLER)
    assert (refused.value.status, refused.value.extra["pointer"]) == (400, "/who")
