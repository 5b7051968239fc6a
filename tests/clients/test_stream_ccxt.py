"""The stream with the pro half of ccxt as it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.clients.conftest import Facade

pro = pytest.importorskip("ccxt.pro", reason="ccxt is not installed: run make clients-test, which installs it")

SETTLES_S = 60.0
LISTENS_S = 1.0
"""The client shows when it has asked to listen, not when it was answered."""


@asynccontextmanager
async def watching(facade: Facade) -> AsyncIterator[tuple[Any, list[Any], list[Any]]]:
    """A client, and the orders and trades that it is sent."""
    stream = facade.base.replace("http", "ws") + "/stream"
    client = pro.alpaca({"apiKey": facade.key_id, "secret": facade.secret})
    client.urls["api"] = {"trader": facade.base, "market": facade.base, "broker": facade.base, "ws": {"trading": stream, "crypto": stream}}
    await client.load_markets()
    orders: list[Any] = []
    trades: list[Any] = []

    async def watch(what: Any, found: list[Any]) -> None:
        while True:
            found += await what()

    watchers = [asyncio.ensure_future(watch(client.watch_orders, orders)), asyncio.ensure_future(watch(client.watch_my_trades, trades))]
    try:
        yield client, orders, trades
    finally:
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        await client.close()


async def until(found: Any) -> None:
    async with asyncio.timeout(SETTLES_S):
        while not found():
            await asyncio.sleep(0.02)


async def test_orders_and_trades_are_watched(facade: Facade) -> None:
    async with watching(facade) as (client, orders, trades):
        await until(lambda: any("orders" in each.subscriptions for each in client.clients.values()))
        await asyncio.sleep(LISTENS_S)
        resting = await client.create_order("BTC/USDT", "limit", "buy", 0.01, 44_000)
        await client.cancel_order(resting["id"])
        await until(lambda: any(order["id"] == resting["id"] and order["status"] == "canceled" for order in orders))
        bought = await client.create_order("BTC/USDT", "market", "buy", 0.02)
        await until(lambda: trades)
        assert (trades[-1]["order"], trades[-1]["amount"]) == (bought["id"], 0.02)
        last = next(order for order in reversed(orders) if order["id"] == bought["id"])
        assert (last["status"], last["filled"], last["symbol"]) == ("closed", 0.02, "BTC/USDT")
