"""Prints for trailing stops on the last trade: read only for the symbols of such stops, each once, and made by a simulated market too."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from adapters import bus, subjects
from adapters.codec import decoder, encode
from apps.exeq.trade_prints import TradePrints
from apps.live_gateway.simulated_trades import TRADE_EVERY_NS, SimulatedTrades
from domain.instruments import Instrument
from domain.market.last_trades import LastTrades
from domain.market.prints import Print, Prints
from domain.market.quotes import Listed, MarketRule, Quote
from domain.values import Side, subject_token
from tests.apps.test_exeq_routing import Hands
from tests.live import LiveServer

WAIT_S = 60.0
SYMBOL = "BTC/USD"
OIL = Instrument(symbol=SYMBOL, tick=Decimal(1), lot=Decimal("0.1"), quantity_max=Decimal(9), notional_min=Decimal(0), currency="USD")


def prints(n: int, *prices: int, symbol: str = SYMBOL, venue: str = "KRAKEN") -> Prints:
    traded = tuple(Print(Decimal(price), Decimal(1), Side.BUY) for price in prices)
    return Prints(symbol=symbol, venue=venue, prints=traded, epoch=1, n=n, at=1)


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not true():
            await asyncio.sleep(0.01)


@pytest.fixture
def listed() -> Listed:
    return Listed({SYMBOL, "ETH/USD"}, {"PAPER_A": {SYMBOL}}, market=MarketRule())


async def test_prints_are_subscribed_to_only_while_a_stop_needs_them(fresh_nats: LiveServer, listed: Listed) -> None:
    client = await bus.connect(fresh_nats.url, "test", closed=lambda: None)
    trades, wanted = LastTrades(), dict[str, set[str]]()
    found = TradePrints(client, listed, trades, Hands(), lambda: wanted)
    running = asyncio.create_task(found.run())

    async def told(message: Prints) -> None:
        await client.publish(subjects.prints(message.venue, subject_token(message.symbol)), encode(message))

    def last(symbol: str = SYMBOL) -> tuple[str, Decimal] | None:
        trade = trades.of(symbol, 0)
        return None if trade is None else (trade.venue, trade.price)

    await told(prints(1, 99))
    assert client._subs == {}, "nothing is read without a stop that needs it"
    wanted[SYMBOL] = {"o1"}
    await until(lambda: client._subs)
    await client.flush()
    await told(prints(2, 100, 101))
    await told(prints(1, 50, symbol="ETH/USD"))
    await until(lambda: last() == ("KRAKEN", Decimal(101)))
    assert (last("ETH/USD"), found.feed.taken) == (None, 1)
    await told(prints(2, 77))
    await told(prints(3, 102))
    await until(lambda: last() == ("KRAKEN", Decimal(102)))
    assert found.feed.refused["repeated"] == 1
    del wanted[SYMBOL]
    await until(lambda: last() is None and not client._subs)
    running.cancel()
    await asyncio.wait([running])
    await client.close()


def quote(bid: int) -> Quote:
    one = Decimal(1)
    return Quote(symbol=SYMBOL, venue="", bid=Decimal(bid), bid_size=one, ask=Decimal(bid + 2), ask_size=one, at=0)


def test_a_simulated_market_trades_at_the_touch_towards_which_it_moved() -> None:
    sent: list[tuple[str, Prints]] = []
    clock, decode = Hands(), decoder(Prints).decode
    hosts = {name: SimpleNamespace(instruments={SYMBOL: OIL}) for name in ("PAPER_B", "PAPER_A")}
    trades = SimulatedTrades(cast(Any, hosts), lambda subject, payload: sent.append((subject, decode(payload))), clock)
    for bid in (100, 104, 97):
        trades.quoted(quote(bid))
        trades.quoted(quote(bid + 50))
        clock.now += TRADE_EVERY_NS
    assert {subject for subject, _ in sent} == {"prints.PAPER_A.BTC~USD"}, "of one venue, and of few quotes"
    traded = [(found.n, found.prints[0].price, found.prints[0].side) for _, found in sent]
    assert traded == [(1, Decimal(102), Side.BUY), (2, Decimal(106), Side.BUY), (3, Decimal(97), Side.SELL)]
