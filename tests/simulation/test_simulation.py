"""1 000 histories in which things go wrong, and the proof that the checker would have seen it if we had."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Generic, TypeVar

import pytest

from tests.simulation.crowd import Crowd
from tests.simulation.history import Outcome, simulate
from tests.simulation.planted import PLANTS
from tests.simulation.planting import CATCH_WITHIN, Caught, planted

Piece = TypeVar("Piece")
Result = TypeVar("Result")

SEEDS, CHUNK = 1_000, 100
AHEAD = 4
"""Pieces of work for each worker that are asked for before their test begins."""
SAME = (3, 140, 371)
PAGE = Path(__file__).parents[2] / "docs" / "verification.md"


class Work(Generic[Piece, Result]):
    """Pieces of work in their tests' order, some of them done ahead by the crowd."""

    def __init__(self, crowd: Crowd, pieces: Iterable[Piece], ask: Callable[[Piece], "Future[Result]"]) -> None:
        self._pieces = list(pieces)
        self._ask = ask
        self._ahead = crowd.workers * AHEAD
        self._asked: dict[Piece, Future[Result]] = {}

    def result(self, piece: Piece) -> Result:
        place = self._pieces.index(piece)
        for near in self._pieces[place : place + self._ahead]:
            if near not in self._asked:
                self._asked[near] = self._ask(near)
        return self._asked[piece].result()


@pytest.fixture(scope="module")
def crowd() -> Iterator[Crowd]:
    crowd = Crowd()
    yield crowd
    crowd.close()


@pytest.fixture(scope="module")
def histories(crowd: Crowd) -> Work[int, list[Outcome]]:
    return Work(crowd, range(0, SEEDS, CHUNK), lambda first: crowd.simulate(range(first, first + CHUNK)))


@pytest.fixture(scope="module")
def hunts(crowd: Crowd) -> Work[str, Caught]:
    return Work(crowd, PLANTS, lambda words: crowd.catch(words, range(CATCH_WITHIN)))


def again(outcome: Outcome) -> str:
    found = "\n".join(map(str, outcome.violations))
    return f"seed {outcome.seed}: {found}\nagain: python -m tests.simulation --seed {outcome.seed}"


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_nothing_is_lost_doubled_or_stuck_whatever_goes_wrong(first: int, histories: Work[int, list[Outcome]]) -> None:
    # FAILURES 1-3, 5, 8, 10, 14-18, 23-28, 33, 34, 36, 38, 43, 46, 48, 51
    outcomes = histories.result(first)
    assert [outcome.seed for outcome in outcomes] == list(range(first, first + CHUNK))
    for outcome in outcomes:
        assert not outcome.violations, again(outcome)
        assert outcome.faults, f"seed {outcome.seed} exercised no fault: it proves nothing"
        assert outcome.orders, f"seed {outcome.seed} had no order"


@pytest.mark.parametrize("words", PLANTS)
def test_a_planted_bug_is_caught_and_its_seed_is_clean_without_it(words: str, hunts: Work[str, Caught]) -> None:
    caught = hunts.result(words)
    assert caught.outcome is not None, f"{CATCH_WITHIN} seeds did not notice: {words}"
    assert caught.clean is not None
    assert not caught.clean.violations, again(caught.clean)


def test_every_planted_bug_is_on_the_page() -> None:
    table = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert all(any(f"| {words} |" in line for line in table) for words in PLANTS)


def story(seed: int) -> tuple[list[str], str]:
    lines: list[str] = []
    return lines, simulate(seed, lines.append).state


def test_a_run_is_a_function_of_its_seed() -> None:
    first = {seed: story(seed) for seed in SAME}
    assert {seed: story(seed) for seed in reversed(SAME)} == first
    assert len({state for _, state in first.values()}) == len(SAME)


def test_a_run_does_not_depend_on_how_python_hashes() -> None:
    told = {_told(SAME[0], hash_seed) for hash_seed in ("0", "9")}
    assert len(told) == 1
    assert "all is well from here on" in told.pop()


def _told(seed: int, hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed)]
    environment = {"PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=PAGE.parents[1]).stdout


def test_a_failing_seed_says_how_to_repeat_it(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.simulation.__main__ import main

    with planted("a cancelled order counts as filled"):
        assert main(["--seeds", "0..2"]) == 1
    said = capsys.readouterr().out
    assert "lawful_step at" in said
    assert "again: python -m tests.simulation --seed 0" in said
    assert main(["--seeds", "0..1"]) == 0
