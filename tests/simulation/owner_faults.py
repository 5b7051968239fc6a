"""What goes wrong with units, with the servers and between them. Each fault is noted, begins, lasts and ends."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from tests.simulation.owner_checker import Fault, OwnerChecker
from tests.simulation.owner_servers import JOURNAL, STORE, Net, Old
from tests.simulation.owner_units import SHARDS, UNITS, UnitProcess

HOUR_NS: Final = 3_600_000_000_000
DRAIN_LOOKS_MAX: Final = 50
UNHEARD_S: Final = 5.0
"""Long enough for another unit to find the silence and to read the journal."""
PULSE_S: Final = (1.2, 0.5)
"""How long a busy unit does nothing, and how long it then works."""


class Place:
    """All of a run: the network, the units as they live now, and the checker."""

    def __init__(self, net: Net, checker: OwnerChecker) -> None:
        self.net = net
        self.checker = checker
        self.units: dict[str, UnitProcess] = {}
        self.lives = 0

    def start(self, name: str) -> None:
        self.lives += 1
        self.units[name] = UnitProcess(self.net, name, self.lives)

    def owner(self, shard: int) -> UnitProcess | None:
        return next((unit for unit in self.units.values() if unit.seats[shard].trusted()), None)

    def trusting(self, shard: int) -> list[str]:
        return [unit.name for unit in self.units.values() if unit.seats[shard].trusted()]


Work = Callable[[Place, random.Random, str, float], Awaitable[None]]

KINDS: Final[dict[str, tuple[Work, bool]]] = {}
"""By name: what a fault does to a unit (or to the server of its name) for some seconds, and whether it may cost the unit its shards."""


def fault(name: str, *, harmful: bool) -> Callable[[Work], Work]:
    def add(work: Work) -> Work:
        KINDS[name] = work, harmful
        return work

    return add


def whom_of(kind: str, chance: random.Random) -> str:
    servers = {"store away": STORE, "journal away": JOURNAL, "servers away": STORE, "server clock": "clock", "slow network": JOURNAL}
    return servers.get(kind) or chance.choice(UNITS)


async def inflict(place: Place, chance: random.Random, kind: str) -> None:
    """One fault of this kind, from its beginning to its end."""
    work, harmful = KINDS[kind]
    world, whom, for_s = place.net.world, whom_of(kind, chance), chance.uniform(0.5, 12.0)
    noted = Fault(kind, whom, world.loop.time(), float("inf"), harmful)
    place.checker.faults.append(noted)
    world.fired(kind)
    world.tell("%s of %s for %.1f s", kind, whom, for_s)
    await work(place, chance, whom, for_s)
    noted.ended = world.loop.time()
    world.tell("%s of %s is over", kind, whom)


@fault("stop", harmful=True)
async def _stop(place: Place, chance: random.Random, whom: str, for_s: float) -> None:
    """SIGSTOP, and SIGCONT later."""
    await _freeze(place, whom, for_s)


async def _freeze(place: Place, whom: str, for_s: float) -> None:
    unit = place.units[whom]
    unit.frozen = True
    place.net.world.loop.look_again()
    await asyncio.sleep(for_s)
    unit.frozen = False
    place.net.world.loop.look_again()


@fault("slow", harmful=False)
async def _slow(place: Place, chance: random.Random, whom: str, for_s: float) -> None:
    """A unit that is busy for most of the time, and too slow to renew its leases every second."""
    ends = place.net.world.loop.time() + for_s
    while place.net.world.loop.time() < ends:
        if not place.units[whom].frozen:
            await _freeze(place, whom, PULSE_S[0])
        await asyncio.sleep(PULSE_S[1])


@fault("crash", harmful=True)
async def _crash(place: Place, chance: random.Random, whom: str, for_s: float) -> None:
    """kill -9, and a new process of the unit later."""
    unit = place.units[whom]
    unit.frozen = False
    place.net.world.loop.look_again()
    await unit.die()
    await asyncio.sleep(for_s)
    if place.units[whom] is unit:
        place.start(whom)


@fault("cut", harmful=True)
async def _cut(place: Place, chance: random.Random, whom: str, for_s: float) -> None:
    """Between the unit and one server, or both, nothing arrives, or nothing in one of the two directions."""
    servers = chance.choice([(STORE,), (JOURNAL,), (STORE, JOURNAL)])
    ways = chance.choice([(True, True), (True, False), (False, True)])
    pairs = {pair for server in servers for pair, cut in zip(((whom, server), (server, whom)), ways, strict=True) if cut}
    place.net.world.tell("cut: %s", sorted(pairs))
    place.net.cut |= pairs
    await asyncio.sleep(for_s)
    place.net.cut -= pairs
    place.net.changed()


@fault("deposed leader", harmful=True)
async def _deposed(place: Place, chance: random.Random, whom: str, for_s: float) -> None:
    """The unit is cut off together with the leaders of that time. They answer what they knew, and store nothing."""
    place.net.deposed[whom] = Old(place.net.bucket, place.net.logs)
    await asyncio.sleep(for_s)
    place.net.deposed.pop(whom, None)
    place.net.changed()


@fault("store away", harmful=False)
async def _store_away(place: Place, chance: random.Random, whom: str, for_s: float) -> None:
    await _away(place, STORE, for_s)


@fault("journal away", harmful=False)
async def _journal_away(place: Place, chance: random.Random, whom: str, for_s: float) -> None:
    await _away(place, JOURNAL, for_s)


@fault("servers away", harmful=False)
async def _servers_away(place: Place, chance: random.Random, whom: str, for_s: float) -> None:
    """All of them at once, and back at once."""
    await _away(place, STORE, for_s, JOURNAL)


async def _away(place: Place, server: str, for_s: float, *more: str) -> None:
    """An outage, or the time without a leader."""
    place.net.down |= {server, *more}
    place.net.changed()
    await asyncio.sleep(for_s)
    place.net.down -= {server, *more}
    place.net.changed()


@fault("deaf watch", harmful=False)
async def _deaf(place: Place, chance: random.Random, whom: str, for_s: float) -> None:
    """The unit's watch of the journals shows nothing. Its requests are answered."""
    place.net.deaf.add(whom)
    await asyncio.sleep(for_s)
    place.net.deaf.discard(whom)
    place.net.changed()


