"""The power is cut under a journal, and under an oms that takes orders: what was acknowledged is there when it comes back.

kill -9 cannot show that: the kernel writes what the dead have left. So store and data lie on a disk of their own (tests/torture/disk.py).
Each round first shows that the server's default sync setting does lose what it acknowledged: else the round proves nothing.
"""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from adapters import bus
from adapters.jetstream import JetStreamJournal, ensure_stream, stream_state
from adapters.orderstore import SqliteOrderStore
from adapters.subjects import ORDER_STREAM, order_subject
from adapters.watermark import DIRECTORY, FileWatermark
from apps.connections.stores import ORDERS_FILE
from apps.stack import servers
from apps.stack.ports import ServerPorts
from apps.tools.verify.run import Sides, verify
from domain.order.events import OrderSubmitted
from domain.ports import Head, Unavailable
from tests.faults.scene import PATIENT, answered, connected, events_of, order, order_journal, risk_that_says_yes
from tests.live import LiveServer
from tests.ports import free
from tests.process import LiveService
from tests.torture.disk import Disk

CHAPTER: Final = 20
"""How many cuts one machine gets, its history growing, before the next one begins with an empty disk."""
CONTROL_MB: Final = 32
CONTROL_TRIES: Final = 3
"""The kernel may have written all by itself just then; not so often."""
LOAD_S: Final = (0.2, 1.2)
CLIENTS: Final = 8
SAVED_WITHIN_S: Final = 10.0
JOURNAL_MAX: Final = 64 * 2**20
SYNC: Final = "  sync_interval: always\n"

Tell = Callable[[str], None]


@dataclass
class Came:
    """What the cuts came to."""

    cuts: int = 0
    lost_by_default: list[int] = field(default_factory=list)
    answered: int = 0
    settled: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        lost = f"the default setting lost {sum(self.lost_by_default)} acknowledged commits, {min(self.lost_by_default)} at least in each"
        unknown = ", ".join(f"{count} {name}" for name, count in self.settled.items())
        return f"{self.cuts} cuts: {lost}; with ours none of {self.answered} answered orders; without an answer: {unknown or 'none'}"


async def cut(rounds: int, seed: int, home: Path, tell: Tell) -> Came:
    """`rounds` power cuts. NotPermitted where no file can be mounted; AssertionError says what was lost."""
    came = Came()
    for first in range(0, rounds, CHAPTER):
        count = min(CHAPTER, rounds - first)
        async with machine(home / f"from-{first}") as there:
            for number in range(first, first + count):
                chance = random.Random(f"{seed} {number}")
                came.lost_by_default.append(await control(home / f"control-{number}", chance))
                await there.live_and_die(f"{number}", chance, came)
                came.cuts += 1
        tell(f"{first + count} of {rounds} cuts; {came.answered} answered orders")
    return came


# The control: the same journal and the same cut, with the setting that the server has by itself


async def control(home: Path, chance: random.Random) -> int:
    """How many acknowledged commits the default setting loses. AssertionError when it loses none however often it is tried."""
    for attempt in range(CONTROL_TRIES):
        with Disk(home / str(attempt), CONTROL_MB) as disk:
            ports = free(ServerPorts)
            program = servers.nats(disk.root, ports)
            conf = disk.root / "nats" / "nats.conf"
            assert SYNC in conf.read_text()
            conf.write_text(conf.read_text().replace(SYNC, ""))
            nats = LiveServer(program, disk.root, servers.Servers.at(ports))
            nats.output = home / "nats.out"
            nats.start()
            disk.settle()
            acknowledged = await _append(nats, chance.uniform(*LOAD_S))
            nats.kill()
            disk.cut()
            found = await _found(nats.start())
            nats.kill()
        if found.seq < acknowledged.seq:
            return acknowledged.seq - found.seq
    raise AssertionError("the default setting lost nothing: this machine does not show what a power cut does")


async def _append(nats: LiveServer, seconds: float) -> Head:
    async with connected(nats.url) as client:
        await ensure_stream(client, ORDER_STREAM, ["oms.journal.*"], CONTROL_MB * 2**19)
        journal, head = await order_journal(client), Head()
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            head = await journal.append(b'{"v":1,"shard":0,"n":%d,"events":[]}' % (head.n + 1), head)
    return head


async def _found(nats: LiveServer) -> Head:
    async with connected(nats.url) as client:
        if await stream_state(client, ORDER_STREAM) is None:
            return Head()
        return await (await order_journal(client)).head()


# Ours: nats-server and oms with all that they keep


