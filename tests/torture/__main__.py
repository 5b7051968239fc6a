"""`python -m tests.torture kill --rounds 1000 --seed 7` runs one part; without a part, all of them: what `make torture` does."""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from apps.runtime import program_logs
from apps.stack import servers
from apps.stack.topology import TOPOLOGIES
from domain.values import use_exact_arithmetic
from tests.domain.market.venues.test_fuzz import fuzz
from tests.live import LiveServer, live
from tests.simulation.__main__ import main as simulation
from tests.simulation.owners import main as owners
from tests.torture.bracket import bracket, lives_of
from tests.torture.contended import contend
from tests.torture.damage import spoil
from tests.torture.disk import NotPermitted
from tests.torture.kill import kill
from tests.torture.killswitch import killswitch
from tests.torture.powercut import cut
from tests.torture.race import race
from tests.torture.revoke import revoke
from tests.torture.stampede import stampede

HISTORIES_AT_ONCE: Final = 1_000
DEATH_EVERY: Final = 50
"""Switches that are thrown while all processes are alive, for each one that is not."""

Run = Callable[[int, int, Path], str]
"""Rounds, seed and a directory; what it came to, in a line. AssertionError when a promise was broken."""


@dataclass(frozen=True)
class Part:
    """One trial, and how long `make torture` makes it."""

    rounds: int
    run: Run


PARTS: Final = {
    "kill": Part(1_000, lambda rounds, seed, home: asyncio.run(kill(rounds, seed, home, _tell)).line()),
    "powercut": Part(200, lambda rounds, seed, home: asyncio.run(cut(rounds, seed, home, _tell)).line()),
    "killswitch": Part(
        1_000,
        lambda rounds, seed, home: _on_nats(home, lambda nats: killswitch(rounds, seed, nats, home, _tell, deaths=rounds // DEATH_EVERY)),
    ),
    "stampede": Part(10_000, lambda rounds, seed, home: _on_nats(home, lambda nats: stampede(rounds, seed, nats, home, _tell))),
    "contended": Part(10_000, lambda rounds, seed, home: _on_nats(home, lambda nats: contend(rounds, seed, nats, home, _tell))),
    "damage": Part(100, lambda rounds, seed, home: asyncio.run(spoil(rounds, seed, home, _tell)).line()),
    "revoke": Part(100, lambda rounds, seed, home: asyncio.run(revoke(rounds, seed, home, _tell)).line()),
    "bracket": Part(100, lambda rounds, seed, home: _brackets(rounds, seed, home)),
    "race": Part(10_000, lambda rounds, seed, home: asyncio.run(race(rounds, seed, _tell)).line()),
    "market": Part(500, lambda rounds, seed, home: fuzz(rounds, seed)),
    "histories": Part(100_000, lambda rounds, seed, home: _histories(rounds, seed)),
    "owners": Part(20_000, lambda rounds, seed, home: _histories(rounds, seed, owners)),
}


class Came(Protocol):
    def line(self) -> str: ...


def _on_nats(home: Path, torment: Callable[[LiveServer], Coroutine[Any, Any, Came]]) -> str:
    """On a nats-server of its own."""
    nats = live(servers.nats, home / "nats")
    try:
        return asyncio.run(torment(nats)).line()
    finally:
        nats.stop()


def _brackets(rounds: int, seed: int, home: Path) -> str:
    """Half of them in a unit, half with services apart."""
    lives, said = lives_of(rounds, seed), []
    for number, topology in enumerate(TOPOLOGIES):
        torment = partial(bracket, lives[number::2], home=home / topology, tell=_tell, topology=topology)
        said.append(f"{topology}: {_on_nats(home / topology, torment)}")
    return "; ".join(said)


def _histories(count: int, seed: int, run: Callable[[list[str]], int] = simulation) -> str:
    """Seeds that no other seed of ours overlaps; the simulation tells by itself which of them fail."""
    first = seed * count
    for start in range(first, first + count, HISTORIES_AT_ONCE):
        end = min(start + HISTORIES_AT_ONCE, first + count)
        assert run(["--seeds", f"{start}..{end}"]) == 0, f"one of the seeds {start}..{end} failed"
        _tell(f"{end - first} of {count} histories")
    return f"{count} histories, seeds {first}..{first + count}: none failed"


def _tell(line: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')} {line}", flush=True)


def trial(name: str, rounds: int, seed: int, home: Path | None) -> bool:
    """Run it, and say how it ended."""
    print(f"{name}: {rounds} rounds, seed {seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"torture-{name}-", dir=home) as directory:
        try:
            came, held = PARTS[name].run(rounds, seed, Path(directory)), True
        except NotPermitted as why:
            came, held = f"skipped, it takes root on a machine that lets it mount files: {why}", True
        except AssertionError as broken:
            came, held = f"BROKEN: {broken}\n  again: python -m tests.torture {name} --rounds {rounds} --seed {seed}", False
    print(f"{name}: {came} ({time.monotonic() - began:.0f} s)", flush=True)
    return held


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("part", nargs="?", choices=sorted(PARTS))
    parser.add_argument("--rounds", type=int, help="of the one part; by default as many as in the whole")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--home", type=Path, help="where the directories of the trials are made")
    asked = parser.parse_args(arguments)
    use_exact_arithmetic()
    program_logs.only(logging.CRITICAL)  # what services complain of while we torment them is what we want
    names = [asked.part] if asked.part else list(PARTS)
    held = {name: trial(name, asked.rounds or PARTS[name].rounds, asked.seed, asked.home) for name in names}
    broken = [name for name, was in held.items() if not was]
    print(f"{len(held) - len(broken)} of {len(held)} parts held" + (f"; BROKEN: {', '.join(broken)}" if broken else ""))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
