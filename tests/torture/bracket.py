"""kill -9 of oms at the commits of a bracket's life: a trade and what follows for the exits are both in the journal, or neither is. GRP-1.

The venue's staff makes the trades. The process dies at a failpoint, is started with the next one, and so on, until the list has ended.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import httpx

from apps.runtime.failpoint import KILLED
from apps.stack.ports import HOST
from apps.stack.program import Program, http_answers
from apps.stack.services import CHECKOUT, MODULES
from apps.stack.topology import UNIT, UNITED
from apps.stack.trouble import NotReady
from domain.audit.journal_audit import ObservedCommit
from domain.audit.list_audit import check_lists
from domain.order.events import OrderEvent, OrderFilled, OrderSubmitted
from domain.values import ZERO
from tests.faults.scene import PATIENT, WITHOUT_CLOSES, events_of
from tests.flows.traffic import RISK_WAS_SILENT
from tests.live import LiveProcess, LiveServer
from tests.ports import free_ports
from tests.process import NO_SERVER, Changes, LiveService

Tell = Callable[[str], None]
Found = dict[str, Any]

STEPS: Final = ("before_append", "after_append")
DEATHS: Final = 6
EVERY_MAX: Final = 4
"""The process dies after 1 to this many commits, counted from its start."""
ATTEMPTS: Final = 20
WITHIN_S: Final = 240.0
POLL_S: Final = 0.03
CHANGES: Final[Mapping[str, Changes]] = {"oms": PATIENT, "risk": WITHOUT_CLOSES}
PRICES: Final = {"entry": "42000", "take_profit": "50000"}
"""Far from the market: only the venue's staff trades."""


@dataclass
class Came:
    """What the kills came to."""

    lists: int = 0
    deaths: int = 0
    never_arrived: int = 0

    def line(self) -> str:
        whole = f"{self.lists - self.never_arrived} filled, {self.never_arrived} cancelled because an order was never sent"
        return f"{self.lists} brackets with {self.deaths} deaths: each trade and what follows from it in one commit; {whole}"


class UnitProcess(LiveProcess):
    """oms, risk and exeq as one process."""

    def __init__(self, nats: LiveServer, home: Path, files: dict[str, Path]) -> None:
        home.mkdir(parents=True, exist_ok=True)
        numbers = free_ports(2 * len(UNITED))
        ports = dict(zip(UNITED, numbers, strict=False))
        own = {f"TRADE_{name.upper()}_PORT": str(port) for name, port in ports.items()}
        own |= {f"TRADE_{n.upper()}_METRICS_PORT": str(port) for n, port in zip(UNITED, numbers[len(UNITED) :], strict=True)}
        own |= {f"TRADE_{name.upper()}_CONFIG": str(file) for name, file in files.items()}
        common = {"TRADE_HOST": HOST, "TRADE_NATS_URL": nats.url, "TRADE_NATS_MONITOR_URL": nats.monitor_url, "TRADE_FILLS": "sqlite"}
        common |= {"TRADE_VALKEY_URL": NO_SERVER, "TRADE_DATA_DIR": str(home), "TRADE_LOG_DIR": str(home)}

        def probe() -> None:
            for port in ports.values():
                http_answers(port, "/ready")

        super().__init__(
            Program(
                name=UNIT,
                kind="service",
                command=(sys.executable, "-m", MODULES[UNIT]),
                probe=probe,
                ports=ports,
                environment=common | own,
                cwd=CHECKOUT,
            ),
            home,
        )

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.program.ports['oms']}"


