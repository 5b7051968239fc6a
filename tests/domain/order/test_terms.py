"""A field of an order is named once in each of three structs, and carried between them by name."""

from decimal import Decimal

import msgspec

from domain.order.commands import Terms
from domain.order.events import OrderSubmitted
from domain.order.order import Asked, Order, created
from domain.order.terms import FIELDS, recorded, replacement, same_terms
from domain.order.trail import Trail
from tests import given


def test_every_field_of_the_terms_is_recorded_and_kept_under_its_name() -> None:
    assert set(FIELDS) <= set(OrderSubmitted.__struct_fields__) & set(Order.__struct_fields__)
    assert set(Terms.__struct_fields__) - set(FIELDS) == {"order_id", "replaces", "notional", "quote"}
    assert {"notional", "quote"} <= set(OrderSubmitted.__struct_fields__)


def test_what_is_optional_in_the_terms_is_optional_in_the_event() -> None:
    """So that journals from before the field was there can be read."""
    optional = {field.name for field in msgspec.structs.fields(Terms) if not field.required}
    required = {field.name for field in msgspec.structs.fields(OrderSubmitted) if field.required}
    assert not optional & required


def test_terms_become_an_order_and_are_distinguished_from_others_afterwards() -> None:
    terms = given.terms("10", "50")
    order = created(recorded(terms, given.NOW, "PKALICE2222222222222"))
    assert {name: getattr(order, name) for name in FIELDS} == {name: getattr(terms, name) for name in FIELDS}
    assert same_terms(order, terms)
    wanted = Asked(Decimal(4), Decimal(51), None)
    asked = replacement(order, wanted, "A-r1")
    assert (asked.order_id, asked.replaces, asked.quantity, asked.price) == ("A-r1", order.order_id, Decimal(4), Decimal(51))
    assert (asked.symbol, asked.side, asked.time_in_force) == (order.symbol, order.side, order.time_in_force)


def test_a_trailing_stop_that_has_triggered_is_checked_as_what_it_is_by_then() -> None:
    trail = Trail(amount=Decimal(5), limit_offset=Decimal(1))
    terms = msgspec.structs.replace(given.terms("10", None, side="sell", order_type="trailing_stop"), trail=trail)
    order = created(recorded(terms, given.NOW, ""))
    asleep = replacement(order, Asked(Decimal(4), None, None, trail), "A-r1")
    assert (asleep.order_type, asleep.trail) == ("trailing_stop", trail)
    order.triggered, order.price = True, Decimal(43)
    limit = replacement(order, Asked(Decimal(4), Decimal(44), Decimal(45), trail), "A-r1")
    assert (str(limit.order_type), limit.price) == ("limit", Decimal(44))
    assert (limit.stop_price, limit.trail) == (None, None)
    order.price = None
    for price in (None, Decimal(44)):
        market = replacement(order, Asked(Decimal(4), price, Decimal(45), trail), "A-r1")
        assert (str(market.order_type), market.price) == ("market", price), "no replace makes it a limit order"
