"""Old and new exeq, risk, projector and oms run at the same time, as in a deploy: each order is sent once, and positions are exact."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from domain.order.events import OrderFilled, OrderRouted, ShardTaken
from domain.values import signed
from tests.faults.scene import PATIENT, WITHOUT_CLOSES, events_of, order
from tests.live import LiveServer
from tests.process import Changes, LiveService

WITHIN_S: Final = 120.0
"""A bound for what hangs, not for what is slow."""
CALLERS: Final = 3
SOME: Final = 12
"""Orders that are answered between two steps of a deploy."""
NAMES: Final = ("live-gateway", "oms", "risk", "exeq", "projector")
CHANGES: Final[Mapping[str, Changes]] = {"oms": PATIENT, "risk": WITHOUT_CLOSES}
ENDS: Final = ("filled", "rejected", "cancelled")


class Place:
    """The services of one version. The gateway is there once."""

    def __init__(self, nats: LiveServer, valkey: LiveServer, home: Path, names: tuple[str, ...] = NAMES) -> None:
        self.services = {name: LiveService(name, nats, home / name, valkey_url=valkey.url, changes=CHANGES.get(name, {})) for name in names}
        self.http: dict[str, httpx.AsyncClient] = {}

    @asynccontextmanager
    async def living(self) -> AsyncIterator["Place"]:
        async with AsyncExitStack() as exits:
            for name, service in self.services.items():
                self.http[name] = await exits.enter_async_context(service.client())
                exits.callback(service.stop)
                service.begin()
            yield self

    async def says(self, name: str, path: str) -> dict[str, Any]:
        """What a service answers; empty while it does not."""
        try:
            found: dict[str, Any] = (await self.http[name].get(path)).json()
        except httpx.TransportError:
            return {}
        return found

    async def until(self, name: str, path: str, *words: str) -> None:
        """Until an answer has all of these words."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WITHIN_S
        while [word for word in words if word not in (said := str(await self.says(name, path)))]:
            assert self.services[name].ended is None, self.services[name].said()
            assert loop.time() < deadline, f"{name}: {said}\n{self.services[name].said()}"
            await asyncio.sleep(0.1)

    async def ready(self, *names: str) -> None:
        for name in names or tuple(self.services):
            await self.until(name, "/ready", "'ready'")


class Load:
    """Orders under names of their own, each asked for until it is answered, by whichever oms is there."""

    def __init__(self, *doors: httpx.AsyncClient) -> None:
        self.doors = list(doors)
        self.answers: dict[str, dict[str, Any]] = {}
        self._names = (f"o-{number}" for number in itertools.count())
        self._over = False
        self._tasks = [asyncio.create_task(self._call(caller)) for caller in range(CALLERS)]

    async def _call(self, caller: int) -> None:
        while not self._over:
            name = next(self._names)
            self.answers[name] = await self._answered(caller, order(name, price="50000"))

    async def _answered(self, caller: int, body: dict[str, str]) -> dict[str, Any]:
        """Asked again until there is an answer, also where this test was too slow to send its body (408)."""
        async with asyncio.timeout(WITHIN_S):
            for attempt in itertools.count(caller):
                try:
                    answer = await self.doors[attempt % len(self.doors)].post("/orders", json=body)
                except httpx.TransportError:
                    answer = None
                if answer is not None and answer.status_code == 200:
                    found: dict[str, Any] = answer.json()
                    return found
                assert answer is None or answer.status_code in (408, 429, 503), answer.text
                await asyncio.sleep(0.05)
        raise AssertionError("it counts forever")

    async def more(self) -> None:
        """Until some more were answered."""
        enough = len(self.answers) + SOME
        async with asyncio.timeout(2 * WITHIN_S):
            while len(self.answers) < enough:
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.05)

    async def end(self) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)


