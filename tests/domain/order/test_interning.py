"""What orders share changes nothing that can be read of them."""

from copy import copy
from decimal import Decimal

from hypothesis import given

from adapters.codec import decoder, encode
from domain.order.index import Orders, note
from domain.order.interning import Shared
from domain.order.order import Order
from tests.bench.crowd import crowd
from tests.domain.order.histories import Commits, histories

_ORDER = decoder(Order)


def stored(commits: Commits) -> list[bytes]:
    """Every order that these commits make, as it is stored."""
    orders = Orders()
    for seq, events in enumerate(commits, 1):
        for event in events:
            if (order := orders.apply(event)) is not None:
                note(order, seq)
    return [encode(order) for order in orders.by_id.values()]


@given(histories())
def test_an_order_stays_what_it_was_to_the_last_digit(commits: Commits) -> None:
    shared = Shared()
    for body in stored(commits):
        assert encode(shared.order(_ORDER.decode(body))) == body


def test_equal_values_are_kept_once() -> None:
    shared = Shared()
    one, other = (shared.order(_ORDER.decode(body)) for body in stored(list(crowd(101)))[::100])
    assert (one.account, one.quantity, one.price) != (other.account, other.quantity, other.price)
    same = shared.order(_ORDER.decode(encode(one)))
    assert same.account is one.account
    assert same.quantity is one.quantity
    assert same.routes[0].quantity is one.quantity
    assert same.seqs[0] is one.seqs[0]


def test_equal_numbers_of_other_digits_stay_apart() -> None:
    shared = Shared()
    (body,) = stored(list(crowd(1)))
    one, other = _ORDER.decode(body), _ORDER.decode(body)
    one.quantity, other.quantity = Decimal("1.0"), Decimal("1.00")
    assert str(shared.order(one).quantity) == "1.0"
    assert str(shared.order(other).quantity) == "1.00"


def test_beyond_the_bound_values_are_kept_as_they_are() -> None:
    shared = Shared(values_max=1)
    order = _ORDER.decode(stored(list(crowd(1)))[0])
    assert shared.order(copy(order)) == order