class House:
    """All services on one nats-server. `victim` is the process that has oms."""

    def __init__(self, nats: LiveServer, home: Path, topology: str) -> None:
        apart = {name: LiveService(name, nats, home / name, changes=CHANGES.get(name)) for name in ("risk", "oms", "exeq", "live-gateway")}
        gateway = apart["live-gateway"]
        self.nats = nats
        self.victim: Any
        self.others: list[LiveProcess]
        if topology == UNIT:
            files = {name: home / name / "config.yaml" for name in UNITED}
            self.victim, self.others = UnitProcess(nats, home / "unit", files), [gateway]
        else:
            self.victim, self.others = apart["oms"], [gateway, apart["risk"], apart["exeq"]]
        self.venues = gateway.url
        self.never_arrived = 0
        file = home / "live-gateway" / "config.yaml"
        file.write_text(file.read_text().replace("faults: denied", "faults: allowed"))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        try:
            for each in (*self.others, self.victim):
                each.begin()
            for each in (*self.others, self.victim):
                await asyncio.to_thread(each.ready)
            yield
        finally:
            for each in (self.victim, *self.others):
                each.kill()

    def is_ready(self) -> bool:
        try:
            self.victim.program.probe()
            for each in self.others:
                each.program.probe()
        except NotReady:
            return False
        return True

    async def live(self, name: str, failpoints: Sequence[str]) -> int:
        """One bracket, during which oms dies of each failpoint in turn. Return how often it died."""
        life, deaths = asyncio.create_task(_Life(self, name).run()), 0
        self.victim.kill()
        self.victim.begin(TRADE_FAILPOINT=failpoints[0])
        try:
            for point in (*failpoints[1:], ""):
                while self.victim.ended is None and not life.done():
                    await asyncio.sleep(POLL_S)
                if life.done():
                    break
                code = self.victim.wait()
                assert code == KILLED, f"oms ended with {code}:\n{self.victim.said()}"
                deaths += 1
                self.victim.begin(TRADE_FAILPOINT=point)
            await life
        finally:
            life.cancel()
        return deaths


class NeverArrived(Exception):
    """An order of the list was rejected, because its venue never had it."""