@asynccontextmanager
async def machine(home: Path) -> AsyncIterator["Machine"]:
    """A machine with a disk of its own, up."""
    with Disk(home) as disk:
        ports = free(ServerPorts)
        nats = LiveServer(servers.nats(disk.root, ports), disk.root, servers.Servers.at(ports))
        oms = LiveService("oms", nats, disk.root / "oms", changes=PATIENT | {"journal": {"max_bytes": JOURNAL_MAX}})
        for process in (nats, oms):
            process.output = home / f"{process.program.name}.out"
        try:
            nats.start()
            async with risk_that_says_yes(nats.url):
                oms.start()
                disk.settle()
                yield Machine(disk, nats, oms)
        finally:
            oms.kill()
            nats.kill()


class Machine:
    """It takes orders until its power is cut, and is looked at when it is up again."""

    def __init__(self, disk: Disk, nats: LiveServer, oms: LiveService) -> None:
        self._disk = disk
        self._nats = nats
        self._oms = oms
        self._asked: dict[str, dict[str, str]] = {}
        self._answers: dict[str, dict[str, Any]] = {}

    async def live_and_die(self, name: str, chance: random.Random, came: Came) -> None:
        before = len(self._answers)
        await self._load_until_cut(name, chance.uniform(*LOAD_S))
        came.answered += len(self._answers) - before
        self._nats.start()
        self._oms.start()
        events = [(seq, event) for seq, event in await events_of(self._nats) if isinstance(event, OrderSubmitted)]
        born = {event.client_order_id: seq for seq, event in events}
        assert len(born) == len(events), "an order is there twice"
        lost = [f"{name} (sequence {answer['seq']})" for name, answer in self._answers.items() if born.get(name) != answer["seq"]]
        assert not lost, f"{len(lost)} answered orders are gone: {', '.join(lost[:5])}"
        assert born.keys() <= self._asked.keys(), "an order that was never sent"
        await self._settle(came)
        await self._verify()

    async def _load_until_cut(self, name: str, seconds: float) -> None:
        """Orders as fast as they are answered, then the cut."""
        numbers = itertools.count()

        async def send(client: int) -> None:
            async with self._oms.client() as http:
                for number in numbers:
                    body = order(f"o-{name}-{number}", account=f"a-{name}-{client}")
                    self._asked[body["client_order_id"]] = body
                    try:
                        answer = await http.post("/orders", json=body)
                    except httpx.TransportError:
                        return
                    if answer.status_code == 503:  # nats died first
                        return
                    assert answer.status_code == 200, answer.text
                    self._answers[body["client_order_id"]] = answer.json()

        sending = [asyncio.create_task(send(client)) for client in range(CLIENTS)]
        await asyncio.sleep(seconds)
        self._nats.kill()
        self._oms.kill()
        self._disk.cut()
        await asyncio.gather(*sending)

    async def _settle(self, came: Came) -> None:
        """Clients without an answer ask again; some of those with one do too."""
        async with self._oms.client() as http:
            for name in list(self._asked)[-CLIENTS * 4 :]:
                now, first = await answered(http, self._asked[name]), self._answers.get(name)
                assert first is None or now == first | {"replayed": True}, f"first {first}, now {now}"
                if first is None:
                    came.settled["was stored" if now.pop("replayed", False) else "was not"] += 1
                    self._answers[name] = now
        assert self._asked.keys() == self._answers.keys(), "a client was not answered before the cut, and not asked again"

    async def _verify(self) -> None:
        """The journal's chain and mark, every order's life, and the order store that lay on the same disk."""
        home = self._oms.home
        await _saved(SqliteOrderStore(home / ORDERS_FILE))
        mark = FileWatermark(home / DIRECTORY, order_subject(0)).read
        client = await bus.connect(self._nats.url, "verify", closed=lambda: None)
        try:
            journal = await JetStreamJournal.open(client, stream=ORDER_STREAM, subject=order_subject(0))
            report = await verify(journal, Sides(mark=mark, orders=SqliteOrderStore(home / ORDERS_FILE).picture))
        except Unavailable as trouble:
            raise AssertionError(f"it could not be verified: {trouble}") from trouble
        finally:
            await client.close()
        assert report.ok, report.first_difference


async def _saved(store: SqliteOrderStore) -> None:
    """Until oms has saved something since its start: the cut may have taken all of the file, which is not fsynced."""
    async with asyncio.timeout(SAVED_WITHIN_S):
        while True:
            with store.picture() as picture:
                if picture is not None:
                    return
            await asyncio.sleep(0.05)
