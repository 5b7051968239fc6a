"""Bodies for `POST /orders`, good ones and others, and what the parser makes of them."""

import json
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
import pytest

from apps.http.app import Refusal
from apps.oms.submit import untradable
from apps.oms.submit_body import TermsReader
from domain.access.keys import KeyRing
from domain.access.scopes import EVERY_ACCOUNT
from domain.instruments import Instrument
from domain.market.listings import Listings, currency_of
from domain.order.commands import Terms
from domain.order.events import Candidate
from domain.values import OrderType, Side
from tests.given import NOW

GOOD: dict[str, Any] = {"account": "alice", "client_order_id": "a-1", "symbol": "BTCUSDT", "side": "buy", "quantity": 1, "price": 50}


def instrument(symbol: str, tick: str, lot: str) -> Instrument:
    return Instrument(
        symbol=symbol, tick=Decimal(tick), lot=Decimal(lot), quantity_max=Decimal(1000), notional_min=Decimal(5), currency="USDT"
    )


ALL_FIELDS = (*GOOD, "stop_price", "type", "time_in_force", "expire_at", "priority", "post_only", "reduce_only")

INSTRUMENTS = {
    "BTCUSDT": instrument("BTCUSDT", "0.01", "0.001"),
    "FINE": instrument("FINE", "0.000000000001", "0.000000000001"),
    "CL": msgspec.structs.replace(instrument("CL", "0.01", "1"), negative_prices=True),
}
CURRENCY = partial(currency_of, INSTRUMENTS, Listings())
QUOTE = Candidate("PAPER_A", Decimal("49.9"), Decimal("50.1"), Decimal(3), quote_seq=7)


def touching(symbol: str, side: Side) -> Candidate | None:
    """Only BTCUSDT is quoted."""
    return QUOTE if symbol == "BTCUSDT" else None


TYPES = frozenset(OrderType) - {OrderType.STOP_LIMIT}
READER = TermsReader(INSTRUMENTS, "main", TYPES, KeyRing().may_trade, touching, frozenset({"BTCUSDT", "CL"}))


def text(**changes: Any) -> bytes:
    """The good order with changes; `...` leaves a field out."""
    return json.dumps({name: value for name, value in {**GOOD, **changes}.items() if value is not ...}).encode()


def with_raw(field: str, raw: str) -> bytes:
    """The good order in which a field's value is exactly this text."""
    return json.dumps({**GOOD, field: "@"}).replace('"@"', raw).encode("utf-8", "surrogatepass")


def read(body: bytes, key: str | None = None) -> Terms:
    """What the door makes of it when the id is new: terms, or the refusal."""
    terms = READER.read(body, key, EVERY_ACCOUNT)
    if denial := READER.denial(terms, NOW):
        raise untradable(denial)
    return terms


def refusal(body: bytes, key: str | None = None) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(body, key)
    return caught.value


def malformed_at(body: bytes, key: str | None = None) -> str | None:
    """Where a body is malformed: the pointer, None when there is none to give."""
    found = refusal(body, key)
    assert (found.status, found.code) == (400, "malformed"), found.detail
    problem = json.loads(found.body())
    assert problem["detail"]
    pointer: str | None = problem.get("pointer")
    return pointer
