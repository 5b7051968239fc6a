"""The kill switch, or a block, at a random instant under load: after its answer nothing of it is sent, and what is open is cancelled."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus
from adapters.codec import decoder
from adapters.subjects import REQUESTS
from apps.connections.venue_lists import SentRequest
from domain.risk.controls import scopes_of
from tests.faults.scene import PATIENT, connected, until_ready
from tests.live import LiveServer
from tests.process import Changes, LiveService

CLIENTS: Final = 12
ACCOUNTS: Final = ("alice", "bob", "carol")
SYMBOLS: Final = {"BTCUSDT": "40000", "ETHUSDT": "2200"}
"""Each with a price without sellers: orders rest, or end at once, and positions stay flat."""
VENUES: Final = ("PAPER_B",)
"""The cheaper one, where everything goes while it may."""
BLOCK: Final = "block:BTCUSDT"
SCOPES: Final = (BLOCK, "all", *(f"account:{a}" for a in ACCOUNTS), *(f"symbol:{s}" for s in SYMBOLS), *(f"venue:{v}" for v in VENUES))
TURNS: Final = 10
"""What has arrived is in the subscription's queue by then: its callback has a turn."""
FLOWS_WITHIN_S: Final = 20.0
THROWN_WITHIN_S: Final = 0.08
WATCHED_S: Final = 0.06
"""How long nothing may come after an answer, with the load going on: a late send would be on its way for a thousandth of that."""
CANCELLED_WITHIN_S: Final = 20.0
NO_HISTORY: Final[Changes] = {
    "risk_checks": {"enabled": ["position_limit", "order_size_limit", "buying_power", "concentration_limit", "short_restriction"]}
}
FORGIVING: Final[Changes] = {"routing": {"venue_health": "ignored"}}
"""After a death a venue seems silent for a while, and everything would go to the other one."""
WHY: Final = {"reason": "torture"}
TELL_EVERY: Final = 50

Tell = Callable[[str], None]
_REQUESTS: Final = decoder(list[SentRequest])


@dataclass
class Came:
    """`before` counts sends of a scope in the rounds of its switch, before it was answered."""

    rounds: int = 0
    sends: int = 0
    before: int = 0
    deaths: int = 0
    answers: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        told = ", ".join(f"{count} {name}" for name, count in self.answers.most_common())
        return (
            f"{self.rounds} switches thrown, {self.deaths} with a kill -9; {self.sends} sends, {self.before} of the scopes before; {told}"
        )