@fault("unheard owner", harmful=True)
async def _unheard(place: Place, chance: random.Random, whom: str, for_s: float) -> None:
    """The unit cannot renew its leases, and no other one is shown its commits: only a reading of the journal finds them."""
    pairs, others = {(whom, STORE), (STORE, whom)}, {unit for unit in UNITS if unit != whom}
    place.net.cut |= pairs
    place.net.deaf |= others
    await asyncio.sleep(UNHEARD_S + for_s)
    place.net.cut -= pairs
    place.net.deaf -= others
    place.net.changed()


@fault("slow network", harmful=False)
async def _slow_network(place: Place, chance: random.Random, whom: str, for_s: float) -> None:
    place.net.slow_s = chance.uniform(0.05, 0.25)
    await asyncio.sleep(for_s)
    place.net.slow_s = 0.0


@fault("clock step", harmful=False)
async def _clock_step(place: Place, chance: random.Random, whom: str, for_s: float) -> None:
    """The unit's wall clock is an hour off for a time."""
    clock = place.units[whom].clock
    clock.skew_ns += chance.choice([-HOUR_NS, HOUR_NS])
    await asyncio.sleep(for_s)
    clock.skew_ns = 0


@fault("server clock", harmful=False)
async def _server_clock(place: Place, chance: random.Random, whom: str, for_s: float) -> None:
    place.net.bucket.clock_step_s += chance.choice([-3600.0, 3600.0])
    await asyncio.sleep(for_s)


@fault("clean stop", harmful=True)
async def _clean_stop(place: Place, chance: random.Random, whom: str, for_s: float) -> None:
    """The unit gives up its shards and ends, by force if that takes too long, and a new process of it begins later."""
    unit = place.units[whom]
    unit.keeper.drain()
    for _ in range(DRAIN_LOOKS_MAX):
        if unit.keeper.drained:
            break
        await asyncio.sleep(0.1)
    await unit.die()
    await asyncio.sleep(for_s)
    if place.units[whom] is unit:
        place.start(whom)


@fault("move", harmful=False)
async def _move(place: Place, chance: random.Random, whom: str, for_s: float) -> None:
    """A planned move of one shard to the unit, or to the first in rank."""
    shard = chance.randrange(SHARDS)
    owner = place.owner(shard)
    if owner is not None and owner.name != whom:
        owner.keeper.move(shard, chance.choice([whom, whom, ""]))
