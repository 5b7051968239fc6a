"""The terms of an order as a counterparty would read them in FIX 4.4: CONTINGENT.md 6."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from domain.order.fix import ORD_TYPES, PEGS, TIMES_IN_FORCE, terms_tags
from domain.order.terms import recorded
from domain.order.trail import Trail, TrailTrigger
from domain.values import OrderType, Side, TimeInForce
from tests.given import NOW, terms

D = Decimal


@pytest.mark.parametrize(
    ("changed", "tags"),
    [
        ({}, {"40": "2", "59": "1"}),
        ({"order_type": OrderType.MARKET, "price": None, "time_in_force": TimeInForce.OPG}, {"40": "1", "59": "2"}),
        ({"time_in_force": TimeInForce.CLS}, {"40": "2", "59": "7"}),
        ({"order_type": OrderType.MARKET, "price": None, "notional": D(250)}, {"40": "1", "59": "1", "152": D(250)}),
        ({"display_quantity": D(2)}, {"40": "2", "59": "1", "111": D(2)}),
        (
            {"order_type": OrderType.TRAILING_STOP, "price": None, "side": Side.SELL, "trail": Trail(amount=D(5))},
            {"40": "P", "59": "1", "18": "a", "211": D(-5), "836": "0"},
        ),
        (
            {"order_type": OrderType.TRAILING_STOP, "price": None, "trail": Trail(percent=D("2.5"), trigger=TrailTrigger.MID)},
            {"40": "P", "59": "1", "18": "a M", "211": D(250), "836": "1"},
        ),
    ],
)
def test_the_terms_of_an_order_have_their_tags(changed: dict[str, Any], tags: dict[str, Any]) -> None:
    assert terms_tags(recorded(msgspec.structs.replace(terms(), **changed), NOW, "")) == tags


def test_every_type_and_time_in_force_has_its_word() -> None:
    assert (set(ORD_TYPES), set(TIMES_IN_FORCE), set(PEGS)) == (set(OrderType), set(TimeInForce), set(TrailTrigger))
