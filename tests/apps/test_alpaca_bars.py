"""Bars, last trades and snapshots of the recorded market, as a client of Alpaca reads them."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import msgspec
import pytest

from apps.oms.alpaca import bars
from domain.market.bar_history import DAY_NS, MINUTE_NS
from tests.apps import alpaca_house
from tests.apps.alpaca_house import AlpacaHouse, trading
from tests.apps.submits import INSTRUMENTS, instrument
from tests.contracts.ticks import trade

CRYPTO: Final = "/v1beta3/crypto/us"
BEGIN: Final = 20_780 * DAY_NS
"""2026-11-23T00:00:00Z."""
WINDOW: Final = {"start": "2026-11-23", "end": "2026-11-23T23:59:59Z", "timeframe": "1Min"}


@pytest.fixture(autouse=True)
def _more_instruments(monkeypatch: pytest.MonkeyPatch) -> None:
    more = {
        "SOLUSDT": instrument("SOLUSDT", "0.01", "0.01"),
        "AAPL": msgspec.structs.replace(instrument("AAPL", "0.01", "1"), currency="USD", exchange="NASDAQ"),
    }
    monkeypatch.setattr(alpaca_house, "INSTRUMENTS", INSTRUMENTS | more)


def has_minutes(house: AlpacaHouse, *minutes: int, symbol: str = "BTCUSDT", begin: int = BEGIN) -> None:
    """One trade in each of these minutes, at a price that tells which."""
    house.recorded.trades += [
        trade("ALPHA", minute + 1, at=begin + minute * MINUTE_NS + 5, price=str(100 + minute), symbol=symbol) for minute in minutes
    ]


async def read(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@asynccontextmanager
async def reading() -> Any:
    """A client without a key."""
    async with trading() as (house, _), house.http() as client:
        yield house, client


async def test_a_bar_has_its_numbers_and_time() -> None:
    async with reading() as (house, client):
        house.recorded.trades = [
            trade("ALPHA", 1, at=BEGIN, price="10", quantity="1"),
            trade("ALPHA", 2, at=BEGIN + 1, price="13", quantity="2"),
            trade("ALPHA", 3, at=BEGIN + 2, price="10", quantity="0.5"),
        ]
        assert await read(client, f"{CRYPTO}/bars", symbols="BTC/USDT,NOPE/USDT", **WINDOW) == {
            "bars": {"BTC/USDT": [{"t": "2026-11-23T00:00:00.000000000Z", "o": 10, "h": 13, "l": 10, "c": 10, "v": 3.5, "n": 3, "vw": 11}]},
            "next_page_token": None,
        }


@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 8])
async def test_pages_continue_without_a_hole_over_symbols(sort: str, limit: int) -> None:
    async with reading() as (house, client):
        has_minutes(house, 0, 1, 2, 7)
        has_minutes(house, 1, 5, 6, symbol="SOLUSDT")
        order = 1 if sort == "asc" else -1
        wanted = {"BTC/USDT": [100, 101, 102, 107][::order]}
        asked = {"symbols": "BTC/USDT", **WINDOW, "sort": sort, "limit": limit}
        seen: dict[str, list[int]] = {}
        token = None
        for _ in range(20):
            page = await read(client, f"{CRYPTO}/bars", **asked, **({"page_token": token} if token else {}))
            assert sum(map(len, page["bars"].values())) <= limit
            for symbol, found in page["bars"].items():
                seen.setdefault(symbol, []).extend(bar["o"] for bar in found)
            if (token := page["next_page_token"]) is None:
                break
        assert seen == wanted
        assert token is None


async def test_several_symbols_share_a_page() -> None:
    async with reading() as (house, client):
        first, second = "BTC/USDT", "SOL/USDT"
        has_minutes(house, 0, 1)
        has_minutes(house, 2, 3, symbol="SOLUSDT")
        asked = {"symbols": f"{second},{first}", **WINDOW}
        page = await read(client, f"{CRYPTO}/bars", **asked, limit=2)
        assert {symbol: len(found) for symbol, found in page["bars"].items()} == {first: 2}
        rest = await read(client, f"{CRYPTO}/bars", **asked, limit=2, page_token=page["next_page_token"])
        assert ({symbol: len(found) for symbol, found in rest["bars"].items()}, rest["next_page_token"]) == ({second: 2}, None)


async def test_the_range_is_of_whole_bars_and_its_end_is_included() -> None:
    async with reading() as (house, client):
        has_minutes(house, 4, 5, 9, 10, 15)
        asked = {"symbols": "BTCUSDT", "timeframe": "5Min", "start": "2026-11-23T00:04:00Z", "end": "2026-11-23T00:10:00Z"}
        found = (await read(client, f"{CRYPTO}/bars", **asked))["bars"]["BTC/USDT"]
        assert [(bar["t"][11:16], bar["n"]) for bar in found] == [("00:05", 2), ("00:10", 1)]


async def test_stocks_are_read_by_list_and_by_path_with_what_their_clients_send() -> None:
    async with reading() as (house, client):
        has_minutes(house, 0, symbol="AAPL")
        more = {"adjustment": "raw", "feed": "iex", "asof": "-", "currency": "USD"}
        listed = await read(client, "/v2/stocks/bars", symbols="AAPL", **WINDOW, **more)
        single = await read(client, "/v2/stocks/aapl/bars", **WINDOW, **more)
        assert single == {"bars": listed["bars"]["AAPL"], "symbol": "AAPL", "next_page_token": None}
        assert (await read(client, f"{CRYPTO}/bars", symbols="AAPL", **WINDOW))["bars"] == {}


async def test_the_latest_are_those_of_the_last_week() -> None:
    async with reading() as (house, client):
        now = house.oms.clock.now_ns() // MINUTE_NS * MINUTE_NS
        has_minutes(house, 0, begin=now - 20 * MINUTE_NS)
        has_minutes(house, 3, begin=now - 20 * MINUTE_NS)
        has_minutes(house, 0, symbol="AAPL", begin=now - 8 * DAY_NS)
        latest = (await read(client, f"{CRYPTO}/latest/bars", symbols="BTC/USDT"))["bars"]["BTC/USDT"]
        assert (latest["c"], latest["n"]) == (103, 1)
        last = (await read(client, f"{CRYPTO}/latest/trades", symbols="BTC/USDT"))["trades"]["BTC/USDT"]
        assert {name: value for name, value in last.items() if name != "t"} == {"p": 103, "s": 1, "i": 4, "x": "ALPHA", "tks": "S"}
        assert await read(client, "/v2/stocks/bars/latest", symbols="AAPL") == {"bars": {}}
        assert await read(client, "/v2/stocks/trades/latest", symbols="AAPL") == {"trades": {}}
        has_minutes(house, 0, symbol="AAPL", begin=now - DAY_NS)
        (share,) = (await read(client, "/v2/stocks/trades/latest", symbols="AAPL"))["trades"].values()
        assert {name: value for name, value in share.items() if name != "t"} == {"p": 100, "s": 1, "i": 1, "x": "ALPHA", "c": [], "z": "C"}


async def test_a_snapshot_has_the_recorded_market_beside_the_quote_and_asks_for_it_once_a_second() -> None:
    async with reading() as (house, client):
        house.quote("99", "101")
        today = house.oms.clock.now_ns() // DAY_NS * DAY_NS
        has_minutes(house, 0, begin=today - DAY_NS)
        has_minutes(house, 1, begin=today - 3 * DAY_NS)
        for _ in range(3):
            (snapshot,) = (await read(client, f"{CRYPTO}/snapshots", symbols="BTC/USDT"))["snapshots"].values()
        assert (snapshot["latestQuote"]["bp"], snapshot["latestTrade"]["p"], snapshot["minuteBar"]["c"]) == (99, 100, 100)
        assert (snapshot["dailyBar"]["c"], snapshot["prevDailyBar"]["c"]) == (100, 101)
        assert house.recorded.asked <= 2


async def test_a_market_that_was_not_recorded_is_empty_and_never_an_error() -> None:
    async with reading() as (house, client):
        house.recorded.recorded = False
        house.quote("99", "101")
        assert await read(client, f"{CRYPTO}/bars", symbols="BTC/USDT", **WINDOW) == {"bars": {}, "next_page_token": None}
        assert await read(client, "/v2/stocks/AAPL/bars", **WINDOW) == {"bars": [], "symbol": "AAPL", "next_page_token": None}
        assert await read(client, f"{CRYPTO}/latest/trades", symbols="BTC/USDT") == {"trades": {}}
        (snapshot,) = (await read(client, f"{CRYPTO}/snapshots", symbols="BTC/USDT"))["snapshots"].values()
        assert (snapshot["latestQuote"]["bp"], snapshot["latestTrade"], snapshot["minuteBar"]) == (99, None, None)


async def test_a_store_that_is_away_costs_bars_and_no_quote(monkeypatch: pytest.MonkeyPatch) -> None:
    async with reading() as (house, client):
        house.recorded.down = True
        house.quote("99", "101")
        away = await client.get(f"{CRYPTO}/bars", params={"symbols": "BTC/USDT", **WINDOW})
        assert (away.status_code, away.json()["code"], away.json()["reason"]) == (503, 50310000, "market_history_unavailable")
        assert away.headers["retry-after"] == "1"
        for _ in range(3):
            (snapshot,) = (await read(client, f"{CRYPTO}/snapshots", symbols="BTC/USDT"))["snapshots"].values()
            assert (snapshot["latestQuote"]["bp"], snapshot["latestTrade"]) == (99, None)
        assert house.recorded.asked == 2, "a silent store is left alone for a while"


async def test_a_slow_store_delays_a_snapshot_by_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "SNAPSHOT_WAIT_S", 0.01)
    async with reading() as (house, client):
        house.quote("99", "101")

        async def never(*_: Any) -> None:
            await asyncio.Event().wait()

        house.recorded.last_trade = never
        (snapshot,) = (await read(client, f"{CRYPTO}/snapshots", symbols="BTC/USDT"))["snapshots"].values()
        assert (snapshot["latestQuote"]["ap"], snapshot["minuteBar"]) == (101, None)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"timeframe": "61Min"}, "timeframe: '61Min' is not one of [1-59]Min, [1-23]Hour, 1Day, 1Week, [1,2,3,4,6,12]Month"),
        ({"timeframe": ""}, "timeframe: '' is not one of"),
        ({"symbols": ""}, "symbols: is missing"),
        ({"symbols": ",".join(f"S{number}" for number in range(101))}, "symbols: at most 100 symbols are read at once"),
        ({"limit": "0"}, "limit: must be a number from 1 to 10000"),
        ({"limit": "10001"}, "limit: must be a number from 1 to 10000"),
        ({"sort": "up"}, "sort: 'up' is not one of asc, desc"),
        ({"start": "monday"}, "start: is not a readable moment"),
        ({"page_token": "x"}, "page_token: is not the token of a page"),
        ({"page_token": "A" * 200}, "page_token: is not the token of a page"),
        ({"page_token": "RVRIVVNEVHw1"}, "page_token: is of a page of other symbols"),
    ],
)
async def test_a_query_that_cannot_be_answered_is_refused_by_name(query: dict[str, str], message: str) -> None:
    async with reading() as (_, client):
        answer = await client.get(f"{CRYPTO}/bars", params={"symbols": "BTC/USDT", **WINDOW} | query)
        assert (answer.status_code, answer.json()["code"]) == (422, 40010001), answer.text
        assert answer.json()["message"].startswith(message)


async def test_moments_without_any_market_bound_nothing() -> None:
    async with reading() as (house, client):
        has_minutes(house, 0)
        for start, end in (("0001-01-01", "9999-12-31"), ("1970-01-01", "2500-01-01T00:00:00Z")):
            for frame in ("1Min", "1Week", "12Month"):
                asked = {"symbols": "BTC/USDT", "timeframe": frame, "start": start, "end": end}
                assert len((await read(client, f"{CRYPTO}/bars", **asked))["bars"]["BTC/USDT"]) == 1
        backwards = {"symbols": "BTC/USDT", "timeframe": "1Min", "start": "2026-11-24", "end": "2026-11-23"}
        assert (await read(client, f"{CRYPTO}/bars", **backwards))["bars"] == {}
