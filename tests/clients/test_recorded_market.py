"""Historical trades and quotes, and the latest of one stock, with three clients of Alpaca as they are, from a market that was recorded."""

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from adapters.clock import SystemClock
from adapters.questticks import QuestDbTicks
from domain.archive.checkpoint import Checkpoint
from domain.archive.market_rows import QUOTES, TRADES
from domain.archive.ports import ArchiveRow
from domain.market.bar_history import DAY_NS
from domain.market.quotes import Quote
from domain.market.records import MarketTrade
from tests.clients.conftest import EQUITY_QUOTES, Facade, facade_of
from tests.clients.other_python import ran
from tests.clients.spec import Oracle
from tests.clients.test_alpaca_py import until
from tests.clients.watched import watch
from tests.contracts.ticks import trade
from tests.stack import CHECKOUT, PATIENT, LiveStack

historical = pytest.importorskip("alpaca.data.historical", reason="make clients-test installs alpaca-py")
requests = pytest.importorskip("alpaca.data.requests")
ccxt = pytest.importorskip("ccxt", reason="make clients-test installs ccxt")

BEGIN: Final = 20_780 * DAY_NS
"""2026-11-23T00:00:00Z."""
WINDOW: Final = {"start": "2026-11-23T00:00:00Z", "end": "2026-11-23T23:59:59Z"}
MANY: Final = 2500
"""Trades of BTC/USDT: three pages. Ten share each moment."""


def trades() -> list[MarketTrade]:
    crypto = [trade("ALPHA", number, at=BEGIN + number // 10, price=str(45_000 + number)) for number in range(MANY)]
    stock = [trade("ALPHA", number, at=BEGIN + number, price=str(250 + number), symbol="AAPL") for number in range(3)]
    return [*crypto, *stock, trade("ALPHA", 99, at=time.time_ns() - 10**9, price="260", symbol="AAPL")]


def quotes() -> list[Quote]:
    return [_quote("BTCUSDT", number, 45_000) for number in range(12)] + [_quote("AAPL", number, 250) for number in range(3)]


def _quote(symbol: str, number: int, bid: int) -> Quote:
    sides = (Decimal(bid + number), Decimal(1), Decimal(bid + number + 1), Decimal(2))
    bid_price, bid_size, ask, ask_size = sides
    at = BEGIN + number
    return Quote(symbol=symbol, venue="ALPHA", bid=bid_price, bid_size=bid_size, ask=ask, ask_size=ask_size, at=at, seq=number)


async def record(stack: LiveStack) -> None:
    """What sink-ticks would have written."""
    place = QuestDbTicks("", stack.url("questdb-pg"), "ticks", "this test", SystemClock(), lambda _: None)
    try:
        await place.claim()
        rows: list[Any] = [ArchiveRow(TRADES, "trades", 1, number, 0, each) for number, each in enumerate(trades())]
        rows += [ArchiveRow(QUOTES, "quotes", 1, number, 0, each) for number, each in enumerate(quotes())]
        await place.write(rows, Checkpoint())
    finally:
        await place.close()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facade]:
    directory = tmp_path_factory.mktemp("recorded")
    config = Path(shutil.copytree(PATIENT, directory / "config"))
    (config / "venues.yaml").write_text((CHECKOUT / "config/venues.yaml").read_text() + EQUITY_QUOTES)
    stack = LiveStack(directory / "data", "--config-dir", str(config)).start()
    try:
        asyncio.run(record(stack))
        facade = facade_of(stack, "recorded")
        until(lambda: httpx.get(f"{facade.base}/v2/stocks/AAPL/bars/latest").status_code == 200)
        yield facade
    finally:
        stack.close()


def test_alpaca_py_reads_all_pages_of_trades_and_quotes(recorded: Facade) -> None:
    oracle = Oracle()
    crypto, stocks = (
        historical.CryptoHistoricalDataClient(url_override=recorded.base),
        historical.StockHistoricalDataClient(recorded.key_id, recorded.secret, url_override=recorded.base),
    )
    for client in (crypto, stocks):
        watch(client._session, oracle, recorded.base)
    symbol = {"symbol_or_symbols": "BTC/USDT"} | WINDOW
    found = crypto.get_crypto_trades(requests.CryptoTradesRequest(**symbol)).data["BTC/USDT"]
    assert [(each.id, each.price) for each in found] == [(number, 45_000 + number) for number in range(MANY)]
    newest = crypto.get_crypto_trades(requests.CryptoTradesRequest(**symbol, limit=3, sort="desc")).data["BTC/USDT"]
    assert [each.id for each in newest] == [MANY - 1, MANY - 2, MANY - 3]
    quotes_found = crypto.get_crypto_quotes(requests.CryptoQuoteRequest(**symbol)).data["BTC/USDT"]
    assert [(each.bid_price, each.ask_size, each.bid_exchange) for each in quotes_found] == [(45_000 + n, 2, "ALPHA") for n in range(12)]
    share = {"symbol_or_symbols": ["AAPL"]} | WINDOW
    assert [each.price for each in stocks.get_stock_trades(requests.StockTradesRequest(**share)).data["AAPL"]] == [250, 251, 252]
    assert [each.tape for each in stocks.get_stock_quotes(requests.StockQuotesRequest(**share)).data["AAPL"]] == ["C"] * 3
    assert stocks.get_stock_latest_trade(requests.StockLatestTradeRequest(symbol_or_symbols="AAPL"))["AAPL"].price == 260
    assert oracle.data_seen["/v1beta3/crypto/us/trades"] == 4, "three pages, and one of three trades"


def test_ccxt_fetches_trades(recorded: Facade) -> None:
    client = ccxt.alpaca({"apiKey": recorded.key_id, "secret": recorded.secret})
    client.urls["api"] = {"trader": recorded.base, "market": recorded.base, "broker": recorded.base}
    watch(client.session, Oracle(), recorded.base)
    found = client.fetch_trades("BTC/USDT", since=BEGIN // 10**6, limit=5)
    assert [(each["id"], each["price"], each["side"]) for each in found] == [
        (str(number), 45_000 + number, "buy" if number % 2 else "sell") for number in range(5)
    ]
    assert client.fetch_trades("BTC/USDT") == [], "there were none today"


def test_alpaca_trade_api_reads_them_too(recorded: Facade, tmp_path: Path) -> None:
    printed = ran("alpaca-trade-api", ["-m", "tests.clients.trade_api_history"], recorded, tmp_path)
    oracle = Oracle()
    for line in printed.splitlines():
        oracle.look(*json.loads(line))
    assert set(oracle.data_seen) >= {"/v2/stocks/AAPL/trades", "/v2/stocks/AAPL/trades/latest", "/v1beta3/crypto/us/quotes"}


def test_auctions_fit_alpacas_own_description(recorded: Facade) -> None:
    oracle = Oracle()
    for path in ("/v2/stocks/auctions", "/v2/stocks/AAPL/auctions"):
        answer = httpx.get(f"{recorded.base}{path}", params={"symbols": "AAPL"} | WINDOW)
        oracle.look("GET", path, answer.status_code, answer.text)
    assert len(oracle.data_seen) == 2
