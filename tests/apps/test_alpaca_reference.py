"""What can be traded and when, and what it costs now, through the Alpaca facade."""

from datetime import UTC, datetime

import pytest

from adapters.clock import SystemClock
from apps.oms.alpaca.reference import AlpacaReference
from apps.oms.alpaca.requests import AlpacaRequest
from config.venue_sections import CalendarSection
from tests.apps.alpaca_house import trading

EXCHANGE = CalendarSection.model_validate(
    {
        "zone": "America/New_York",
        "opens": "09:30",
        "closes": "16:00",
        "days": ["mon", "tue", "wed", "thu", "fri"],
        "holidays": ["2026-12-25"],
    }
)


async def test_assets_are_listed_with_their_steps_and_found_in_every_spelling() -> None:
    async with trading() as (_house, client):
        (pair,) = (await client.get("/v2/assets", params={"asset_class": "crypto", "status": "active"})).json()
        assert {name: pair[name] for name in ("class", "symbol", "exchange", "tradable", "fractionable")} == {
            "class": "crypto",
            "symbol": "BTC/USDT",
            "exchange": "CRYPTO",
            "tradable": True,
            "fractionable": True,
        }
        assert (pair["min_order_size"], pair["min_trade_increment"], pair["price_increment"]) == ("0.001", "0.001", "0.01")
        for spelling in ("BTC/USDT", "btcusdt", pair["id"]):
            assert (await client.get(f"/v2/assets/{spelling}")).json() == pair
        assert [asset["symbol"] for asset in (await client.get("/v2/assets")).json()] == ["BTC/USDT", "FINE"], "a future has no class"
        assert (await client.get("/v2/assets?status=inactive")).json() == []
        assert (await client.get("/v2/assets?attributes=has_options")).json() == [], "none has attributes"
        absent = await client.get("/v2/assets/NOPE")
        assert (absent.status_code, absent.json()["code"]) == (404, 40410000)


async def test_quotes_books_and_snapshots_are_of_fresh_quotes_only() -> None:
    async with trading() as (house, client):
        house.quote("49.99", "50.01")
        quotes = (await client.get("/v1beta3/crypto/us/latest/quotes?symbols=BTC/USDT,FINE")).json()["quotes"]
        assert set(quotes) == {"BTC/USDT"}
        quote = quotes["BTC/USDT"]
        assert {name: quote[name] for name in ("bp", "bs", "ap", "as")} == {"bp": 49.99, "bs": 2, "ap": 50.01, "as": 2}
        books = (await client.get("/v1beta3/crypto/us/latest/orderbooks")).json()["orderbooks"]
        assert books == {"BTC/USDT": {"t": quote["t"], "b": [{"p": 49.99, "s": 2}], "a": [{"p": 50.01, "s": 2}]}}
        snapshots = (await client.get("/v1beta3/crypto/us/snapshots?symbols=btcusdt")).json()["snapshots"]
        assert snapshots["BTC/USDT"]["latestQuote"] == quote
        assert snapshots["BTC/USDT"]["latestTrade"] is None
        assert (await client.get("/v2/stocks/quotes/latest?symbols=BTC/USDT")).json() == {"quotes": {}}
        assert (await client.get("/v2/stocks/snapshots")).json() == {}


async def test_a_market_that_never_closes_is_open_and_its_days_end_a_minute_before_midnight() -> None:
    async with trading() as (_house, client):
        assert (await client.get("/v2/clock")).json()["is_open"] is True
        (day,) = (await client.get("/v2/calendar?start=2026-01-31&end=2026-01-31")).json()
        assert day == {
            "date": "2026-01-31",
            "open": "00:00",
            "close": "23:59",
            "session_open": "0000",
            "session_close": "2359",
            "settlement_date": "2026-01-31",
        }
        for wrong in ("start=x", "start=2000-01-01&end=2026-01-01"):
            assert (await client.get(f"/v2/calendar?{wrong}")).json()["code"] == 40010001
        (last,) = (await client.get("/v2/calendar?start=9999-12-31")).json()
        assert last["date"] == "9999-12-31", "no calendar has a day behind it"


class At(SystemClock):
    def __init__(self, text: str) -> None:
        self._at = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000

    def now_ns(self) -> int:
        return self._at


@pytest.mark.parametrize(
    ("now", "is_open", "next_open", "next_close"),
    [
        ("2026-12-23T15:00:00", True, "2026-12-24T14:30:00", "2026-12-23T21:00:00"),
        ("2026-12-24T22:00:00", False, "2026-12-28T14:30:00", "2026-12-28T21:00:00"),  # a holiday, then a weekend
    ],
)
async def test_the_clock_follows_the_exchange(now: str, is_open: bool, next_open: str, next_close: str) -> None:
    reference = AlpacaReference(None, [EXCHANGE.calendar()], (), At(now))  # type: ignore[arg-type]
    answer = (await reference.clock(AlpacaRequest(None, "", {}, b""))).body.decode()  # type: ignore[arg-type]
    assert f'"is_open":{str(is_open).lower()},"next_open":"{next_open}.000000000Z","next_close":"{next_close}.000000000Z"' in answer
