"""Logs become part of the story, and every reader of the time gets the loop's."""

import asyncio
import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import apps.journal.snapshots
import apps.journal.watermark
import apps.live_gateway.venue_host
import apps.risk.check_handler
import apps.risk.check_service
import apps.risk.readiness
import apps.runtime.log_limit
from domain.audit.state_hash import shape_of
from tests.simulation.world import World

ASKS_THE_TIME = (apps.risk.check_service, apps.risk.readiness, apps.risk.check_handler, apps.runtime.log_limit, apps.journal.snapshots)
FORK_S = 0.004
SAID = ("warning", "error", "critical", "exception")


class Steady:
    """What these modules use of `time`."""

    def __init__(self, world: World) -> None:
        self.monotonic_ns = self.perf_counter_ns = world.steady_ns
        self.monotonic = world.loop.time


class NoCollector:
    """What these modules use of `gc`: in a run it rests."""

    @staticmethod
    def disable() -> None:
        """It does not run."""

    enable = disable


_shape_of = functools.cache(shape_of)
"""The same at every start of a service; it costs a millisecond."""


async def _in_child(work: Callable[[], str], *bounds: object) -> str:
    """A fork sees memory as it is now; what it writes is there a little later, unless its parent dies first."""
    words = work()
    await asyncio.sleep(FORK_S)
    return words


class Said:
    """A logger whose lines go to the story of the run."""

    def __init__(self, world: World, module: str) -> None:
        self._world = world
        self._module = module

    def __getattr__(self, level: str) -> Any:
        if level not in SAID or not self._world.told:
            return _nothing

        def say(sentence: str, **values: object) -> None:
            facts = "".join(f" {name}={value}" for name, value in values.items())
            self._world.tell("%s %s: %s%s", level.upper(), self._module, sentence, facts)

        return say


def _nothing(*sentence: object, **values: object) -> None:
    return


@contextlib.contextmanager
def everything_quiet(world: World) -> Iterator[None]:
    """For the time of one run."""
    settings: list[tuple[Any, str, Any]] = [
        (apps.live_gateway.venue_host, "TIME_CHECK_S", 0.2),
        (apps.journal.watermark, "RAISE_EVERY_S", 0.7),
        (apps.journal.snapshots, "CHECK_EVERY_S", 0.3),
        (apps.journal.snapshots, "shape_of", _shape_of),
        (apps.journal.snapshots, "in_child", _in_child),
        (apps.journal.snapshots, "gc", NoCollector),
    ]
    settings += [(module, "log", Said(world, module.__name__)) for module in _talking()]
    settings += [(module, "time", Steady(world)) for module in ASKS_THE_TIME]
    before = [(module, name, getattr(module, name)) for module, name, _ in settings]
    for module, name, value in settings:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def _talking() -> list[Any]:
    return [module for name, module in sorted(sys.modules.items()) if name.startswith(("apps.", "adapters.")) and hasattr(module, "log")]