class _Life:
    """A bracket that buys 0.5 in two trades, and sells it in two."""

    def __init__(self, house: House, name: str) -> None:
        self._house = house
        self._name = name
        self._list_id = ""

    async def run(self) -> None:
        async with asyncio.timeout(WITHIN_S), httpx.AsyncClient(timeout=5.0) as self._http:
            first = await self._submitted()
            self._list_id = first["list_id"]
            try:
                await self._traded()
            except NeverArrived:
                await self._asked("DELETE", f"/order-lists/{self._list_id}?exits=cancel")
                while (await self._asked("GET", f"/order-lists/{self._list_id}"))["reason"] != "cancelled":
                    await asyncio.sleep(POLL_S)
                self._house.never_arrived += 1
            assert await self._asked("POST", "/order-lists", self._body()) == first | {"replayed": True}

    async def _traded(self) -> None:
        """The four trades. NeverArrived: oms and exeq died together before an order was sent, so it has ended without a trade."""
        await self._until(entry=Decimal("0.5"))
        await self._trade("entry", "0.2")
        await self._until(entry=Decimal("0.3"), take_profit=Decimal("0.2"), stop_loss=Decimal("0.2"))
        await self._trade("entry", "0.3")
        await self._until(entry=ZERO, take_profit=Decimal("0.5"), stop_loss=Decimal("0.5"))
        await self._trade("take_profit", "0.2")
        await self._until(entry=ZERO, take_profit=Decimal("0.3"), stop_loss=Decimal("0.3"))
        await self._trade("take_profit", "0.3")
        ended = await self._until(entry=ZERO, take_profit=ZERO, stop_loss=ZERO)
        assert (ended["status"], ended["reason"], ended["flags"]) == ("done", "filled", []), ended

    async def _submitted(self) -> Found:
        """The answer to the list, under another name as long as risk has not caught up after a death."""
        for attempt in range(ATTEMPTS):
            self._client_list_id = f"{self._name}-{attempt}"
            while not await asyncio.to_thread(self._house.is_ready):
                await asyncio.sleep(POLL_S)
            answer = await self._asked("POST", "/order-lists", self._body())
            if answer["status"] == "submitted":
                return answer
            assert answer["reason"] in RISK_WAS_SILENT, answer
        raise AssertionError("risk never approved")

    def _body(self) -> Found:
        entry = {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.5", "price": PRICES["entry"]}
        exits = [{"role": "take_profit", "price": PRICES["take_profit"]}, {"role": "stop_loss", "stop_price": "40000"}]
        return {"account": "alice", "client_list_id": self._client_list_id, "type": "bracket", "orders": [entry, *exits]}

    async def _asked(self, method: str, path: str, body: Found | None = None) -> Found:
        """Ask until there is an answer, as the documentation asks of clients."""
        while True:
            try:
                answer = await self._http.request(method, self._house.victim.url + path, json=body)
            except httpx.TransportError:
                await asyncio.sleep(POLL_S)
                continue
            if answer.status_code in (200, 202):
                found: Found = answer.json()
                return found
            assert answer.status_code in (429, 503), answer.text
            await asyncio.sleep(POLL_S)

    async def _until(self, **leaves: Decimal) -> Found:
        """Until the orders work for these quantities, their venues have answered, and the list says so."""
        while True:
            found = await self._asked("GET", f"/order-lists/{self._list_id}")
            last = {order["role"]: order for order in found["orders"]}
            if any(order["status"] == "rejected" for order in last.values()):
                raise NeverArrived
            ended = all(not wanted for wanted in leaves.values())
            if all(_stands(last[role], wanted) for role, wanted in leaves.items()) and bool(found["reason"]) == ended:
                return found
            await asyncio.sleep(POLL_S)

    async def _trade(self, role: str, quantity: str) -> None:
        """A trade by the venue's staff."""
        found = await self._asked("GET", f"/order-lists/{self._list_id}")
        order = next(order for order in found["orders"] if order["role"] == role)
        body = {"fault": "fill", "order_id": order["order_id"], "quantity": quantity, "price": PRICES[role]}
        answer = await self._http.post(f"{self._house.venues}/venues/{order['routes'][-1]['venue']}/faults", json=body)
        assert answer.status_code == 200, answer.text


def _stands(order: Found, leaves: Decimal) -> bool:
    if not leaves:
        return order["status"] in ("filled", "cancelled")
    if Decimal(str(order["leaves_quantity"])) != leaves:
        return False
    asleep = order["role"] == "stop_loss" and order["status"] == "queued"
    return asleep or (order["status"] in ("routed", "partially_filled") and order["routes"][-1]["venue_order_id"] is not None)


def torn(events: Sequence[tuple[int, OrderEvent]]) -> Iterator[str]:
    """Say which trades are in a commit without what follows from them, and what the checker of lists finds."""
    roles = {event.order_id: (event.group_id, event.role) for _, event in events if isinstance(event, OrderSubmitted) and event.group_id}
    commits = [(seq, tuple(event for _, event in found)) for seq, found in groupby(events, key=lambda each: each[0])]
    for seq, facts in commits:
        touched = {roles[event.order_id] for event in facts if event.order_id in roles and not isinstance(event, OrderFilled)}
        for group_id, role in {roles[event.order_id] for event in facts if isinstance(event, OrderFilled) and event.order_id in roles}:
            others = {"entry": ("take_profit", "stop_loss"), "take_profit": ("stop_loss",)}[role]
            yield from (f"{seq}: {role} traded, {other} is as it was" for other in others if (group_id, other) not in touched)
    yield from map(str, check_lists([ObservedCommit(seq, n, "", b"", facts) for n, (seq, facts) in enumerate(commits, 1)]))


async def bracket(lives: Sequence[Sequence[str]], nats: LiveServer, home: Path, tell: Tell, topology: str) -> Came:
    """One bracket after the other, in each of which oms dies of these failpoints. AssertionError says what did not hold."""
    came, house = Came(), House(nats, home, topology)
    async with house.running():
        for number, failpoints in enumerate(lives, 1):
            came.deaths += await house.live(f"b-{number}", failpoints)
            came.lists, came.never_arrived = number, house.never_arrived
            tell(f"{number} of {len(lives)} brackets, {came.deaths} deaths")
        found = list(torn(await events_of(nats)))
    assert not found, "\n".join(found[:20])
    return came


def lives_of(rounds: int, seed: int) -> list[list[str]]:
    """Draw the failpoints of `rounds` brackets."""
    chance = random.Random(seed)
    return [[f"{chance.choice(STEPS)}:{chance.randint(1, EVERY_MAX)}" for _ in range(DEATHS)] for _ in range(rounds)]
