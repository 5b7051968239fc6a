"""The polled exchange as a socket, over a library and an exchange that a test holds: it runs without ccxt."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from adapters import ccxt_exchange
from adapters.ccxt_exchange import CcxtSocket
from config.gateway_settings import VenueLivenessSection
from domain.market.venues.ccxt_books import CcxtRequest
from domain.ports import Unavailable


class HeldError(Exception):
    """The base of the library's errors."""


class HeldExchange:
    """Loads and replies when a test lets it."""

    def __init__(self, _: object = None) -> None:
        self.let, self.asked = asyncio.Event(), asyncio.Event()
        self.error: Exception | None = None
        self.closed = 0

    async def load_markets(self) -> None:
        self.asked.set()
        await self.let.wait()
        if self.error is not None:
            raise self.error

    async def fetch_order_book(self, symbol: str) -> dict[str, Any]:
        await self.load_markets()
        return {"bids": [[100.5, 1.0, 7]], "asks": [], "timestamp": None}

    async def close(self) -> None:
        self.closed += 1


def library(exchange: HeldExchange) -> Any:
    names = ("BadSymbol", "RateLimitExceeded", "DDoSProtection")
    return SimpleNamespace(BaseError=HeldError, held=lambda _: exchange, **{name: type(name, (HeldError,), {}) for name in names})


def request(method: str, depth: int = 0) -> str:
    return msgspec.json.encode(CcxtRequest(method, ["BTC/USD"], depth)).decode()


async def test_a_symbol_that_is_taken_off_while_its_book_is_on_its_way_gives_no_empty_book() -> None:
    exchange, texts = HeldExchange(), list[str]()
    socket = CcxtSocket(library(exchange), exchange)
    await socket.send(request("subscribe", 5))
    reading = asyncio.create_task(socket._poll("BTC/USD", texts.append))
    await exchange.asked.wait()
    await socket.send(request("unsubscribe"))
    exchange.let.set()
    assert (await reading, texts) == (None, [])
    await socket.send(request("subscribe", 5))
    assert await socket._poll("BTC/USD", texts.append) is None
    assert [json.loads(text) for text in texts] == [{"symbol": "BTC/USD", "at": None, "bids": [[100.5, 1.0]], "asks": []}]


@pytest.mark.parametrize("failure", [HeldError("away"), KeyError("a bug of the library"), None])
async def test_an_exchange_whose_markets_are_not_read_is_closed(failure: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = HeldExchange()
    monkeypatch.setattr(ccxt_exchange, "_library", lambda: library(exchange))
    dialling = asyncio.create_task(ccxt_exchange.dial("held", None))
    await exchange.asked.wait()
    exchange.error = failure
    if failure is None:
        dialling.cancel()
    exchange.let.set()
    expected: type[BaseException] = (
        Unavailable if isinstance(failure, HeldError) else asyncio.CancelledError if failure is None else KeyError
    )
    with pytest.raises(expected):
        await dialling
    assert exchange.closed == 1


def test_the_pause_after_a_limit_ends_before_the_connection_counts_as_mute() -> None:
    longest = ccxt_exchange.LIMITED_PAUSE_S + ccxt_exchange.REQUEST_TIMEOUT_MS / 1000
    assert longest <= VenueLivenessSection().mute_after_sec
