"""What an order costs more through the Alpaca facade than natively: `python -m tests.bench.alpaca`. CPU of one process, no server.

The two take turns, so that a busy machine slows both. The bound is 40 us.
"""

import asyncio
import json
import statistics
import time
from typing import Any, Final

import httpx

from domain.values import use_exact_arithmetic
from tests.apps.alpaca_house import BASE, AlpacaHouse, trading

ORDERS: Final = 6000
WARM_UP: Final = 1000
SAME: Final = {"side": "buy", "type": "limit", "time_in_force": "gtc"}
NATIVE: Final = {**SAME, "symbol": "BTCUSDT", "quantity": "1", "price": "50"}
FACADE: Final = {**SAME, "symbol": "BTC/USDT", "qty": "1", "limit_price": "50"}


async def took_us(house: AlpacaHouse, client: httpx.AsyncClient, path: str, order: dict[str, Any]) -> float:
    """Submit one order; return the CPU time of this thread."""
    body = json.dumps(order).encode()
    given = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(len(body))}
    headers = [(name.lower().encode(), value.encode()) for name, value in {**client.headers, **given}.items()]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1)}
    answers: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        answers.append(message)

    began = time.thread_time()
    await house.app(scope, receive, send)
    took = time.thread_time() - began
    assert answers[0]["status"] == 200, answers
    return took * 1e6


async def run() -> None:
    async with trading(rate=10**8, open_orders_max=10**9) as (house, client):
        native, facade = list[float](), list[float]()
        for number in range(ORDERS):
            native.append(await took_us(house, client, "/orders", NATIVE | {"client_order_id": f"n{number}"}))
            facade.append(await took_us(house, client, f"{BASE}/v2/orders", FACADE | {"client_order_id": f"a{number}"}))
    medians = [statistics.median(each[WARM_UP:]) for each in (native, facade)]
    print(f"native {medians[0]:.1f} us, facade {medians[1]:.1f} us: {medians[1] - medians[0]:.1f} us more")


if __name__ == "__main__":
    use_exact_arithmetic()
    asyncio.run(run())
