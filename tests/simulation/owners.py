"""`python -m tests.simulation.owners --seed 12345` tells one history of who owns which shard; `--seeds 0..2000` runs many."""

import argparse
import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog.testing

from domain.audit.journal_audit import Violation
from domain.ports import Fenced, Unavailable
from domain.values import use_exact_arithmetic
from tests.simulation.loop import run_virtually
from tests.simulation.owner_checker import TAKEN_WITHIN_S, OwnerChecker
from tests.simulation.owner_faults import KINDS, Place, inflict
from tests.simulation.owner_servers import Bucket, Net, ShardLog
from tests.simulation.owner_units import SHARDS, UNITS, NotAccepted, UnitProcess
from tests.simulation.world import World

CALM_S: Final = 4.0
"""Before the first fault."""
TROUBLED_S: Final = 20.0
WATCH_S: Final = 0.1
CLIENT_S: Final = (0.2, 0.6)
CLIENT_WAITS_S: Final = 3.0
SHOWN_MAX: Final = 10


class OwnersOutcome(msgspec.Struct):
    """What became of one seed."""

    seed: int
    violations: list[Violation]
    faults: Counter[str]
    acks: int
    reads: int
    moves: int


def simulate(seed: int, tell: Callable[[str], None] | None = None, only: tuple[str, ...] = ()) -> OwnersOutcome:
    """Run one history. `only` these kinds of faults."""
    use_exact_arithmetic()
    with contextlib.nullcontext() if tell else structlog.testing.capture_logs():
        outcome: OwnersOutcome = run_virtually(lambda loop: _history(World(seed, loop, tell), only))
    return outcome


async def _history(world: World, only: tuple[str, ...]) -> OwnersOutcome:
    bucket, logs = Bucket(world), [ShardLog(world) for _ in range(SHARDS)]
    checker = OwnerChecker(world)
    place = Place(Net(world, logs, bucket), checker)
    for name in UNITS:
        place.start(name)
    around = [asyncio.create_task(work) for work in (_watched(place), *(_client(place, shard) for shard in range(SHARDS)))]
    await asyncio.sleep(CALM_S)
    chance = world.random("faults")
    kinds = chance.choices(only or sorted(KINDS), k=chance.choice([1, 1, 2, 3, 4]))
    troubles = [asyncio.create_task(_trouble(place, kind, chance.uniform(0, TROUBLED_S))) for kind in kinds]
    await asyncio.gather(*troubles)
    world.tell("all is well from here on")
    await asyncio.sleep(TAKEN_WITHIN_S)
    for shard, log in enumerate(logs):
        checker.settled(shard, place.trusting(shard))
        checker.journal(shard, log)
    for task in around:
        task.cancel()
    await asyncio.gather(*around, return_exceptions=True)
    for unit in place.units.values():
        for error in unit.failed():
            world.violated("no_task_dies", unit.name, repr(error))
        await unit.die()
    return OwnersOutcome(world.seed, world.violations, world.faults, checker.acks, checker.reads, checker.moves)


async def _trouble(place: Place, kind: str, at_s: float) -> None:
    await asyncio.sleep(at_s)
    await inflict(place, place.net.world.random(f"{kind} at {at_s}"), kind)


async def _watched(place: Place) -> None:
    while True:
        for shard in range(SHARDS):
            place.net.bucket.forget()
            place.checker.trusting(shard, place.trusting(shard))
        await asyncio.sleep(WATCH_S)


async def _client(place: Place, shard: int) -> None:
    """Writes and reads at any unit, mostly at the one that answered last. Of the last shard it only reads."""
    chance = place.net.world.random(f"client {shard}")
    last = UNITS[0]
    while True:
        name = last if chance.random() < 0.7 else chance.choice(UNITS)
        unit = place.units[name]
        writes = shard < SHARDS - 1 and chance.random() < 0.5
        asked = unit.run(_asked(place, unit, shard, writes=writes))
        try:
            async with asyncio.timeout(CLIENT_WAITS_S):
                last = name if await asyncio.shield(asked) else chance.choice(UNITS)
        except TimeoutError:
            last = chance.choice(UNITS)
        await asyncio.sleep(chance.uniform(*CLIENT_S))


async def _asked(place: Place, unit: UnitProcess, shard: int, *, writes: bool) -> bool:
    """One request, as the unit serves it. Return whether it was answered."""
    seat, known = unit.seats[shard], place.checker.known(shard)
    try:
        if writes:
            n, epoch = await seat.work()
            place.checker.acked(shard, unit.name, n, epoch)
        else:
            place.checker.read(shard, unit.name, seat.look(), known)
    except (NotAccepted, Fenced, Unavailable):
        return False
    return True


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.owners", description=__doc__)
    parser.add_argument("--seed", type=int, help="tell the story of one seed")
    parser.add_argument("--seeds", default="0..100", help="run a range, FIRST..BEHIND_THE_LAST")
    parser.add_argument("--only", default="", help=f"these kinds of faults and no other, with commas: {', '.join(KINDS)}")
    asked = parser.parse_args(arguments)
    only = tuple(kind for kind in asked.only.split(",") if kind)
    first, _, last = asked.seeds.partition("..")
    seeds = [asked.seed] if asked.seed is not None else range(int(first), int(last))
    began, faults, failed, totals = time.perf_counter(), Counter[str](), 0, Counter[str]()
    for seed in seeds:
        outcome = simulate(seed, print if asked.seed is not None else None, only)
        faults += outcome.faults
        totals.update(acks=outcome.acks, reads=outcome.reads, moves=outcome.moves)
        failed += bool(outcome.violations)
        if outcome.violations and failed <= SHOWN_MAX:
            print(again(outcome, only))
    took = time.perf_counter() - began
    print(f"{len(seeds)} histories, {took:.1f} s: {', '.join(f'{count} {what}' for what, count in totals.items())}")
    print("faults:", ", ".join(f"{count} {fault}" for fault, count in faults.most_common()))
    print(f"{failed} failed")
    return 1 if failed else 0


def again(outcome: OwnersOutcome, only: tuple[str, ...] = ()) -> str:
    """What went wrong, and how to see it again."""
    found: list[Any] = outcome.violations[:SHOWN_MAX]
    kinds = f" --only '{','.join(only)}'" if only else ""
    return "\n".join([f"seed {outcome.seed}:", *map(str, found), f"again: python -m tests.simulation.owners --seed {outcome.seed}{kinds}"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
