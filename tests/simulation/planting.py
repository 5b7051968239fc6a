"""How a bug is planted for a test, found, and taken out again."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from tests.simulation.history import Outcome, simulate

CATCH_WITHIN: Final = 250
"""Seeds that a bug may take to be caught. docs/verification.md has how many each takes."""

Patch = tuple[Any, str, Any]
Plant = Callable[[], list[Patch]]

Plants = dict[str, tuple[Plant, tuple[str, ...]]]

PLANTS: Plants = {}
"""By what the bug is, in words: how it is planted, and the only kinds of trouble of its seeds (none: as drawn, like every other run)."""


def plant(words: str, *only: str, among: Plants = PLANTS) -> Callable[[Plant], Plant]:
    def add(make: Plant) -> Plant:
        among[words] = make, only
        return make

    return add


@contextlib.contextmanager
def planted(words: str, among: Plants = PLANTS) -> Iterator[None]:
    """The bug is there for as long as this lasts, and nowhere else."""
    patches = among[words][0]()
    before = [(where, name, vars(where)[name]) for where, name, _ in patches]
    try:
        for where, name, bad in patches:
            setattr(where, name, bad)
        yield
    finally:
        for where, name, good in before:
            setattr(where, name, good)


class Caught(msgspec.Struct):
    """The run that noticed a bug, the how-manieth it was, and the same seed without the bug. Both None when no run noticed."""

    count: int
    outcome: Outcome | None = None
    clean: Outcome | None = None


def catch(words: str, seeds: range) -> Caught:
    only = PLANTS[words][1]
    for count, seed in enumerate(seeds, 1):
        with planted(words):
            outcome = simulate(seed, only=only)
        if outcome.violations:
            return Caught(count, outcome, simulate(seed, only=only))
    return Caught(len(seeds))
