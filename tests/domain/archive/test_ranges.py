"""Ranges and their names, and which objects a reader takes."""

import random
from itertools import pairwise

import pytest

from domain.archive.ranges import Span, parts, range_of, span_of, whole


def test_a_name_says_its_range() -> None:
    assert Span(1000, 1999).name == "n=000001000-000001999"
    assert span_of("n=000001000-000001999.parquet") == Span(1000, 1999)
    assert span_of(f"{Span(1_000_000_000, 1_000_000_999).name}.jsonl.zst") == Span(1_000_000_000, 1_000_000_999)


@pytest.mark.parametrize("name", ["", "n=1-2", "n=000000002-000000001", "n=000000000-000000001", "m=000000001-000000002", "n=000000001"])
def test_another_name_has_no_range(name: str) -> None:
    assert span_of(name) is None


def test_boundaries_are_multiples_and_the_first_range_begins_at_one() -> None:
    assert [range_of(seq, 1000) for seq in (1, 999, 1000, 1999, 2000)] == [
        Span(1, 999),
        Span(1, 999),
        Span(1000, 1999),
        Span(1000, 1999),
        Span(2000, 2999),
    ]
    assert list(parts(Span(7, 25), 10)) == [Span(7, 9), Span(10, 19), Span(20, 25)]
    assert list(parts(Span(10, 19), 10)) == [Span(10, 19)]


@pytest.mark.parametrize(
    ("spans", "taken"),
    [
        ([], []),
        ([Span(2, 9)], []),
        ([Span(1, 9), Span(10, 12), Span(13, 19)], [Span(1, 9), Span(10, 12), Span(13, 19)]),
        ([Span(1, 9), Span(10, 12), Span(13, 19), Span(10, 19)], [Span(1, 9), Span(10, 19)]),
        ([Span(1, 4), Span(5, 6), Span(3, 9), Span(10, 11)], [Span(1, 4), Span(3, 9), Span(10, 11)]),
        ([Span(1, 4), Span(1, 6), Span(5, 9)], [Span(1, 6), Span(5, 9)]),
        ([Span(1, 9), Span(20, 29)], [Span(1, 9)]),
    ],
)
def test_a_reader_takes_the_longest_objects_up_to_the_first_hole(spans: list[Span], taken: list[Span]) -> None:
    assert whole(spans) == taken


def test_what_is_taken_holds_every_sequence_that_any_order_of_objects_holds() -> None:
    for seed in range(300):
        draw = random.Random(seed)
        spans = [Span(first, first + draw.randrange(6)) for first in (draw.randrange(1, 30) for _ in range(draw.randrange(1, 25)))]
        held, reached = {seq for span in spans for seq in range(span.first, span.last + 1)}, 0
        while reached + 1 in held:
            reached += 1
        taken = whole(spans)
        assert (taken[-1].last if taken else 0) == reached, spans
        assert all(after.first <= before.last + 1 and after.last > before.last for before, after in pairwise(taken))
