"""Whatever a client sends as an order is an order, or a refusal in Alpaca's words that names what is wrong."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apps.http.alpaca_words import AlpacaRefusal
from apps.oms.alpaca.catalogue import AssetBook
from apps.oms.alpaca.order_body import AlpacaOrderBody, OrderRequest, read_order, read_replacement
from apps.oms.alpaca.order_classes import leg_names, list_of
from domain.values import CLIENT_ORDER_ID, is_multiple
from tests.apps.submits import INSTRUMENTS
from tests.apps.test_alpaca_orders import LIMIT

ASSETS = AssetBook(INSTRUMENTS.values())
CLASSES = st.sampled_from(["bracket", "oco", "oto"])
FIELDS = (*AlpacaOrderBody.__struct_fields__, "unknown")
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=200) | st.lists(st.integers(), max_size=2)
REFUSALS = (40010001, 42210000)


def outcome(body: bytes) -> OrderRequest | AlpacaRefusal:
    try:
        return read_order(body, ASSETS, "alice")
    except AlpacaRefusal as refusal:
        return refusal


def survives(body: bytes) -> None:
    found = outcome(body)
    if isinstance(found, AlpacaRefusal):
        assert (found.status, found.code in REFUSALS) == (422, True)
        assert msgspec.json.decode(found.body())["message"] == found.message
        assert len(found.message) < 400
    else:
        assert found.terms.symbol in INSTRUMENTS
        assert CLIENT_ORDER_ID.fullmatch(found.terms.client_order_id)


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES))
@example({"client_order_id": "\ud800"})
def test_any_fields_are_an_order_or_a_refusal(fields: dict[str, Any]) -> None:
    survives(json.dumps({**LIMIT, **fields}).encode())


PRICES = st.sampled_from([60, "60.5", 40, 0, -1, "x", None, 1e-5])
EXITS = st.dictionaries(st.sampled_from(["limit_price", "stop_price", "unknown"]), PRICES)


@given(CLASSES, EXITS | VALUES, EXITS | VALUES, st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=2))
def test_any_exits_are_a_list_of_orders_or_a_refusal(order_class: str, gain: Any, loss: Any, fields: dict[str, Any]) -> None:
    body = json.dumps({**LIMIT, "limit_price": None, "order_class": order_class, "take_profit": gain, "stop_loss": loss, **fields}).encode()
    survives(body)
    found = outcome(body)
    if isinstance(found, OrderRequest) and found.exits is not None:
        _, legs = list_of(found.terms, found.exits)
        assert len({terms.order_id for terms in legs}) == len(legs) == len(leg_names(found.exits))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(body: bytes) -> None:
    survives(body)
    with pytest.raises(AlpacaRefusal):
        read_replacement(body, ASSETS.of("BTCUSDT"), "gtc", None)


@given(st.integers(min_value=1, max_value=10**9), st.sampled_from(["qty", "limit_price"]))
def test_what_binary_arithmetic_makes_of_a_multiple_of_the_step_is_that_multiple(count: int, field: str) -> None:
    asset = ASSETS.of("BTCUSDT")
    step = asset.lot if field == "qty" else asset.tick
    assert step is not None
    terms = read_order(json.dumps({**LIMIT, field: count * float(step)}).encode(), ASSETS, "alice").terms
    found = terms.quantity if field == "qty" else terms.price
    assert found == count * step
    assert is_multiple(found, step)
