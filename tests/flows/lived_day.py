"""A planned day on a running stack, over HTTP: an order is sent when its venue has acknowledged the one before it in the same symbol."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count
from typing import Any, Final

import httpx

from tests.flows.obvious_matcher import Compared, Order, Steps
from tests.flows.random_day import Stop
from tests.stack import LiveStack

WAIT_S: Final = 10.0
POLL_S: Final = 0.004
ROWS_MAX: Final = 1000
FAR_FUTURE: Final = "2200-01-01T00:00:00Z"

Answer = dict[str, Any]


def exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


class LivedDay:
    """Symbols go side by side. Within one, orders reach a venue as the plan has them."""

    def __init__(self, oms: httpx.AsyncClient, exeq: httpx.AsyncClient, gateway: httpx.AsyncClient, steps: Mapping[str, Steps]) -> None:
        self._oms = oms
        self._exeq = exeq
        self._gateway = gateway
        self._steps = steps
        self._order_ids: dict[str, str] = {}
        self._scouts = count(1)
        self._last_seq = 0

    @classmethod
    @asynccontextmanager
    async def on(cls, stack: LiveStack, steps: Mapping[str, Steps]) -> AsyncIterator["LivedDay"]:
        async with (
            httpx.AsyncClient(base_url=stack.url("oms"), timeout=WAIT_S) as oms,
            httpx.AsyncClient(base_url=stack.url("exeq"), timeout=WAIT_S) as exeq,
            httpx.AsyncClient(base_url=stack.url("live-gateway"), timeout=WAIT_S) as gateway,
        ):
            yield cls(oms, exeq, gateway, steps)

    async def through(self, plan: Sequence[Stop]) -> None:
        """The whole day. The scouts of its last stop are answered behind all that the venues had to report."""
        for stop in plan:
            await self._advance(stop.rows)
            await asyncio.gather(*(self._at(stop, symbol) for symbol in self._steps))

    async def orders(self, account: str) -> list[Answer]:
        page = exact((await self._oms.get("/orders", params={"account": account, "limit": ROWS_MAX})).text)
        assert page["next"] is None
        return list(page["orders"])

    async def fills(self, account: str, at_least: int) -> list[Answer]:
        """The table is written in batches: wait for this many rows."""
        params = {"limit": ROWS_MAX}
        found = await self._soon(f"/fills/{account}", lambda now: len(now["fills"]) >= at_least, params)
        return list(found["fills"])

    async def positions(self, account: str) -> Answer:
        """As of the end of the day."""
        return await self._soon(f"/positions/{account}", lambda now: "code" not in now, {"min_seq": self._last_seq})

    async def _advance(self, rows: int) -> None:
        if rows:
            played = (await self._gateway.post("/quotes/advance", json={"rows": rows})).json()
            assert played["rows"] == rows, played

    async def _at(self, stop: Stop, symbol: str) -> None:
        if (symbol, "buy") in stop.compared:
            await self._scout(symbol, stop.compared[symbol, "buy"])
        for act, order in stop.asks.get(symbol, []):
            if act == "cancel":
                await self._cancel(order)
                continue
            order_id = self._order_ids[order.client_order_id] = await self._submit(order)
            if (symbol, order.side) in stop.compared:
                assert await self._compared(order_id) == stop.compared[symbol, order.side], order

    async def _scout(self, symbol: str, wanted: Sequence[Compared]) -> None:
        """Ticks travel to exeq beside the answers to us. Orders that cannot fill show when it routes by the quotes of this stop."""
        deadline = asyncio.get_running_loop().time() + WAIT_S
        price, lot = min(one.bid for one in wanted) // 2, self._steps[symbol].lot
        quantity = (5 // (price * lot) + 1) * lot
        while True:
            name = f"scout-{next(self._scouts)}"
            order_id = await self._submit(Order(name, "scout", symbol, "buy", "limit", quantity, price, time_in_force="ioc"))
            seen = await self._compared(order_id)
            if seen == wanted:
                return
            assert asyncio.get_running_loop().time() < deadline, (seen, wanted)

    async def _submit(self, order: Order) -> str:
        answer = exact((await self._oms.post("/orders", json=_body(order))).text)
        assert answer["status"] == "submitted", (answer, order)
        order_id: str = answer["order_id"]
        await self._order(order_id, lambda now: bool(now["routes"] and now["routes"][0]["venue_order_id"]))
        return order_id

    async def _cancel(self, order: Order) -> None:
        order_id = self._order_ids[order.client_order_id]
        answer = await self._oms.delete(f"/orders/{order_id}")
        assert answer.status_code in (200, 202), answer.text
        await self._order(order_id, lambda now: now["status"] == "cancelled")

    async def _order(self, order_id: str, ready: Callable[[Answer], bool]) -> None:
        found = await self._soon(f"/orders/{order_id}", ready)
        self._last_seq = max(self._last_seq, int(found["seq"]))

    async def _compared(self, order_id: str) -> tuple[Compared, ...]:
        """What exeq compared when it chose a venue."""
        route = exact((await self._exeq.get(f"/routes/{order_id}")).text)
        return tuple(
            Compared(*(one[name] for name in Compared._fields)) for one in sorted(route["candidates"], key=lambda one: str(one["venue"]))
        )

    async def _soon(self, path: str, ready: Callable[[Answer], bool], params: Mapping[str, Any] | None = None) -> Answer:
        deadline = asyncio.get_running_loop().time() + WAIT_S
        while True:
            found: Answer = exact((await self._oms.get(path, params=params)).text)
            if ready(found):
                return found
            assert asyncio.get_running_loop().time() < deadline, found
            await asyncio.sleep(POLL_S)


def _body(order: Order) -> dict[str, str]:
    """Numbers as decimal strings."""
    words = {name: getattr(order, name) for name in ("client_order_id", "account", "symbol", "side", "type", "time_in_force")}
    numbers = {name: getattr(order, name) for name in ("quantity", "price", "stop_price")}
    until = {"expire_at": FAR_FUTURE} if order.time_in_force == "gtd" else {}
    return words | {name: format(number, "f") for name, number in numbers.items() if number is not None} | until
