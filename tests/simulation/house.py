"""All services of one run: started, killed, cut off, mended; and what they did on the wire."""

import asyncio
from collections.abc import Iterator

from adapters.codec import decoder
from adapters.subjects import REQUESTS
from apps.connections.unit import Unit
from apps.connections.venue_lists import SentRequest
from domain.audit.checker import Audit, ObservedSend
from tests.simulation.algo_trader import AlgoTrader
from tests.simulation.bus import matches
from tests.simulation.list_trader import ListTrader
from tests.simulation.operator import Operator
from tests.simulation.services import SERVICES, DataDirectory, Ground, Oms, Process, RiskService
from tests.simulation.trader import Trader
from tests.simulation.world import Weather, World

RESTART_MAX_S = 1.0
UNITED = ("risk", "exeq", "oms")

_REQUESTS = decoder(list[SentRequest])


class House:
    """`lives` are the services that run now; a dead one stays there until its successor comes.

    With `unit`, oms, risk and exeq are one process: they are stopped, killed and started together.
    """

    def __init__(self, world: World, audit: Audit, *, unit: bool = False) -> None:
        self._unit = unit
        self.world = world
        self.audit = audit
        self.ground = Ground(world)
        self.ground.network.wire = self._on_wire
        self.lives: dict[str, Process] = {}
        self.dead: list[Process] = []
        self.zombies: list[Process] = []
        self.sends: list[ObservedSend] = []
        self._skew_ns: dict[str, int] = {}
        self._random = world.random("house")
        self._calm = False
        self.operator = Operator(world, lambda: self.risk)
        self.trader = Trader(world, self._door, lambda: self.ground.orders.head.seq)
        self.lists = ListTrader(world, self._door)
        self.algos = AlgoTrader(world, self._door)

    async def open(self) -> None:
        for name in SERVICES:
            if name not in self.lives:
                await self._start(name)

    def together(self, name: str) -> tuple[str, ...]:
        """The services of the process in which this one is."""
        return UNITED if self._unit and name in UNITED else (name,)

    async def _start(self, name: str) -> None:
        """The whole process."""
        if self._unit and name in UNITED:
            self.ground.unit = Unit("", lambda reason: self.world.violated("no_task_dies", name, reason))
        for each in self.together(name):
            self._begin(each)
        await asyncio.sleep(0)

    def _begin(self, name: str) -> None:
        process = SERVICES[name](self.ground)
        process.clock.skew_ns = self._skew_ns.get(name, 0)
        self.lives[name] = process
        if self._unit:
            process.followed = lambda reason: self._ends(process)
        self.world.tell("%s starts", name)
        begun = process.run(process.begin())
        begun.add_done_callback(lambda task: self._begun(process, task))

    def _begun(self, process: Process, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            process.failed(f"did not start: {error!r}")

    def _door(self) -> Oms | None:
        """Who answers a client. While two of them think that they are the one, chance decides."""
        doors = [oms for oms in (self.lives.get("oms"), *self.zombies) if isinstance(oms, Oms) and oms.alive and oms.open]
        return self._random.choice(doors) if doors else None

    def kill(self, name: str, how: str) -> None:
        """kill -9, and a supervisor that starts it again after a while."""
        if not self.lives[name].alive or self._calm:
            return
        self.world.fired(how)
        self.world.tell("%s is killed", name)
        self._bury(name)

    def _bury(self, name: str) -> None:
        for process in (self.lives[each] for each in self.together(name)):
            process.die()
            self.dead.append(process)
            self.world.doomed.pop(process.client, None)
        self.world.loop.create_task(self._restart(name, RESTART_MAX_S * self._random.random()))

    def _ends(self, process: Process) -> None:
        """It dies, or was followed and ends. Its supervisor starts it again, but not on a machine that another one has taken over from."""
        if process is self.lives[process.name]:
            self._bury(process.name)
        else:
            self.end_zombies()

    def freeze(self, name: str, *, frozen: bool) -> None:
        for each in self.together(name):
            self.lives[each].freeze(frozen=frozen)

    async def _restart(self, name: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        if not self.lives[name].alive:
            await self._start(name)

    async def take_over(self) -> bool:
        """A second oms, on another machine, while the first is stopped and does not know."""
        first = self.lives["oms"]
        if not isinstance(first, Oms) or not first.alive or self.zombies or self._calm:
            return False
        self.world.fired("two writers")
        self.world.tell("oms is stopped, another one takes over")
        self.freeze("oms", frozen=True)
        self.zombies += [self.lives[each] for each in self.together("oms")]
        self.ground.directory = DataDirectory(self.ground.directory)
        await self._start("oms")
        return True

    def wake_zombies(self) -> None:
        for zombie in self.zombies:
            zombie.freeze(frozen=False)

    def end_zombies(self) -> None:
        for zombie in self.zombies:
            self.world.tell("the first oms ends")
            zombie.die()
            self.dead.append(zombie)
        self.zombies = []

    def doom(self, name: str, steps: int, *, before: bool) -> None:
        process = self.lives[name]
        if process.alive:
            self.world.doomed[process.client] = (steps, before, lambda: self._ends(process))

    def cut(self, name: str) -> None:
        self.lives[name].client.cut()
        for disk in self.ground.disks:
            disk.disturb()

    def mend(self, name: str) -> None:
        self.lives[name].client.mend()

    def skew(self, name: str, seconds: float) -> None:
        for each in self.together(name):
            self._skew_ns[each] = self.lives[each].clock.skew_ns = int(seconds * 1e9)

    def be_quick(self, name: str) -> None:
        for disk in self.ground.disks:
            disk.lags.pop(name, None)

    async def heal(self) -> None:
        """From here on nothing goes wrong any more. Clocks stay wrong: nothing may depend on them."""
        self._calm = True
        self.world.tell("all is well from here on")
        self.world.doomed.clear()
        self.end_zombies()
        self.world.weather = Weather()
        self.ground.order_rate = frozenset()
        for disk in self.ground.disks:
            disk.calm()
        self.ground.positions.down = self.ground.directory.orders.down = False
        for name in SERVICES:
            self.lives[name].freeze(frozen=False)
            self.mend(name)
            self.be_quick(name)

    @property
    def oms(self) -> Oms:
        found = self.lives["oms"]
        assert isinstance(found, Oms)
        return found

    @property
    def risk(self) -> RiskService:
        found = self.lives["risk"]
        assert isinstance(found, RiskService)
        return found

    def _on_wire(self, sender: str, subject: str, payload: bytes) -> None:
        """What execution sends to venues, whether it arrives or not."""
        if sender != "exeq" or not matches(REQUESTS, subject):
            return
        found: list[SentRequest] = _REQUESTS.decode(payload)
        for verb, request in ((sent.verb, sent.request) for sent in found):
            self.sends.append(ObservedSend(verb, request.order_id, request.route_id, self.ground.orders.head.seq))
            if verb == "new":
                self.operator.seen(request)
            self.world.tell("exeq sends %s %s to %s", verb, request.route_id, request.venue)

    def unread_errors(self) -> Iterator[tuple[str, BaseException]]:
        for process in (*self.dead, *self.lives.values()):
            for error in process.lost_errors():
                yield process.name, error
