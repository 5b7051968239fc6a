"""live-gateway with quotes of the market: paper venues show them in their shape, orders fill at them, and what ends there ends here."""

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from nats.aio.msg import Msg

from adapters.clock import SystemClock
from adapters.codec import encode
from apps.live_gateway.market_quotes import MarketQuotes
from domain.market.depth import Depth
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
        self.instruments = {"BTCUSD": None}
        self.shown: list[str] = []

    def show(self, base: Quote, _at: int, book: Depth | None = None) -> None:
        self.shown.append(f"{base.venue} {base.ask}" + (f" and {len(book.asks)} levels" if book else ""))

    def show_book(self, book: Depth) -> None:
        self.shown.append(f"{len(book.asks)} levels")

    def repeat(self, _symbol: str) -> None:
        self.shown.append("the same")

    def end(self, _symbol: str) -> None:
        self.shown.append("nothing")


async def test_a_quote_is_shown_once_whatever_other_venues_quote() -> None:
    """Shown again, a quote would renew the sizes that orders took since."""
    best, kraken = ShownQuotes(), ShownQuotes("KRAKEN")
    quotes = MarketQuotes(cast(Any, {"PAPER_A": best, "PAPER_B": kraken}), SystemClock())

    async def comes(*ticks: Quote) -> None:
        for tick in ticks:
            quotes.take(tick, SystemClock().monotonic_ns())
        quotes.look(SystemClock().monotonic_ns())

    await comes(quote("BINANCE", "7000", "7001"))
    await comes(quote("KRAKEN", "6990", "7010"))
    await comes(quote("KRAKEN", "6991", "7011"))
    await comes(quote("BINANCE", "7000", "7002"))
    await comes(quote("BINANCE", "7000", "7002"))
    await comes(quote("BINANCE", "7000", "7002", flags=("stale",)))
    await comes(quote("BINANCE", "7000", "7002"))
    assert best.shown == ["BINANCE 7001", "BINANCE 7002", "the same", "KRAKEN 7011", "BINANCE 7002"]
    assert kraken.shown == ["nothing", "KRAKEN 7010", "KRAKEN 7011"]


def book(venue: str, asks: str, seq: int = 7) -> Depth:
    """`4x7001 9x7002`; the bids are far away."""
    levels = tuple((Decimal(price), Decimal(size)) for size, price in (level.split("x") for level in asks.split()))
    return Depth(symbol="BTCUSD", venue=venue, bids=((Decimal(7000), Decimal(4)), (Decimal(6000), Decimal(9))), asks=levels, at=1, seq=seq)


class KnownBooks(dict[str, Depth]):
    """By venue, in place of the reader of `depth.>`."""

    def of(self, quote: Quote, since_ns: int) -> Depth | None:
        return self.get(quote.venue)

    def end(self, quote: Quote) -> None:
        self.pop(quote.venue, None)


async def test_a_book_is_shown_with_its_quote_and_again_when_its_levels_change() -> None:
    shown, books = ShownQuotes(), KnownBooks()
    quotes = MarketQuotes(cast(Any, {"PAPER_A": shown}), SystemClock())
    quotes.books = books

    async def comes(*what: Quote | Depth) -> list[str]:
        for each in what:
            if isinstance(each, Depth):
                books[each.venue] = each
                quotes.take_book(each.venue, "BTCUSD")
            else:
                quotes.take(each, SystemClock().monotonic_ns())
            quotes.look(SystemClock().monotonic_ns())
        found, shown.shown = shown.shown, []
        return found

    first, moved = quote("KRAKEN", "7000", "7001", seq=7), quote("KRAKEN", "7000", "7003", seq=9)
    assert await comes(book("KRAKEN", "4x7001 9x7002"), first) == ["nothing", "KRAKEN 7001 and 2 levels"]
    assert await comes(book("KRAKEN", "4x7001 9x7002", 8)) == [], "nothing that a venue shows is another"
    assert await comes(book("KRAKEN", "4x7001 8x7002 5x7004", 8)) == ["3 levels"], "the touch is not shown again"
    assert await comes(quote("KRAKEN", "7000", "7001", seq=7)) == ["the same"], "the quote is repeated"
    assert await comes(book("KRAKEN", "4x7003", 9)) == [], "its quote is on its way: until then the last one keeps its book"
    assert await comes(moved) == ["KRAKEN 7003 and 1 levels"]
    assert await comes(quote("KRAKEN", "7000", "7004", seq=10)) == ["KRAKEN 7004"], "a book of before is not shown with it"
    assert await comes(quote("KRAKEN", "7000", "7004", seq=10, flags=("stale",))) == ["nothing"]
    assert "KRAKEN" not in books
    assert await comes(book("PAPER_A", "1x7001")) == [], "our own"


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


async def test_an_order_larger_than_the_touch_walks_the_book_of_the_market(gateway: Gateway, trader: Trader) -> None:
    """PAPER_A shows half of each size, its book leaves for exeq, and each level is a fill at its price."""
    left: list[Depth] = []

    async def on_depth(message: Msg) -> None:
        left.append(msgspec.json.decode(message.data, type=Depth))

    await trader.client.subscribe("depth.PAPER_A.*", cb=on_depth)
    async with asyncio.timeout(WAIT_S):
        while not left:
            await trader.client.publish("depth.KRAKEN.BTCUSD", encode(book("KRAKEN", "4x7001 6x7002 9x7009")))
            await trader.client.publish(TICKS, encode(quote("KRAKEN", "7000", "7001", seq=7)))
            await asyncio.sleep(0.02)
    asks = ((Decimal(7001), Decimal(2)), (Decimal(7002), Decimal(3)), (Decimal(7009), Decimal("4.5")))
    assert (left[0].venue, left[0].seq, left[0].asks) == ("PAPER_A", 7, asks)
    await trader.send(order("A", "6", price="7005"))
    assert await trader.heard(3) == ["1 A accepted", "2 A fill", "3 A fill"]
    assert [(each.price, each.quantity) for each in trader.reports[1:]] == [(Decimal(7001), Decimal(2)), (Decimal(7002), Decimal(3))]
