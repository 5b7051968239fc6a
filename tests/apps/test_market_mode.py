"""live-gateway with quotes of the market: paper venues show them in their shape, orders fill at them, and what ends there ends here."""

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from adapters.clock import SystemClock
from adapters.codec import encode
from apps.live_gateway.market_quotes import MarketQuotes
from domain.market.quotes import Quote, best_source
from domain.market.records import Flag
from tests.apps.gateway_house import WAIT_S, Gateway, Trader, order
from tests.live import LiveServer

TICKS = "ticks.BTCUSD"


def quote(venue: str, bid: str, ask: str, size: str = "4", **more: Any) -> Quote:
    fields: dict[str, Any] = {"symbol": "BTCUSD", "bid_size": Decimal(size), "ask_size": Decimal(size), "at": 1_800_000_000 * 10**9}
    return Quote(venue=venue, bid=Decimal(bid), ask=Decimal(ask), **(fields | more))


def test_the_best_source_is_the_narrowest_two_sided_quote_and_then_the_largest() -> None:
    narrow, wide, large = quote("B", "100", "101"), quote("A", "100", "103"), quote("C", "200", "201", "9")
    empty = quote("D", "100", "100", ask_size=Decimal(0))
    assert best_source([wide, narrow, empty]) == narrow
    assert best_source([narrow, large]) == large
    assert best_source([empty]) == empty
    assert best_source([]) is None


class ShownQuotes:
    """In place of a paper venue: what it shows of BTCUSD, each time that it is shown."""

    def __init__(self, market: str = "") -> None:
        self.settings = SimpleNamespace(market=market)
        self.shown: list[str] = []

    async def show(self, base: Quote, _at: int) -> None:
        self.shown.append(f"{base.venue} {base.ask}")

    def repeat(self, _symbol: str) -> None:
        self.shown.append("the same")

    async def end(self, _symbol: str) -> None:
        self.shown.append("nothing")


async def test_a_quote_is_shown_once_whatever_other_venues_quote() -> None:
    """Shown again, a quote would renew the sizes that orders took since."""
    best, kraken = ShownQuotes(), ShownQuotes("KRAKEN")
    quotes = MarketQuotes(cast(Any, {"PAPER_A": best, "PAPER_B": kraken}), SystemClock())

    async def comes(*ticks: Quote) -> None:
        for tick in ticks:
            quotes.take(tick, SystemClock().monotonic_ns())
        await quotes.look(SystemClock().monotonic_ns())

    await comes(quote("BINANCE", "7000", "7001"))
    await comes(quote("KRAKEN", "6990", "7010"))
    await comes(quote("KRAKEN", "6991", "7011"))
    await comes(quote("BINANCE", "7000", "7002"))
    await comes(quote("BINANCE", "7000", "7002"))
    await comes(quote("BINANCE", "7000", "7002", flags=("stale",)))
    await comes(quote("BINANCE", "7000", "7002"))
    assert best.shown == ["BINANCE 7001", "BINANCE 7002", "the same", "KRAKEN 7011", "BINANCE 7002"]
    assert kraken.shown == ["nothing", "KRAKEN 7010", "KRAKEN 7011"]


@pytest.fixture
async def trader(fresh_nats: LiveServer) -> AsyncIterator[Trader]:
    trader = await Trader.open(fresh_nats.url)
    yield trader
    await trader.client.close()


@pytest.fixture
async def gateway(fresh_nats: LiveServer) -> AsyncIterator[Gateway]:
    gateway = Gateway(fresh_nats, TRADE_MARKET="config", TRADE_FILLS="sqlite", TRADE_DATA_DIR=str(fresh_nats.home / "gateway"))
    (fresh_nats.home / "gateway").mkdir()
    try:
        await gateway.start()
        yield gateway
    finally:
        gateway.end()


async def until_shown(trader: Trader, sends: Quote, true: Callable[[Quote], bool]) -> Quote:
    """Sends a quote until PAPER_A shows what is wanted, as normalizer repeats valid ones."""
    async with asyncio.timeout(WAIT_S):
        while True:
            await trader.client.publish(TICKS, encode(sends))
            await asyncio.sleep(0.02)
            found = [tick for tick in trader.ticks if tick.venue == "PAPER_A"]
            if found and true(found[-1]):
                return found[-1]


async def test_an_order_fills_at_the_quote_of_the_market_and_a_stale_quote_is_the_end_of_it(gateway: Gateway, trader: Trader) -> None:
    shown = await until_shown(trader, quote("KRAKEN", "7000", "7001", seq=17), lambda tick: tick.ask == 7001)
    assert (shown.bid, shown.ask_size, shown.seq, shown.flags) == (Decimal(7000), Decimal(2), 17, ()), "half the depth, the market's number"
    await trader.send(order("A", "0.5"))
    assert await trader.heard(2) == ["1 A accepted", "2 A fill"]
    assert trader.reports[1].price == 7001

    ended = await until_shown(trader, quote("KRAKEN", "7000", "7001", flags=("stale",)), lambda tick: Flag.STALE in tick.flags)
    assert (ended.bid, ended.ask, ended.ask_size) == (Decimal(7000), Decimal(7001), Decimal(0))
    assert (await gateway.get("/quotes/BTCUSD"))["code"] == "no_quote"
    await trader.send(order("B", "0.5", price="7005"))
    assert await trader.heard(3) == ["1 A accepted", "2 A fill", "3 B accepted"], "it rests, nothing is there to trade with"

    await until_shown(trader, quote("BINANCE", "7002", "7003"), lambda tick: not tick.flags and tick.ask == 7003)
    assert (await trader.heard(4))[3] == "4 B fill"
    assert trader.reports[3].price in (7003, 7005)
