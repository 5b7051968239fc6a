"""kill -9 of every process and server, at random, while orders come in; then everything that was answered is looked for."""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from apps.stack.stack import ProcessState
from apps.stack.topology import TOPOLOGIES
from tests.flows.audit import audit
from tests.flows.traffic import RISK_WAS_SILENT, Traffic
from tests.stack import LiveStack

CHAPTER: Final = 25
"""How many kills one stack gets before it is looked at from every side."""
A_SECOND: Final = 30.0
ORDERS_MAX: Final = 3_900
"""Of a chapter; the audit reads a thousand of each account."""
AT_ONCE_EVERY: Final = 12
"""One of this many kills takes all processes at once, as the machine's memory killer or a person would."""
PATIENTLY: Final = 0.75
"""How often the next kill waits until the last victim is back; else it may find it in the middle of its recovery."""
BACK_WITHIN_S: Final = 45.0
PAUSE_MAX_S: Final = 1.2
HEALED_WITHIN_S: Final = 40.0
WEIGHTS: Final = {"nats": 6, "oms": 5, "exeq": 3, "risk": 3, "valkey": 3, "live-gateway": 3, "projector": 2, "questdb": 1}
EVERYTHING: Final = "everything"
REFUSALS: Final = {*RISK_WAS_SILENT, "no_price_history"}
"""Risk that starts while QuestDB is still away has no closes, and approves nothing that it cannot measure."""

Tell = Callable[[str], None]


@dataclass
class Came:
    """What the kills came to."""

    kills: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        killed = ", ".join(f"{count} {name}" for name, count in self.kills.most_common())
        ends = ", ".join(f"{count} {end}" for end, count in self.ends.items())
        return f"{self.kills.total()} kills ({killed}): {ends}; nothing lost, nothing twice"


async def kill(rounds: int, seed: int, home: Path, tell: Tell, *, fills: str = "questdb") -> Came:
    """`rounds` kills, on a fresh stack for every chapter of them. AssertionError says what did not hold."""
    came = Came()
    for first in range(0, rounds, CHAPTER):
        count = min(CHAPTER, rounds - first)
        stack = LiveStack(home / f"from-{first}" / "data", "--fills", fills, up="tests.torture.hurried")
        stack.data_dir.parent.mkdir(parents=True)
        stack.topology = TOPOLOGIES[first // CHAPTER % len(TOPOLOGIES)]
        try:
            await asyncio.to_thread(stack.start)
            await _chapter(stack, random.Random(f"{seed} {first}"), count, came)
        finally:
            await asyncio.to_thread(stack.close)
        tell(f"{first + count} of {rounds} kills: {dict(came.ends)}")
    return came


async def _chapter(stack: LiveStack, chance: random.Random, count: int, came: Came) -> None:
    traffic = Traffic(stack, "torture")
    await traffic.seed()
    flowing = asyncio.create_task(traffic.flow(ORDERS_MAX, A_SECOND))
    try:
        for number in range(count):
            await _strike(stack, chance, came, number)
            assert not flowing.done(), flowing.result()
    finally:
        traffic.over = True
        await flowing
    await asyncio.to_thread(stack.await_ready, HEALED_WITHIN_S)
    assert traffic.refusals() <= REFUSALS, traffic.refusals()
    settled = await audit(stack, traffic)
    verified = await asyncio.to_thread(stack.trade, "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    came.ends.update(
        orders=len(traffic.asked), filled=settled.filled, never_arrived=settled.never_arrived, asked_again=traffic.tries_in_vain
    )


async def _strike(stack: LiveStack, chance: random.Random, came: Came, number: int) -> None:
    """One kill, and a wait before the next: mostly until the victim is back, sometimes not."""
    victims = [name for name in WEIGHTS if name in stack.urls]
    if number % AT_ONCE_EVERY == AT_ONCE_EVERY - 1:
        came.kills[EVERYTHING] += 1
        for name in victims:
            _kill(stack, name)
    else:
        (victim,) = chance.choices(victims, [WEIGHTS[name] for name in victims])
        came.kills[victim] += 1
        _kill(stack, victim)
        victims = [victim]
    if chance.random() < PATIENTLY:
        await _back(stack, victims)
    await asyncio.sleep(chance.uniform(0, PAUSE_MAX_S))


def _kill(stack: LiveStack, name: str) -> None:
    """One that is dead already, between two lives, is no kill but does not stop the trial."""
    state = stack.state(name)
    with contextlib.suppress(ProcessLookupError):  # the services of a unit have one process
        if state.is_alive():
            os.kill(state.pid, signal.SIGKILL)


async def _back(stack: LiveStack, names: list[str]) -> None:
    """Until the killed processes run again and answer."""
    deadline = time.monotonic() + BACK_WITHIN_S
    while not all(_answers(stack.state(name)) for name in names):
        assert time.monotonic() < deadline, f"{names} not back after {BACK_WITHIN_S} s:\n{stack.said()}"
        await asyncio.sleep(0.05)


def _answers(state: ProcessState) -> bool:
    return state.state == "ready" and state.is_alive()
