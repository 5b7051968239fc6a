"""`python -m tests.simulation --seed 12345` tells one history; `--seeds 0..2000` runs many and says what went wrong on purpose."""

import argparse
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice

from tests.simulation.crowd import Crowd
from tests.simulation.faults import KINDS
from tests.simulation.history import Outcome, simulate
from tests.simulation.planted import PLANTS
from tests.simulation.planting import CATCH_WITHIN
from tests.simulation.rogue import HABITS

SHOWN_MAX = 20
CHUNK = 50
"""Seeds that a worker takes at a time."""
AHEAD = 4
"""Chunks for each worker that are asked for before the first of them is told."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="tell the story of one seed")
    parser.add_argument("--seeds", help="run a range, FIRST..BEHIND_THE_LAST")
    parser.add_argument("--quiet", action="store_true", help="of one seed, only the end")
    parser.add_argument("--planted", action="store_true", help="plant each bug and print the table of docs/verification.md")
    parser.add_argument("--jobs", type=int, default=0, help="worker processes for a range (as many as there are cores)")
    parser.add_argument("--only", default="", help=f"these kinds of trouble and no other, with commas: {', '.join((*KINDS, *HABITS))}")
    asked = parser.parse_args(arguments)
    only = tuple(kind for kind in asked.only.split(",") if kind)
    if asked.seed is not None:
        outcome = simulate(asked.seed, None if asked.quiet else print, only)
        _tell(outcome, only)
        return 1 if outcome.violations else 0
    if asked.planted:
        return hunt(asked.jobs)
    first, _, last = (asked.seeds or "0..100").partition("..")
    return many(range(int(first), int(last)), only, asked.jobs)


def many(seeds: range, only: tuple[str, ...], jobs: int) -> int:
    began, faults, failed, calm, events, ends = time.perf_counter(), Counter[str](), 0, 0, 0, Counter[str]()
    for outcome in _outcomes(seeds, only, jobs):
        faults += outcome.faults
        ends += outcome.ends
        events += outcome.events
        calm += not outcome.faults
        if outcome.violations:
            failed += 1
            if failed <= SHOWN_MAX:
                _tell(outcome, only)
    took = time.perf_counter() - began
    print(f"{len(seeds)} histories, {events} events, {took:.1f} s: {len(seeds) / took:.1f} a second")
    print("faults:", ", ".join(f"{count} {fault}" for fault, count in faults.most_common()))
    print("orders:", ", ".join(f"{count} {status}" for status, count in ends.most_common()))
    print(f"{calm} without a fault do not count; {failed} failed")
    return 1 if failed else 0


def hunt(jobs: int) -> int:
    """Every planted bug, and who saw it after how many seeds."""
    crowd = Crowd(jobs)
    try:
        hunts = {words: crowd.catch(words, range(CATCH_WITHIN)) for words in PLANTS}
        caught = {words: hunted.result() for words, hunted in hunts.items()}
    finally:
        crowd.close()
    print("| bug | seeds | seen as |\n|---|---|---|")
    for words, found in caught.items():
        seen = sorted({violation.name for violation in found.outcome.violations}) if found.outcome else ["none"]
        only = f" ({', '.join(PLANTS[words][1])})" if PLANTS[words][1] else ""
        print(f"| {words} | {found.count}{only} | {', '.join(f'`{name}`' for name in seen)} |")
    return 0 if all(found.outcome for found in caught.values()) else 1


def _outcomes(seeds: range, only: tuple[str, ...], jobs: int) -> Iterator[Outcome]:
    """In the order of their seeds. One chunk is not worth a worker."""
    if len(seeds) <= CHUNK:
        yield from (simulate(seed, only=only) for seed in seeds)
        return
    crowd = Crowd(jobs)
    try:
        chunks = iter([seeds[first : first + CHUNK] for first in range(0, len(seeds), CHUNK)])
        asked = deque(crowd.simulate(chunk, only) for chunk in islice(chunks, crowd.workers * AHEAD))
        while asked:
            yield from asked.popleft().result()
            asked += [crowd.simulate(chunk, only) for chunk in islice(chunks, 1)]
    finally:
        crowd.close()


def _tell(outcome: Outcome, only: tuple[str, ...]) -> None:
    faults = ", ".join(f"{count} {fault}" for fault, count in outcome.faults.most_common())
    size = f"{outcome.orders} orders, {outcome.events} events, {outcome.commits} commits, {outcome.virtual_s:.1f} s"
    print(f"seed {outcome.seed}: {size}; {faults}")
    for violation in outcome.violations[:SHOWN_MAX]:
        print(f"  {violation}")
    if outcome.violations:
        kinds = f" --only '{','.join(only)}'" if only else ""
        print(f"  again: python -m tests.simulation --seed {outcome.seed}{kinds}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
