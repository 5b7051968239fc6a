"""Histories of who owns which shard while units, servers and the network fail, and the proof that the checker would have seen a bug."""

from pathlib import Path

import pytest

from tests.simulation.owner_faults import KINDS
from tests.simulation.owners import again, main, simulate
from tests.simulation.planted_owners import CATCH_WITHIN, OWNER_PLANTS, hunt, planted_bug

SEEDS, CHUNK = 18, 6
"""`python -m tests.simulation.owners --seeds 0..2000` runs many more, and `python -m tests.torture owners` the most."""
STOPPED = 1
"""A seed in which the only fault is the stop of an owner, for longer than three seconds."""
PAGE = Path(__file__).parents[2] / "docs" / "verification.md"


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_each_shard_has_one_owner_and_a_fault_moves_it_at_most_once(first: int) -> None:
    # SCALE S2, S6-S8, S10-S13: stops, crashes, cuts in one direction, outages, deposed leaders, clock steps, slow units, planned moves
    for seed in range(first, first + CHUNK):
        outcome = simulate(seed)
        assert not outcome.violations, again(outcome)
        assert outcome.faults, f"seed {seed} had no fault: it proves nothing"
        assert outcome.acks, f"seed {seed} acknowledged nothing: it proves nothing"


@pytest.mark.parametrize("kind", [name for name, (_, harmful) in KINDS.items() if not harmful and name != "move"])
def test_no_shard_moves_because_of(kind: str) -> None:
    # SCALE S6 "leader of OMS_SHARDS killed: nothing moves", S10 "a server's clock an hour off, or steps", S12 "too slow to renew, not dead"
    outcome = simulate(0, only=(kind,))
    assert not outcome.violations, again(outcome, (kind,))
    assert outcome.moves == 0


def test_a_stopped_owner_loses_its_shards_and_gets_none_back() -> None:
    # SCALE S2: it ends as a standby
    outcome = simulate(STOPPED, only=("stop",))
    assert not outcome.violations, again(outcome, ("stop",))
    assert outcome.moves


@pytest.mark.parametrize("words", OWNER_PLANTS)
def test_a_planted_bug_of_owners_is_caught_and_its_seed_is_clean_without_it(words: str) -> None:
    caught = hunt(words)
    assert caught.outcome is not None, f"{CATCH_WITHIN} seeds did not notice: {words}"
    assert caught.clean is not None
    assert not caught.clean.violations, again(caught.clean)


def test_every_planted_bug_of_owners_is_on_the_page() -> None:
    page = PAGE.read_text()
    assert [words for words in OWNER_PLANTS if f"| {words} |" not in page] == []


def story(seed: int) -> list[str]:
    lines: list[str] = []
    simulate(seed, lines.append)
    return lines


def test_a_history_of_owners_is_a_function_of_its_seed() -> None:
    first = story(3)
    assert first[-1].endswith("all is well from here on")
    assert story(3) == first


def test_a_failing_seed_of_owners_says_how_to_repeat_it(capsys: pytest.CaptureFixture[str]) -> None:
    with planted_bug("a unit opens a shard without a ShardTaken"):
        assert main(["--seeds", "0..1", "--only", "stop"]) == 1
    said = capsys.readouterr().out
    assert "one_unit_an_epoch at shard" in said
    assert "again: python -m tests.simulation.owners --seed 0 --only 'stop'" in said
