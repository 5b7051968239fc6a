"""The trouble of one run, drawn from its seed: which kinds, how much of each, and when."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from tests.simulation.house import House
from tests.simulation.operator import SCOPES
from tests.simulation.rogue import HABITS
from tests.simulation.world import Weather

Fault = Callable[[House, random.Random], Coroutine[Any, Any, None]]

SERVICES = ("gateway", "risk", "exeq", "oms", "projector")
STOPPED_MAX_S = 1.2
"""An oms that holds an approval for longer may outlive the reservation behind it: see docs/verification.md."""
LIKELY_TO_DIE = ("gateway", "risk", "exeq", "oms", "oms", "exeq", "projector")


async def trouble(house: House, horizon_s: float, only: tuple[str, ...] = ()) -> None:
    """A few kinds, not all of them: runs differ more when each has its own mixture."""
    chance = house.world.random("faults")
    kinds = list(only) or chance.sample(KINDS, chance.randint(2, 5)) + chance.sample(HABITS, chance.randint(0, 3))
    house.world.weather = _weather(chance, kinds)
    house.ground.order_rate = frozenset(kinds).intersection(HABITS)
    moments = sorted((chance.random() * horizon_s, chance.choice(kinds)) for _ in range(chance.randint(4, 12)))
    fractions = [chance.random() for _ in moments]
    loop = asyncio.get_running_loop()
    under_way: list[asyncio.Task[None]] = []
    for (at, kind), fraction in zip(moments, fractions, strict=True):
        await asyncio.sleep(max(at - loop.time(), 0))
        if fault := FAULTS.get(kind):
            under_way.append(asyncio.create_task(fault(house, random.Random(fraction))))
    for fault_task in under_way:
        await fault_task
    if not house.world.faults:
        await crash(house, chance)


def _weather(chance: random.Random, kinds: list[str]) -> Weather:
    def share(kind: str) -> float:
        return chance.choice((0.01, 0.05, 0.2)) if kind in kinds else 0.0

    return Weather(
        drop=share("drop"),
        duplicate=share("duplicate"),
        delay=share("delay"),
        delay_s=chance.choice((0.05, 0.5, 2.0)),
        reorder=share("reorder"),
    )


async def crash(house: House, chance: random.Random) -> None:
    """A process dies between two moments."""
    house.kill(chance.choice(LIKELY_TO_DIE), "crash")
    await asyncio.sleep(0)


async def crash_at_a_step(house: House, chance: random.Random) -> None:
    """A process dies right before or right after something leaves it: a message, a commit."""
    house.doom(chance.choice(LIKELY_TO_DIE), chance.randint(1, 12), before=chance.random() < 0.5)


async def cut(house: House, chance: random.Random) -> None:
    """One service loses its connection for a while: nothing in, nothing out, no journal."""
    name = chance.choice(SERVICES)
    house.world.fired("cut")
    house.world.tell("%s is cut off", name)
    house.cut(name)
    await asyncio.sleep(chance.choice((0.05, 0.5, 2.0)) * chance.random())
    house.mend(name)


async def freeze(house: House, chance: random.Random) -> None:
    """SIGSTOP, and SIGCONT after a while: for the service itself no time has passed."""
    process = house.lives[chance.choice(SERVICES)]
    if not process.alive:
        return
    house.world.fired("freeze")
    house.world.tell("%s is stopped", process.name)
    stopped = [house.lives[each] for each in house.together(process.name)]
    house.freeze(process.name, frozen=True)
    longest_s = chance.choice((0.05, 0.5, STOPPED_MAX_S if "oms" in house.together(process.name) else 3.0))
    await asyncio.sleep(longest_s * chance.random())
    house.world.tell("%s continues", process.name)
    for each in stopped:
        each.freeze(frozen=False)


async def two_writers(house: House, chance: random.Random) -> None:
    """An oms is stopped, another takes over, the first wakes up and believes that it is still the one."""
    if not await house.take_over():
        return
    await asyncio.sleep(chance.choice((0.1, STOPPED_MAX_S)) * chance.random())
    house.world.tell("the first oms wakes up")
    house.wake_zombies()
    await asyncio.sleep(2.0 * chance.random())
    house.end_zombies()


async def partition(house: House, chance: random.Random) -> None:
    """Two services cannot reach each other; all other connections work."""
    first, second = chance.sample(SERVICES[:4], 2)
    house.world.tell("%s and %s are apart", first, second)
    weather = house.world.weather
    house.world.weather = msgspec.structs.replace(weather, apart=weather.apart | {(first, second)})
    await asyncio.sleep(chance.choice((0.5, 2.0, 5.0)) * chance.random())
    weather = house.world.weather
    house.world.weather = msgspec.structs.replace(weather, apart=weather.apart - {(first, second)})


async def journal_down(house: House, chance: random.Random) -> None:
    house.world.fired("journal down")
    house.world.tell("the journals are down")
    for disk in house.ground.disks:
        disk.log.down = True
        disk.disturb()
    await asyncio.sleep(1.5 * chance.random())
    for disk in house.ground.disks:
        disk.log.down = False


async def journal_slow(house: House, chance: random.Random) -> None:
    disk = chance.choice(list(house.ground.disks))
    house.world.fired("journal slow")
    disk.slow_s = chance.choice((0.02, 0.1, 0.6))
    await asyncio.sleep(2 * chance.random())
    disk.slow_s = 0.0


async def append_trouble(house: House, chance: random.Random) -> None:
    """For a while some appends are lost, some are stored and not acknowledged, some are stored long after their writer gave up."""
    disk = chance.choice([house.ground.orders, house.ground.orders, *house.ground.venues.values()])
    disk.lose, disk.lose_acks, disk.late = chance.choice(((0.3, 0.0, 0.0), (0.0, 0.3, 0.0), (0.0, 0.0, 0.3), (0.1, 0.1, 0.1)))
    await asyncio.sleep(1 + chance.random())
    disk.lose = disk.lose_acks = disk.late = 0.0


async def stale_reader(house: House, chance: random.Random) -> None:
    """One service reads all journals, or one of them, late."""
    name, lag_s = chance.choice(("risk", "risk", "exeq", "exeq", "oms", "projector")), chance.choice((0.05, 0.3, 1.0))
    ground = house.ground
    for disk in chance.choice(((ground.orders,), (ground.controls,), tuple(ground.disks))):
        disk.lags[name] = lag_s
    await asyncio.sleep(2 * chance.random())
    house.be_quick(name)


async def slow_start(house: House, chance: random.Random) -> None:
    """A process dies, and its successor reads late."""
    name = chance.choice(("risk", "exeq", "oms"))
    house.kill(name, "slow start")
    for disk in house.ground.disks:
        disk.lags[name] = chance.choice((0.3, 1.0))
    await asyncio.sleep(1 + chance.random())
    house.be_quick(name)


async def clock_jump(house: House, chance: random.Random) -> None:
    name = chance.choice(SERVICES)
    seconds = chance.choice((-3600.0, -5.0, -0.5, 0.5, 5.0, 3600.0))
    house.world.fired("clock jump")
    house.world.tell("the clock of %s jumps by %s s", name, seconds)
    house.skew(name, seconds)


async def store_trouble(house: House, chance: random.Random) -> None:
    """The projector's store and oms's own go down for a while, or are lost."""
    ground, which = house.ground, chance.choice(("positions down", "positions flushed", "orders down", "orders lost"))
    house.world.fired(which)
    house.world.tell("stores: %s", which)
    if which == "positions flushed":
        ground.positions.positions, ground.positions.seq = {}, 0
    elif which == "orders lost":
        house.kill("oms", "crash")
        ground.directory.orders.clear()
    else:
        store = ground.positions if which == "positions down" else ground.directory.orders
        store.down = True
        await asyncio.sleep(1.5 * chance.random())
        store.down = False


async def kill_switch(house: House, chance: random.Random) -> None:
    """An operator forbids something, and allows it again: before the trouble ends, so that every order can come to its end."""
    operator, scope = house.operator, chance.choice(SCOPES)
    if scope in operator.busy:
        return
    operator.busy.add(scope)
    house.world.fired("kill switch")
    await operator.throw(scope)
    await asyncio.sleep(1.5 * chance.random())
    await operator.arm(scope)
    operator.busy.discard(scope)


FAULTS: dict[str, Fault] = {
    "crash": crash,
    "crash at a step": crash_at_a_step,
    "cut": cut,
    "freeze": freeze,
    "two writers": two_writers,
    "partition": partition,
    "journal down": journal_down,
    "journal slow": journal_slow,
    "append trouble": append_trouble,
    "stale reader": stale_reader,
    "slow start": slow_start,
    "clock jump": clock_jump,
    "store trouble": store_trouble,
    "kill switch": kill_switch,
}
KINDS = ("drop", "duplicate", "delay", "reorder", *FAULTS)
