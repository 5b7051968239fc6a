"""exeq and live-gateway die at every step of a send: no route is sent twice, and everything settles."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.jetstream import JetStreamJournal
from adapters.subjects import VENUE_STREAM
from apps.runtime.failpoint import KILLED
from domain.order.events import OrderRouted
from tests.faults.scene import PATIENT, answered, connected, events_of, order, risk_that_says_yes, until, until_ready
from tests.live import LiveServer
from tests.process import NO_SERVER, Changes, LiveService

VENUES = ("PAPER_A", "PAPER_B")
ORDERS = 8
SETTLED_WITHIN_S = 120.0


class House:
    """oms, exeq and live-gateway on real servers, with a risk that says yes."""

    def __init__(self, nats: LiveServer, home: Path, *, valkey_url: str = "", changes: Changes = PATIENT) -> None:
        """With Valkey there is a projector, too. `changes` are for oms."""
        self.oms = LiveService("oms", nats, home / "oms", valkey_url=valkey_url or NO_SERVER, changes=changes)
        others = ("exeq", "live-gateway", *(["projector"] if valkey_url else []))
        self.services = {
            "oms": self.oms,
            **{name: LiveService(name, nats, home / name, valkey_url=valkey_url or NO_SERVER) for name in others},
        }
        self.http: dict[str, httpx.AsyncClient] = {}

    @asynccontextmanager
    async def living(self, nats: LiveServer, **environment: dict[str, str]) -> AsyncIterator["House"]:
        """All of them, each with its own more environment, until the scene ends."""
        async with risk_that_says_yes(nats.url), AsyncExitStack() as exits:
            for name, service in self.services.items():
                self.http[name] = await exits.enter_async_context(service.client())
                exits.callback(service.stop)
                service.start(**environment.get(name.replace("-", "_"), {}))
            await self.quoted()
            yield self

    async def quoted(self) -> None:
        """Until exeq has seen a quote: what was routed without one tells less."""
        async with asyncio.timeout(120):
            while not all(v["quoted"] and v["open"] for v in (await self.http["exeq"].get("/venues")).json()["venues"]):
                await asyncio.sleep(0.05)

    async def orders(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.http["oms"].get("/orders", params={"limit": 1000})).json()["orders"]
        return found

    async def settled(self) -> list[dict[str, Any]]:
        """Until no order waits for anything; the orders."""
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while True:
                found = await self.orders()
                if all(one["status"] in ("filled", "rejected", "cancelled") for one in found):
                    return found
                await asyncio.sleep(0.1)

    async def sends(self) -> dict[str, int]:
        """By venue, the most sends of one route, as the venue counts them; and all orders it ever had."""
        venues = (await self.http["live-gateway"].get("/stats")).json()["venues"]
        return {"most": max(v["sends_per_route_max"] for v in venues.values()), "orders": sum(v["orders"] for v in venues.values())}


async def until_met(nats: LiveServer) -> None:
    """Until each venue has journaled the epoch of exeq."""
    async with connected(nats.url) as client, asyncio.timeout(SETTLED_WITHIN_S):
        for venue in VENUES:
            journal = await JetStreamJournal.open(client, stream=VENUE_STREAM, subject=f"venue.journal.{venue}")
            while not (await journal.head()).n:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("name", "step", "arrives"),
    [
        ("exeq", "before_send", False),
        ("exeq", "before_publish", False),
        ("exeq", "after_publish", None),  # the client had it; whether it left the machine is unknown
        ("live-gateway", "before_append", False),
        ("live-gateway", "after_append", True),
        ("live-gateway", "before_report", True),
    ],
)
async def test_whichever_process_dies_in_a_send_no_route_is_sent_twice_and_all_is_settled(  # FAILURES 36
    fresh_nats: LiveServer, tmp_path: Path, name: str, step: str, arrives: bool | None
) -> None:
    house = House(fresh_nats, tmp_path)
    nth = 2 + len(VENUES) if name == "live-gateway" else 2  # the first commit of each venue is the epoch that it met
    doomed = {name.replace("-", "_"): {"TRADE_FAILPOINT": f"{step}:{nth}"}}
    async with house.living(fresh_nats, **doomed):
        http, service = house.http["oms"], house.services[name]
        await until_met(fresh_nats)
        await answered(http, order("first", price="50000"))
        assert [one["status"] for one in await house.settled()] == ["filled"]
        before = await house.sends()
        await answered(http, order("second", price="50000"))
        await until(lambda: service.ended is not None)
        assert service.wait() == KILLED
        crowd = [answered(http, order(f"o-{number}", price="50000")) for number in range(ORDERS)]
        await asyncio.gather(*crowd)
        service.start()
        await until_ready(house.http[name])
        orders = {one["client_order_id"]: one for one in await house.settled()}
        after = await house.sends()
        assert after["most"] == before["most"] == 1
        filled, rejected = ("filled", None), ("rejected", "never_arrived")
        ends: dict[bool | None, list[tuple[str, str | None]]] = {True: [filled], False: [rejected], None: [filled, rejected]}
        assert (orders["second"]["status"], orders["second"]["reason"]) in ends[arrives]
        routed = [leg for _, event in await events_of(fresh_nats) if isinstance(event, OrderRouted) for leg in event.legs]
        assert len({leg.route_id for leg in routed}) == len(routed)
        assert len(orders) == ORDERS + 2
        arrived = [one for one in orders.values() if one["status"] == "filled"]
        assert after["orders"] == len(arrived), "the venue had each of those, and none else, exactly once"
