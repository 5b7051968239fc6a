"""A parent on an oms without servers, and what exeq and a venue say about its children."""

import asyncio
from decimal import Decimal
from typing import Any

import httpx

from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryLog
from domain.order import commands as c
from domain.order.algo import SliceInputs, child_name_of
from domain.order.algo_commands import SpawnChild
from domain.order.events import Leg
from domain.order.order import Order
from domain.values import order_id_of, rfc3339
from tests.apps.oms_house import OmsHouse

HOUR = 3_600_000_000_000


def twap(house: OmsHouse, **changes: Any) -> dict[str, Any]:
    """The body of a parent that works an hour long; `...` leaves a field out."""
    body = {
        "account": "alice",
        "client_algo_id": "t-1",
        "symbol": "BTCUSDT",
        "side": "buy",
        "quantity": 1,
        "strategy": "twap",
        "limit_price": 60,
        "end_at": rfc3339(house.clock.now_ns() + HOUR),
        "params": {"interval_sec": 360, "seed": 7},
    }
    return {name: value for name, value in (body | changes).items() if value is not ...}


def events_of(log: MemoryLog) -> list[list[str]]:
    return [[type(event).__name__ for event in ORDER_COMMITS.decode(payload).events] for _, payload in log.commits]


class AlgoDesk:
    """One parent, and the words of exeq and of the venue PAPER_A about it."""

    def __init__(self, house: OmsHouse, client: httpx.AsyncClient) -> None:
        self.house = house
        self.client = client
        self.algo_id = ""
        self.reports = 0

    async def submit(self, **changes: Any) -> dict[str, Any]:
        answer = await self.client.post("/algos", json=twap(self.house, **changes))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        self.algo_id = found["algo_id"]
        return found

    async def view(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.get(f"/algos/{self.algo_id}")).json()
        return found

    def slice(self, n: int, quantity: str = "0.1", **more: Any) -> SpawnChild:
        now = self.house.clock.now_ns()
        terms = {"price": Decimal(50)} if Decimal(quantity) else {"reason": "no_quote"}
        parent = self.house.host.book.parents.find(self.algo_id)
        assert parent is not None
        return SpawnChild(
            order_id=self.algo_id,
            version=parent.version,
            n=n,
            due_at=now,
            inputs=SliceInputs(at=now),
            target=Decimal("0.1") * n,
            quantity=Decimal(quantity),
            **terms | more,
        )

    async def spawn(self, n: int, quantity: str = "0.1", **more: Any) -> c.CommandAnswer:
        return await self.said(self.slice(n, quantity, **more))

    async def said(self, command: c.AlgoServiceCommand) -> c.CommandAnswer:
        answered: asyncio.Future[c.CommandAnswer] = asyncio.get_running_loop().create_future()
        self.house.children.take(command, answered.set_result)
        async with asyncio.timeout(60):
            return await answered

    def child(self, n: int) -> Order:
        order = self.house.host.find(order_id_of("alice", child_name_of(self.algo_id, n)))
        assert order is not None
        return order

    async def rest(self, n: int) -> None:
        order = self.child(n)
        leg = Leg(f"R-{order.order_id[:8]}", "PAPER_A", order.leaves_quantity)
        await self.house.host.perform(c.RouteOrder(order_id=order.order_id, legs=(leg,), policy="best_price"))
        await self.report(n, "accepted", venue_order_id=f"V{n}")

    async def report(self, n: int, kind: str, **more: Any) -> None:
        self.reports += 1
        order = self.child(n)
        route = order.routes[-1]
        await self.house.host.perform(
            c.VenueReport(
                report=c.ReportKind(kind),
                order_id=order.order_id,
                route_id=route.route_id,
                venue=route.venue,
                report_seq=self.reports,
                at=1,
                account=order.account,
                symbol=order.symbol,
                side=order.side,
                **more,
            )
        )

    async def fill(self, n: int, quantity: str, exec_id: str = "") -> None:
        await self.report(n, "fill", exec_id=exec_id or f"X{self.reports}", quantity=Decimal(quantity), price=Decimal(50))

    async def trade(self, n: int, quantity: str = "0.1") -> None:
        """Slice, rest and fill."""
        assert (await self.spawn(n, quantity)).ok
        await self.rest(n)
        await self.fill(n, quantity)
