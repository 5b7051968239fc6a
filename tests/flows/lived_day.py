"""A planned day on a running stack: over HTTP, every order acknowledged at its venue before the next one of its symbol is sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

import httpx

from tests.flows.obvious_matcher import Order, Shown, Steps
from tests.flows.random_day import Stop
from tests.stack import LiveStack

WAIT_S: Final = 10.0
POLL_S: Final = 0.004
FAR_FUTURE: Final = "2200-01-01T00:00:00Z"
SCOUT: Final = "scout"
SCOUTS_MAX: Final = 50

Answer = dict[str, Any]


def exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


class LivedDay:
    """Symbols go side by side; within a symbol the order of arrival at a venue is the order of the plan."""

    def __init__(self, oms: httpx.AsyncClient, exeq: httpx.AsyncClient, gateway: httpx.AsyncClient, steps: Mapping[str, Steps]) -> None:
        self._oms = oms
        self._exeq = exeq
        self._gateway = gateway
        self._steps = steps
        self._ids: dict[str, str] = {}
        self._scouts = 0
        self.last_seq = 0

    @classmethod
    @asynccontextmanager
    async def on(cls, stack: LiveStack, steps: Mapping[str, Steps]) -> AsyncIterator["LivedDay"]:
        async with (
            httpx.AsyncClient(base_url=stack.url("oms"), timeout=WAIT_S) as oms,
            httpx.AsyncClient(base_url=stack.url("exeq"), timeout=WAIT_S) as exeq,
            httpx.AsyncClient(base_url=stack.url("live-gateway"), timeout=WAIT_S) as gateway,
        ):
            yield cls(oms, exeq, gateway, steps)

    async def through(self, plan: list[Stop]) -> None:
        """The whole day; at its end everything that the venues reported stands in the journal."""
        for stop in plan:
            await self._advance(stop.rows)
            symbols = {symbol for _, symbol in stop.quotes} | set(stop.asks)
            await asyncio.gather(*(self._at(stop, symbol) for symbol in symbols))

    async def _advance(self, rows: int) -> None:
        if rows:
            played = (await self._gateway.post("/quotes/advance", json={"rows": rows})).json()
            assert played["rows"] == rows, played

    async def _at(self, stop: Stop, symbol: str) -> None:
        if stop.quotes:
            await self._scouted(stop, symbol)
        for act, order in stop.asks.get(symbol, []):
            if act == "cancel":
                await self._cancel(order)
            else:
                order_id = self._ids[order.client_order_id] = await self._submit(order)
                r=(await self._exeq.get(f"/routes/{order_id}")).text
                if self._scouts<20: print(r)

    async def _scouted(self, stop: Stop, symbol: str) -> None:
        """Ticks travel to exeq beside the answers to us: an order without a chance shows which quotes it routes by now."""
        shown = min(shown.bid for (_, of), shown in stop.quotes.items() if of == symbol)
        lot = self._steps[symbol].lot
        price = shown // 2
        for _ in range(SCOUTS_MAX):
            self._scouts += 1
            order = Order(f"scout-{self._scouts}", SCOUT, symbol, "buy", "limit", 5 // (price * lot) * lot + lot, price, time_in_force="ioc")
            await self._submit(order)
            break

    async def _submit(self, order: Order) -> str:
        """Until the venue has acknowledged it."""
        answer = exact((await self._oms.post("/orders", json=_body(order))).text)
        assert answer["status"] == "submitted", (answer, order)
        order_id: str = answer["order_id"]
        await self._until(order_id, lambda now: now["routes"] and now["routes"][0]["venue_order_id"])
        return order_id

    async def _cancel(self, order: Order) -> None:
        order_id = self._ids[order.client_order_id]
        answer = await self._oms.delete(f"/orders/{order_id}")
        assert answer.status_code in (200, 202), answer.text
        await self._until(order_id, lambda now: now["status"] == "cancelled")

    async def _until(self, order_id: str, ready: Any) -> None:
        deadline = asyncio.get_running_loop().time() + WAIT_S
        while True:
            now = exact((await self._oms.get(f"/orders/{order_id}")).text)
            self.last_seq = max(self.last_seq, int(now["seq"]))
            if ready(now):
                return
            assert asyncio.get_running_loop().time() < deadline, now
            await asyncio.sleep(POLL_S)


def _body(order: Order) -> dict[str, str]:
    """Numbers as decimal strings."""
    wanted = {name: getattr(order, name) for name in ("client_order_id", "account", "symbol", "side", "type", "time_in_force")}
    numbers = {name: getattr(order, name) for name in ("quantity", "price", "stop_price")}
    gtd = {"expire_at": FAR_FUTURE} if order.time_in_force == "gtd" else {}
    return wanted | {name: format(number, "f") for name, number in numbers.items() if number is not None} | gtd
