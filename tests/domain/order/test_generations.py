"""Generations of terms: what each replace asked for, under which name, and what became of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.order.generations import GENERATIONS_MAX, generation_id, generations_named
from domain.order.index import OrderFilter, is_called, names_of
from domain.order.order import Order, evolve
from domain.values import order_id_of, plain
from tests.golden.scenes import Day


def after(*lines: str) -> Order:
    day, order = Day(), None
    for line in lines:
        for event in day.play(f"a {line}"):
            order = evolve(order, event)
    assert order is not None
    return order


def told(order: Order) -> list[str]:
    """Each generation as `number name quantity @price standing filled`."""
    lines = []
    for known in order.generations:
        terms = order.terms_of(known.number)
        assert terms is not None
        price = "" if terms.price is None else f" @{plain(terms.price)}"
        lines.append(
            f"{terms.number} {terms.client_order_id or '-'} {plain(terms.quantity)}{price} {order.standing_of(known.number)} "
            f"{plain(terms.cum_quantity)}"
        )
    return lines


AT_VENUE = ("submit buy 10 @50", "route PAPER_A", "ack V1")


def test_an_order_that_was_never_replaced_has_one_generation_and_keeps_none() -> None:
    order = after(*AT_VENUE, "fill F1 3 @50")
    assert order.generations == ()
    assert (order.standing_of(0), order.standing_of(1), order.terms_of(1)) == ("current", None, None)
    terms = order.terms_of(0)
    assert terms is not None
    assert (terms.client_order_id, plain(terms.quantity), plain(terms.cum_quantity)) == ("a", "10", "3")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(("submit buy 10 @50", "replace 12 @51 named=b"), ["0 a 10 @50 replaced 0", "1 b 12 @51 current 0"], id="in place"),
        pytest.param((*AT_VENUE, "replace 12 named=b"), ["0 a 10 @50 current 0", "1 b 12 @50 pending 0"], id="asked"),
        pytest.param(
            (*AT_VENUE, "fill F1 3 @50", "replace 12 named=b", "fill F2 1 @50", "replaced 12 @50", "fill F3 2 @50"),
            ["0 a 10 @50 replaced 4", "1 b 12 @50 current 6"],
            id="accepted: the older one shows what had traded until then",
        ),
        pytest.param(
            (*AT_VENUE, "replace 12 named=b", "replace_rejected too_late", "replace 9 named=c", "replaced 9 @50"),
            ["0 a 10 @50 replaced 0", "1 b 12 @50 refused 0", "2 c 9 @50 current 0"],
            id="refused by the venue, then another",
        ),
        pytest.param(
            (*AT_VENUE, "replace 12 named=b", "fill F1 10 @50"),
            ["0 a 10 @50 current 10", "1 b 12 @50 unanswered 0"],
            id="filled before the venue answered",
        ),
        pytest.param((*AT_VENUE, "replace 900 denied order_size_limit named=b"), [], id="what risk refuses never was one"),
        pytest.param(
            ("submit buy 10 @50", "route PAPER_A", "replace 12 named=b", "reject halted"),
            ["0 a 10 @50 replaced 0", "1 b 12 @50 current 0"],
            id="refused before the venue had it: the queue takes the new terms over",
        ),
        pytest.param(
            (*AT_VENUE, "replace 12 named=b", "replaced 8 @50 replace_id=its-own"),
            ["0 a 8 @50 current 0", "1 b 12 @50 refused 0"],
            id="the venue changes the order unasked",
        ),
        pytest.param(
            (*AT_VENUE, "replace 12 named=b", "replaced 11 @49.5"),
            ["0 a 10 @50 replaced 0", "1 b 11 @49.5 current 0"],
            id="the terms that the venue reports are the ones",
        ),
    ],
)
def test_each_generation_shows_its_own_terms_and_what_became_of_it(lines: tuple[str, ...], expected: list[str]) -> None:
    assert told(after(*lines)) == expected


def test_a_late_answer_makes_a_generation_the_current_one() -> None:
    """The venue changed the order by itself first, so the pending replace counted as refused until its own answer came."""
    order_id = order_id_of("bob", "a")
    order = after(*AT_VENUE, "replace 12 named=b", "replaced 8 @50 replace_id=its-own", f"replaced 12 @50 replace_id={order_id}-r1")
    assert told(order) == ["0 a 8 @50 replaced 0", "1 b 12 @50 current 0"]


def test_a_name_that_a_replace_has_changes_nothing_the_second_time() -> None:
    order = after(*AT_VENUE, "replace 12 named=b", "replaced 12 @50", "replace 9 named=c", "replaced 9 @50", "replace 12 named=b")
    assert told(order) == ["0 a 10 @50 replaced 0", "1 b 12 @50 replaced 0", "2 c 9 @50 current 0"]


def test_beyond_the_bound_terms_still_change_but_have_no_name_and_no_generation() -> None:
    order = after("submit buy 10 @50", *(f"replace {11 + n}" for n in range(GENERATIONS_MAX + 3)), "replace 5 named=z")
    assert (order.generation, len(order.generations), order.replaces) == (GENERATIONS_MAX, GENERATIONS_MAX + 1, GENERATIONS_MAX + 3)
    assert plain(order.quantity) == "77"
    assert names_of(order) == []


def test_an_order_is_found_by_each_of_its_names() -> None:
    order = after(*AT_VENUE, "replace 12 named=b", "replace_rejected too_late")
    assert names_of(order) == [("bob", "b")]
    assert [is_called(order, name) for name in ("a", "b", "c")] == [True, True, False]
    assert OrderFilter(account="bob", client_order_id="b").takes(order)
    assert not OrderFilter(account="alice", client_order_id="b").takes(order)


ORDER_IDS = st.text("0123456789abcdef", min_size=32, max_size=32)


@given(ORDER_IDS, st.integers(0, GENERATIONS_MAX))
def test_an_order_is_found_again_from_the_id_of_any_generation(order_id: str, number: int) -> None:
    id_ = generation_id(order_id, number)
    assert len(id_) == 32
    assert id_[:28] == order_id[:28]
    assert (order_id, number) in set(generations_named(id_))
    assert next(generations_named(order_id)) == (order_id, 0)


@given(ORDER_IDS)
def test_no_two_generations_have_one_id(order_id: str) -> None:
    assert len({generation_id(order_id, number) for number in range(GENERATIONS_MAX + 1)}) == GENERATIONS_MAX + 1
