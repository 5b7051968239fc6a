"""What all of a run shares: its seed, its clock, its weather, its story, and the list of what went wrong on purpose."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from domain.audit.checker import Violation
from tests.simulation.loop import VirtualLoop

BEGIN_NS = 1_700_000_000_000_000_000


class Weather(msgspec.Struct):
    """Chances, for each message, of the worst. `apart` are pairs of services that do not hear each other."""

    drop: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    delay_s: float = 0.3
    reorder: float = 0.0
    apart: frozenset[tuple[str, str]] = frozenset()

    @property
    def rough(self) -> bool:
        return bool(self.drop or self.duplicate or self.delay or self.reorder)

    def between(self, sender: str, receiver: str) -> bool:
        return bool(self.apart) and ((sender, receiver) in self.apart or (receiver, sender) in self.apart)


class SimClock:
    """A service's wall clock: the loop's time, and how wrong it goes. Port: domain.ports.Clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._last = 0
        self.skew_ns = 0

    def now_ns(self) -> int:
        self._last = max(self._last, BEGIN_NS + int(self._loop.time() * 1e9) + self.skew_ns)
        return self._last

    def monotonic_ns(self) -> int:
        return int(self._loop.time() * 1e9)


class World:
    """One run."""

    def __init__(self, seed: int, loop: VirtualLoop, tell: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.loop = loop
        self.weather = Weather()
        self.faults: Counter[str] = Counter()
        self.violations: list[Violation] = []
        self.doomed: dict[object, tuple[int, bool, Callable[[], None]]] = {}
        """Connections whose process dies soon: at which step, before or after it, and how."""
        self._tell = tell

    def random(self, of: str) -> random.Random:
        """Chance of its own for each purpose, so that one does not shift another."""
        return random.Random(f"{self.seed}:{of}")

    def fired(self, fault: str) -> None:
        self.faults[fault] += 1

    @property
    def told(self) -> bool:
        """Whether the story has a listener."""
        return self._tell is not None

    def steady_ns(self) -> int:
        """A clock that only continues."""
        return int(self.loop.time() * 1e9)

    def tell(self, text: str, *values: Any) -> None:
        if self._tell is not None:
            self._tell(f"{self.loop.time():9.4f}  {text % values if values else text}")

    def violated(self, name: str, where: str, what: str) -> None:
        self.violations.append(Violation(name, where, what))
        self.tell("VIOLATED %s %s: %s", name, where, what)

    async def step(self, connection: object, what: str, *, before: bool) -> None:
        """Something is about to leave a process, or has just left it. Here a doomed one dies."""
        doom = self.doomed.get(connection)
        if doom is None or doom[1] is not before:
            return
        left, _, die = doom
        if left > 1:
            self.doomed[connection] = (left - 1, before, die)
            return
        del self.doomed[connection]
        self.fired("crash at a step")
        self.tell("a process dies %s %s", "before" if before else "after", what)
        die()
        await asyncio.Event().wait()
