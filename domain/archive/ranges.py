"""Ranges of sequences, the names of the objects that hold them, and which objects a reader takes."""

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

RANGE: Final = 1000
"""The sequences of a full range. An archive keeps the number with which it began."""

_NAME: Final = re.compile(r"n=([0-9]{9,18})-([0-9]{9,18})", re.ASCII)


class Span(NamedTuple):
    """Sequences of one stream, both ends included."""

    first: int
    last: int

    @property
    def name(self) -> str:
        return f"n={self.first:09d}-{self.last:09d}"


def span_of(name: str) -> Span | None:
    """Return the range in an object's name, without its folder; None if the name has none."""
    found = _NAME.match(name)
    if found is None:
        return None
    first, last = int(found[1]), int(found[2])
    return Span(first, last) if 1 <= first <= last else None


def range_of(seq: int, size: int) -> Span:
    """Return the full range that contains a sequence. Boundaries are multiples of `size`; the first range begins at 1."""
    start = seq // size * size
    return Span(max(start, 1), start + size - 1)


def parts(span: Span, size: int) -> Iterator[Span]:
    """Cut a span at the boundaries of full ranges."""
    first = span.first
    while first <= span.last:
        last = min(range_of(first, size).last, span.last)
        yield Span(first, last)
        first = last + 1


def whole(spans: Iterable[Span]) -> list[Span]:
    """Return the objects that a reader takes, from sequence 1 up to the first hole.

    Of several objects that hold the next sequence it is the one that reaches farthest, then the longest.
    """
    taken: list[Span] = []
    best, reached = Span(0, 0), 0
    for span in sorted(spans):
        if span.first > reached + 1 and best.last > reached:
            taken.append(best)
            reached = best.last
        if span.first > reached + 1:
            break
        best = max(best, span, key=lambda each: (each.last, -each.first))
    if best.last > reached:
        taken.append(best)
    return taken