class Wire:
    """Everything that goes to the venues. `flush` has all that the server took before it delivered."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.scopes: list[tuple[str, ...]] = []

    async def listen(self) -> None:
        await self._client.subscribe(REQUESTS, cb=self._on_requests)
        await bus.flush(self._client)

    async def _on_requests(self, message: Msg) -> None:
        for request in (sent.request for sent in _REQUESTS.decode(message.data) if sent.verb != "cancel"):
            self.scopes.append((*scopes_of(request.account, request.symbol, request.venue), f"block:{request.symbol}"))

    async def count(self) -> int:
        await bus.flush(self._client)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        return len(self.scopes)

    def of(self, scope: str, since: int = 0) -> int:
        return sum(scope in each for each in self.scopes[since:])

    async def flows(self, scope: str) -> bool:
        """Is something of the scope sent? Without that, silence proves nothing."""
        began, deadline = len(self.scopes), time.monotonic() + FLOWS_WITHIN_S
        while time.monotonic() < deadline:
            if self.of(scope, began):
                return True
            await asyncio.sleep(0.002)
        return False


class House:
    """The services that an order passes, and a load on them."""

    def __init__(self, nats: LiveServer, home: Path) -> None:
        self.oms = LiveService("oms", nats, home / "oms", changes=PATIENT)
        self.risk = LiveService("risk", nats, home / "risk", changes=NO_HISTORY)
        self.exeq = LiveService("exeq", nats, home / "exeq", changes=FORGIVING)
        self.gateway = LiveService("live-gateway", nats, home / "gateway")
        self.services = (self.oms, self.risk, self.exeq, self.gateway)
        self.loading = True
        self.reasons: Counter[str] = Counter()

    def start(self) -> None:
        """All at once: oms says that it is ready when risk has spoken."""
        for service in self.services:
            service.begin()
        for service in self.services:
            service.ready()

    def stop(self) -> None:
        for service in self.services:
            service.stop()

    async def client(self, http: httpx.AsyncClient, number: int, seed: int) -> None:
        """Orders without end, half of them to rest at a venue."""
        chance, n = random.Random(f"{seed} client {number}"), 0
        while self.loading:
            n += 1
            symbol = chance.choice(list(SYMBOLS))
            order = {
                "client_order_id": f"{seed}-{number}-{n}",
                "account": chance.choice(ACCOUNTS),
                "symbol": symbol,
                "side": "buy",
                "quantity": "0.01",
                "price": SYMBOLS[symbol],
                "time_in_force": chance.choice(("gtc", "ioc", "ioc", "ioc")),
            }
            try:
                answer = await http.post("/orders", json=order)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            self.reasons[answer.json().get("reason") or str(answer.status_code)] += 1
            await asyncio.sleep(0.02 if answer.status_code != 200 else 0)


async def killswitch(rounds: int, seed: int, nats: LiveServer, home: Path, tell: Tell = lambda line: None, deaths: int = 0) -> Came:
    """Throws this many switches; in `deaths` of the rounds all processes are killed meanwhile. AssertionError when one is not obeyed."""
    came, house, chance = Came(), House(nats, home), random.Random(seed)
    deadly = set(chance.sample(range(rounds), deaths))
    async with AsyncExitStack() as opened:
        opened.callback(house.stop)
        house.start()
        wire = Wire(await opened.enter_async_context(connected(nats.url)))
        await wire.listen()
        orders = await opened.enter_async_context(house.oms.client())
        desk = await opened.enter_async_context(house.risk.client())
        clients = [asyncio.create_task(house.client(orders, number, seed)) for number in range(CLIENTS)]
        try:
            for number in range(rounds):
                scope = chance.choice(SCOPES[1:] if number in deadly else SCOPES)
                assert await wire.flows(scope), f"nothing of {scope} reaches a venue: {came.line()}, {house.reasons}"
                await asyncio.sleep(chance.uniform(0, THROWN_WITHIN_S))
                await _round(scope, house, wire, desk, came, chance if number in deadly else None)
                came.sends = len(wire.scopes)
                if (number + 1) % TELL_EVERY == 0:
                    tell(f"{number + 1} of {rounds}: {came.line()}")
        finally:
            house.loading = False
            await asyncio.gather(*clients)
    return came


async def _round(scope: str, house: House, wire: Wire, desk: httpx.AsyncClient, came: Came, deadly: random.Random | None) -> None:
    """Thrown, obeyed, cancelled, armed."""
    began = await wire.count()
    answer = await (_thrown_while_dying(scope, house, desk, came, deadly) if deadly else _thrown(scope, desk))
    silent_from = await wire.count()
    came.before += wire.of(scope, began)
    came.rounds += 1
    came.answers.update(f"{name} {how}" for name, how in answer["obeyed"].items())
    await asyncio.sleep(WATCHED_S)
    await wire.count()
    late = wire.of(scope, silent_from)
    assert late == 0, f"{late} sends of {scope} after its switch was answered: {answer}"
    await _until_cancelled(scope, house)
    assert wire.of(scope, silent_from) == 0, f"{scope} was sent while its switch was thrown"
    if scope == BLOCK:
        await _post(desk, "/risk/symbols/BTCUSDT/unblock", dict(WHY))
        return
    token = (await _post(desk, "/risk/arm", {"scope": scope, "who": "desk-1", **WHY}))["token"]
    await _post(desk, "/risk/arm", {"scope": scope, "who": "desk-2", "token": token, **WHY})


async def _thrown(scope: str, desk: httpx.AsyncClient) -> dict[str, Any]:
    path, more = ("/risk/symbols/BTCUSDT/block", {}) if scope == BLOCK else ("/risk/kill", {"scope": scope})
    answer = await desk.post(path, json={"who": "desk-1", **more, **WHY})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def _thrown_while_dying(scope: str, house: House, desk: httpx.AsyncClient, came: Came, chance: random.Random) -> dict[str, Any]:
    """All processes are killed while the switch is thrown. Answered or not, thrown again after the restart it is obeyed."""
    throwing = asyncio.create_task(desk.post("/risk/kill", json={"scope": scope, "who": "desk-1", **WHY}))
    await asyncio.sleep(chance.uniform(0, 0.02))
    for service in (house.oms, house.risk, house.exeq):
        service.kill()
    (first,) = await asyncio.gather(throwing, return_exceptions=True)
    answered = isinstance(first, httpx.Response) and first.status_code in (200, 202)
    came.deaths += 1
    for service in (house.oms, house.risk, house.exeq):
        service.begin()
    async with asyncio.timeout(60):
        await until_ready(desk, 60)
        killed = [kill["scope"] for kill in (await desk.get("/risk/controls")).json()["killed"]]
        assert not answered or scope in killed, f"{scope} was answered as killed, and is forgotten: {killed}"
        for service in (house.oms, house.exeq):
            async with service.client() as http:
                await until_ready(http, 60)
    return await _thrown(scope, desk)


async def _until_cancelled(scope: str, house: House) -> None:
    """No order of the scope is open any more."""
    async with house.oms.client() as http, asyncio.timeout(CANCELLED_WITHIN_S):
        while await _open(scope, http):
            await asyncio.sleep(0.02)


async def _open(scope: str, http: httpx.AsyncClient) -> bool:
    kind, _, name = scope.partition(":")
    query = {"symbol": name} if scope == BLOCK else {kind: name} if kind in ("account", "symbol") else {}
    for status in ("new", "queued", "routed", "partially_filled", "pending_cancel", "in_doubt"):
        found = (await http.get("/orders", params={"status": status, "limit": 100, **query})).json()["orders"]
        if kind == "venue":
            found = [order for order in found if any(route["venue"] == name for route in order["routes"])]
        if found:
            return True
    return False


async def _post(http: httpx.AsyncClient, path: str, body: dict[str, object]) -> dict[str, Any]:
    answer = await http.post(path, json=body)
    assert answer.status_code in (200, 202), answer.text
    found: dict[str, Any] = answer.json()
    return found