async def listed(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    """All orders, page by page."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await http.get("/orders", params={"limit": 1000, **({"cursor": cursor} if cursor else {})})).json()
        found += page["orders"]
        cursor = page["next"]
    return found


async def settled(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    async with asyncio.timeout(WITHIN_S):
        while True:
            found = await listed(http)
            if found and all(one["status"] in ENDS for one in found):
                return found
            await asyncio.sleep(0.2)


async def judged(nats: LiveServer, place: Place, oms: httpx.AsyncClient, answers: dict[str, Any]) -> None:
    """Every answered order is there once; the venue had each filled one exactly once; positions are what the fills say."""
    orders = await settled(oms)
    assert sorted(one["client_order_id"] for one in orders) == sorted(answers)
    events = await events_of(nats)
    routes = Counter(leg.route_id for _, event in events if isinstance(event, OrderRouted) for leg in event.legs)
    assert not [route for route, times in routes.items() if times > 1]
    venues = (await place.says("live-gateway", "/stats"))["venues"].values()
    filled = [one for one in orders if one["status"] == "filled"]
    assert max(venue["sends_per_route_max"] for venue in venues) == 1
    assert sum(venue["orders"] for venue in venues) == len(filled) > SOME
    fills = [(seq, event) for seq, event in events if isinstance(event, OrderFilled)]
    quantity = sum((signed(event.side, event.quantity) for _, event in fills), Decimal(0))
    positions = (await oms.get("/positions/alice", params={"min_seq": fills[-1][0]})).json()
    assert Decimal(str(positions["BTCUSDT"]["quantity"])) == quantity
    print(len(orders), "orders,", len(filled), "filled,", sum(isinstance(event, ShardTaken) for _, event in events), "take-overs")


@pytest.mark.timeout(900)
async def test_a_deploy_that_overlaps_two_of_each_sends_every_order_once(
    fresh_nats: LiveServer, fresh_valkey: LiveServer, tmp_path: Path
) -> None:
    # SCALE 3: a second exeq on the journal sent 47 of 47 routes a second time
    old = Place(fresh_nats, fresh_valkey, tmp_path / "old")
    new = Place(fresh_nats, fresh_valkey, tmp_path / "new", NAMES[1:])
    async with old.living():
        await old.ready()
        load = Load(old.http["oms"])
        await load.more()
        async with new.living():
            for name in ("risk", "exeq", "projector"):
                await new.until(name, "/ready", "stands by", f"{name}-")
                await new.until(name, "/health", "'healthy'")
            load.doors.append(new.http["oms"])  # it has no shard while the old one writes, and refuses
            await load.more()
            for name in ("exeq", "projector", "risk"):
                old.services[name].stop()
                await new.ready(name)
                await load.more()
            old.services["oms"].stop()
            await new.ready("oms")
            await load.more()
            await load.end()
            await judged(fresh_nats, old, new.http["oms"], load.answers)
            assert all(service.ended is None for service in new.services.values())


@pytest.mark.timeout(900)
async def test_an_exeq_that_slept_while_another_took_over_ends_and_has_sent_nothing_twice(
    fresh_nats: LiveServer, fresh_valkey: LiveServer, tmp_path: Path
) -> None:
    # SCALE S2
    place = Place(fresh_nats, fresh_valkey, tmp_path / "old")
    heir = Place(fresh_nats, fresh_valkey, tmp_path / "new", ("exeq",))
    async with place.living():
        await place.ready()
        load = Load(place.http["oms"])
        await load.more()
        async with heir.living():
            await heir.until("exeq", "/ready", "stands by")
            sleeper = place.services["exeq"]
            sleeper.freeze()
            await heir.ready("exeq")
            await load.more()
            sleeper.thaw()
            assert await asyncio.to_thread(sleeper.wait, WITHIN_S) == 1
            assert "no longer sends" in sleeper.said() or "this process ends" in sleeper.said()
            await load.more()
            await load.end()
            await judged(fresh_nats, place, place.http["oms"], load.answers)
            assert heir.services["exeq"].ended is None
