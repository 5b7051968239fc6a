"""Our book against an obvious one: a plain dict, sorted on demand."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.market.records import Level
from domain.market.venues.book_side import BookSide

PRICES = st.integers(1, 30).map(lambda ticks: Decimal(ticks).scaleb(-1))
SIZES = st.integers(0, 3).map(Decimal)
LEVELS = st.lists(st.tuples(PRICES, SIZES), max_size=8)


def best_first(levels: dict[Decimal, Decimal], *, asks: bool) -> list[Level]:
    return sorted(levels.items(), reverse=not asks)


def put(levels: dict[Decimal, Decimal], level: Level) -> None:
    levels[level[0]] = level[1]
    if not level[1]:
        del levels[level[0]]


@settings(max_examples=150, deadline=None)
@given(st.booleans(), LEVELS, st.lists(LEVELS, max_size=12), st.integers(1, 12))
def test_any_updates_give_the_same_levels_as_a_plain_dict(asks: bool, whole: list[Level], updates: list[list[Level]], depth: int) -> None:
    side, obvious = BookSide(asks=asks), dict[Decimal, Decimal]()
    side.replace(whole)
    for level in whole:
        put(obvious, level)
    read = dict(obvious)
    for update in (*updates, []):
        before = dict(obvious)
        changed = False
        for level in update:
            changed |= side.put(level)
            put(obvious, level)
        assert changed or obvious == before
        gone = side.truncate(depth)
        kept = best_first(obvious, asks=asks)[:depth]
        assert sorted(price for price, _ in gone) == sorted(obvious.keys() - {price for price, _ in kept})
        obvious = dict(kept)
        assert len(side) == len(kept)
        assert side.best() == (kept[0] if kept else None)
        for shown in (0, 1, 3, depth, 50):
            assert side.levels(shown) == kept[:shown]
        for level in side.ordered([*update, *gone]):
            put(read, level)
        assert read == obvious  # a reader who folds the deltas has the same side


def test_a_delta_is_given_from_the_best_price_and_keeps_the_order_of_equal_prices() -> None:
    one, two, three = (Decimal(1), Decimal(5)), (Decimal(2), Decimal(6)), (Decimal(2), Decimal(0))
    assert BookSide(asks=True).ordered([two, one, three]) == [one, two, three]
    assert BookSide(asks=False).ordered([two, one, three]) == [two, three, one]


def test_a_price_written_with_other_zeros_is_the_same_level() -> None:
    side = BookSide(asks=False)
    side.put((Decimal("1.0"), Decimal("2")))
    assert not side.put((Decimal("1.00"), Decimal("2.0")))
    assert side.put((Decimal("1"), Decimal("3")))
    assert side.levels(5) == [(Decimal(1), Decimal(3))]
    assert side.put((Decimal("1.000"), Decimal("0.0")))
    assert side.best() is None
    assert not side.put((Decimal("1.000"), Decimal("0.0")))
