"""Historical trades, quotes and auctions of the recorded market, and the latest of one stock, as a client of Alpaca reads them."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

import httpx
import msgspec
import pytest

from domain.market.bar_history import DAY_NS, MINUTE_NS
from domain.market.quotes import Quote
from tests.apps import alpaca_house
from tests.apps.alpaca_house import VENUE, AlpacaHouse, trading
from tests.apps.submits import INSTRUMENTS, instrument
from tests.contracts.ticks import trade

CRYPTO: Final = "/v1beta3/crypto/us"
BEGIN: Final = 20_780 * DAY_NS
"""2026-11-23T00:00:00Z."""
WINDOW: Final = {"start": "2026-11-23", "end": "2026-11-23T23:59:59Z"}
MIDNIGHT: Final = "2026-11-23T00:00:00.000000000Z"


@pytest.fixture(autouse=True)
def _more_instruments(monkeypatch: pytest.MonkeyPatch) -> None:
    more = {
        "SOLUSDT": instrument("SOLUSDT", "0.01", "0.01"),
        "AAPL": msgspec.structs.replace(instrument("AAPL", "0.01", "1"), currency="USD", exchange="NASDAQ"),
    }
    monkeypatch.setattr(alpaca_house, "INSTRUMENTS", INSTRUMENTS | more)


@asynccontextmanager
async def reading() -> AsyncIterator[tuple[AlpacaHouse, httpx.AsyncClient]]:
    """A client without a key."""
    async with trading() as (house, _), house.http() as client:
        yield house, client


async def read(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def quoted(venue: str, seq: int, *, symbol: str = "BTCUSDT", at: int = BEGIN, bid_size: str = "1", ask_size: str = "2") -> Quote:
    bid, ask = Decimal("99.5"), Decimal("100.5")
    return Quote(symbol=symbol, venue=venue, bid=bid, bid_size=Decimal(bid_size), ask=ask, ask_size=Decimal(ask_size), at=at, seq=seq)


async def all_pages(client: httpx.AsyncClient, path: str, name: str, **query: Any) -> list[tuple[str, Any]]:
    """Symbol and item of all pages, in their order."""
    seen: list[tuple[str, Any]] = []
    token: dict[str, str] = {}
    for _ in range(50):
        page = await read(client, path, **query, **token)
        assert sum(map(len, page[name].values())) <= query["limit"]
        seen += [(symbol, item) for symbol, items in page[name].items() for item in items]
        if page["next_page_token"] is None:
            return seen
        token = {"page_token": page["next_page_token"]}
    raise AssertionError("there is no last page")


async def test_a_trade_has_its_numbers_its_venue_and_its_time_to_the_nanosecond() -> None:
    async with reading() as (house, client):
        house.recorded.trades = [trade("ALPHA", 7, at=BEGIN + 5, price="10.25", quantity="0.5"), trade("ALPHA", 8, at=BEGIN - 1)]
        assert await read(client, f"{CRYPTO}/trades", symbols="btcusdt,NOPE/USDT", **WINDOW) == {
            "trades": {"BTC/USDT": [{"t": "2026-11-23T00:00:00.000000005Z", "p": 10.25, "s": 0.5, "i": 7, "x": "ALPHA", "tks": "B"}]},
            "next_page_token": None,
        }


async def test_a_quote_is_that_of_its_venue_and_an_empty_side_has_no_price() -> None:
    async with reading() as (house, client):
        house.recorded.quotes = [quoted("ALPHA", 1), quoted("BETA", 1, ask_size="0")]
        assert await read(client, f"{CRYPTO}/quotes", symbols="BTC/USDT", **WINDOW) == {
            "quotes": {
                "BTC/USDT": [
                    {"t": MIDNIGHT, "bp": 99.5, "bs": 1, "ap": 100.5, "as": 2, "bx": "ALPHA", "ax": "ALPHA"},
                    {"t": MIDNIGHT, "bp": 99.5, "bs": 1, "ap": 0, "as": 0, "bx": "BETA", "ax": "BETA"},
                ]
            },
            "next_page_token": None,
        }


@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 5, 7, 13])
async def test_pages_continue_without_a_hole_although_trades_share_moments(sort: str, limit: int) -> None:
    async with reading() as (house, client):
        numbers = (9, 10, 100)
        house.recorded.trades = [trade(venue, number, at=BEGIN + at) for at in (1, 2) for number in numbers for venue in ("BETA", "ALPHA")]
        house.recorded.trades += [trade("ALPHA", number, at=BEGIN + 1, symbol="SOLUSDT") for number in numbers]
        one = [(at, venue, number) for at in (1, 2) for venue in ("ALPHA", "BETA") for number in numbers]
        other = [(1, "ALPHA", number) for number in numbers]
        order = 1 if sort == "asc" else -1
        seen = await all_pages(client, f"{CRYPTO}/trades", "trades", symbols="SOL/USDT,BTC/USDT", sort=sort, limit=limit, **WINDOW)
        found = [(symbol, (int(item["t"][-3:-1]), item["x"], item["i"])) for symbol, item in seen]
        assert found == [("BTC/USDT", each) for each in one[::order]] + [("SOL/USDT", each) for each in other[::order]]


async def test_quotes_are_paged_by_their_sequence() -> None:
    async with reading() as (house, client):
        house.recorded.quotes = [quoted("ALPHA", seq, bid_size=str(seq)) for seq in (1, 2, 10, 11)]
        seen = await all_pages(client, f"{CRYPTO}/quotes", "quotes", symbols="BTC/USDT", limit=3, **WINDOW)
        assert [item["bs"] for _, item in seen] == [1, 2, 10, 11]


async def test_stocks_are_read_by_list_and_by_path() -> None:
    async with reading() as (house, client):
        house.recorded.trades = [trade("ALPHA", 1, at=BEGIN, symbol="AAPL")]
        house.recorded.quotes = [quoted("ALPHA", 1, symbol="AAPL")]
        trades = [{"t": MIDNIGHT, "p": 100, "s": 1, "i": 1, "x": "ALPHA", "c": [], "z": "C"}]
        quotes = [{"t": MIDNIGHT, "bp": 99.5, "bs": 1, "ap": 100.5, "as": 2, "bx": "ALPHA", "ax": "ALPHA", "c": [], "z": "C"}]
        more = {"feed": "iex", "asof": "-", "currency": "USD"} | WINDOW
        for name, items in (("trades", trades), ("quotes", quotes)):
            listed = await read(client, f"/v2/stocks/{name}", symbols="AAPL,BTC/USDT", **more)
            assert listed == {name: {"AAPL": items}, "next_page_token": None}, "crypto is not among the stocks"
            assert await read(client, f"/v2/stocks/aapl/{name}", **more) == {name: items, "symbol": "AAPL", "next_page_token": None}
            assert await read(client, f"/v2/stocks/NOPE/{name}", **more) == {name: [], "symbol": "NOPE", "next_page_token": None}


async def test_today_is_read_by_default_and_both_ends_are_included() -> None:
    async with reading() as (house, client):
        now = house.oms.clock.now_ns()
        today = now // DAY_NS * DAY_NS
        house.recorded.trades = [trade("ALPHA", number, at=at) for number, at in enumerate((today - 1, today, now, now + MINUTE_NS))]
        found = (await read(client, f"{CRYPTO}/trades", symbols="BTC/USDT"))["trades"]["BTC/USDT"]
        assert [each["i"] for each in found] == [1, 2]


async def test_auctions_are_empty_because_no_venue_has_any() -> None:
    async with reading() as (_, client):
        assert await read(client, "/v2/stocks/auctions", symbols="AAPL", **WINDOW) == {"auctions": {}, "next_page_token": None}
        single = await read(client, "/v2/stocks/aapl/auctions", **WINDOW)
        assert single == {"auctions": [], "symbol": "AAPL", "next_page_token": None}
        assert (await client.get("/v2/stocks/auctions")).json()["message"] == "symbols: is missing"
        assert (await client.get("/v2/stocks/AAPL/auctions", params={"limit": "x"})).status_code == 422


@pytest.mark.parametrize("path", [f"{CRYPTO}/trades", f"{CRYPTO}/quotes", "/v2/stocks/trades", "/v2/stocks/AAPL/quotes"])
async def test_a_market_that_was_not_recorded_is_refused_because_it_had_trades(path: str) -> None:
    async with reading() as (house, client):
        house.recorded.recorded = False
        answer = await client.get(path, params={"symbols": "AAPL,BTC/USDT", **WINDOW})
        assert answer.status_code == 422
        assert answer.json() == {
            "code": 42210000,
            "message": "no market was recorded here: start the stack with --market config",
            "reason": "market_not_recorded",
        }


async def test_a_range_that_begins_with_dropped_days_is_refused_because_they_had_trades() -> None:
    async with reading() as (house, client):
        house.recorded.trades = [trade("ALPHA", 7, at=BEGIN + 5)]
        house.recorded.dropped_before = BEGIN
        earlier = await client.get(f"{CRYPTO}/trades", params={"symbols": "BTC/USDT", "start": "2026-11-22", "end": "2026-11-24"})
        assert (earlier.status_code, earlier.json()) == (
            422,
            {
                "code": 42210000,
                "message": "trades before 2026-11-23 are in the archive only: choose a later start",
                "reason": "ticks_not_kept",
            },
        )
        kept = await read(client, f"{CRYPTO}/trades", symbols="BTC/USDT", **WINDOW)
        assert len(kept["trades"]["BTC/USDT"]) == 1


async def test_a_store_that_is_away_is_named() -> None:
    async with reading() as (house, client):
        house.recorded.down = True
        away = await client.get(f"{CRYPTO}/trades", params={"symbols": "BTC/USDT", **WINDOW})
        assert (away.status_code, away.json()["reason"]) == (503, "market_history_unavailable")


def token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"symbols": ""}, "symbols: is missing"),
        ({"limit": "10001"}, "limit: must be a number from 1 to 10000"),
        ({"start": "monday"}, "start: is not a readable moment"),
        ({"end": "2026-11-23T00:00:00+25:00"}, "end: is not a readable moment: write it as 2026-01-31T12:00:00Z"),
        ({"page_token": token("BTCUSDT|5")}, "page_token: is not the token of a page"),
        ({"page_token": token("BTCUSDT|x|ALPHA 1")}, "page_token: is not the token of a page"),
        ({"page_token": token("BTCUSDT|-5|ALPHA 1")}, "page_token: is not the token of a page"),
        ({"page_token": token("BTCUSDT| 5 |ALPHA 1")}, "page_token: is not the token of a page"),
        ({"page_token": token("BTCUSDT")}, "page_token: is not the token of a page"),
        ({"page_token": token("ETHUSDT|5|ALPHA 1")}, "page_token: is of a page of other symbols"),
        ({"page_token": "A" * 300}, "page_token: is not the token of a page"),
    ],
)
async def test_a_query_that_cannot_be_answered_is_refused_by_name(query: dict[str, str], message: str) -> None:
    async with reading() as (_, client):
        for name in ("trades", "quotes"):
            answer = await client.get(f"{CRYPTO}/{name}", params={"symbols": "BTC/USDT", **WINDOW} | query)
            assert (answer.status_code, answer.json()["code"]) == (422, 40010001), answer.text
            assert answer.json()["message"].startswith(message)


async def test_the_latest_of_one_stock_is_what_the_list_of_stocks_has() -> None:
    async with reading() as (house, client):
        for path, name in (("trades/latest", "trade"), ("bars/latest", "bar"), ("quotes/latest", "quote"), ("snapshot", "snapshot")):
            missing = await client.get(f"/v2/stocks/aapl/{path}")
            assert (missing.status_code, missing.json()) == (404, {"code": 40410000, "message": f"no {name} found for AAPL"})
        house.recorded.trades = [trade("ALPHA", 1, at=house.oms.clock.now_ns() - 5, symbol="AAPL")]
        house.quote("99", "101", symbol="AAPL")
        quote = (await read(client, "/v2/stocks/AAPL/quotes/latest"))["quote"]
        assert {name: quote[name] for name in ("bx", "ax", "c", "z")} == {"bx": VENUE, "ax": VENUE, "c": [], "z": "C"}
        for name in ("trade", "bar", "quote"):
            several = await read(client, f"/v2/stocks/{name}s/latest", symbols="AAPL")
            assert await read(client, f"/v2/stocks/aapl/{name}s/latest") == {name: several[f"{name}s"]["AAPL"], "symbol": "AAPL"}
        snapshots = await read(client, "/v2/stocks/snapshots", symbols="AAPL")
        assert await read(client, "/v2/stocks/AAPL/snapshot") == {"symbol": "AAPL", **snapshots["AAPL"]}
