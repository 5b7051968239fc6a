"""GET /instruments: the catalogue as a ticket needs it, exact, in the words of the files that it was read from."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from apps.http.app import application
from apps.oms.instrument_list import calendar_view, router
from config.catalogue import load_instruments, load_venues
from config.venue_sections import CalendarSection
from domain.market.listings import Change, Listings
from domain.market.trading_hours import ALWAYS
from tests.apps.callers import as_caller

INSTRUMENTS = """
currencies: {USD: 1, USDT: 1}
groups:
  - {symbols: [BTCUSDT], tick: 0.01, lot: 0.00001, quantity_max: 1000000, notional_min: 5, currency: USDT, collar_pct: 2.5}
  - {symbols: [CL], tick: 0.01, lot: 1, quantity_max: 1000, notional_min: 0, currency: USD, negative_prices: true, shortable: true}
"""
VENUES = """
venues:
  B: {fees: {maker_bps: 1, taker_bps: 2}, symbols: [BTCUSDT]}
  A:
    fees: {maker_bps: 1, taker_bps: 2}
    calendar: {zone: America/New_York, opens: "09:30", closes: "16:00", days: [mon, fri], holidays: ["2026-12-25"]}
"""


async def listed(directory: Path, listings: Listings) -> Any:
    """The answer, with its numbers read exactly."""
    (directory / "instruments.yaml").write_text(INSTRUMENTS)
    (directory / "venues.yaml").write_text(VENUES)
    instruments = load_instruments(directory / "instruments.yaml").instruments
    venues = load_venues(instruments, directory / "venues.yaml").venues
    app = as_caller(application("oms", router(instruments, venues, listings)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://oms") as client:
        answer = await client.get("/instruments")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    return msgspec.json.Decoder(float_hook=Decimal).decode(answer.content)


async def test_each_instrument_has_its_steps_and_bounds_and_where_it_trades(tmp_path: Path) -> None:
    answer = await listed(tmp_path, Listings())
    assert answer["instruments"] == [
        {
            "symbol": "BTCUSDT",
            "tick": Decimal("0.01"),
            "lot": Decimal("0.00001"),
            "quantity_max": 1000000,
            "notional_min": 5,
            "currency": "USDT",
            "collar_pct": Decimal("2.5"),
            "shortable": False,
            "negative_prices": False,
            "class": "crypto",
            "base": "BTC",
            "quote": "USDT",
            "exchange": "CRYPTO",
            "name": "BTC/USDT",
            "venues": ["A", "B"],
        },
        {
            "symbol": "CL",
            "tick": Decimal("0.01"),
            "lot": 1,
            "quantity_max": 1000,
            "notional_min": 0,
            "currency": "USD",
            "collar_pct": None,
            "shortable": True,
            "negative_prices": True,
            "class": None,
            "base": "CL",
            "quote": "USD",
            "exchange": None,
            "name": "CL",
            "venues": ["A"],
        },
    ]
    assert answer["delisted"] == []


async def test_a_venue_says_when_it_trades_and_null_if_it_never_closes(tmp_path: Path) -> None:
    answer = await listed(tmp_path, Listings())
    hours = {"zone": "America/New_York", "opens": "09:30", "closes": "16:00", "days": ["mon", "fri"], "close_lead_sec": 30}
    assert answer["venues"] == [
        {
            "venue": "A",
            "session": "full",
            "live": False,
            "supports": ["iceberg"],
            "calendar": hours | {"holidays": ["2026-12-25"], "half_days": {}},
        },
        {"venue": "B", "session": "full", "live": False, "supports": ["iceberg"], "calendar": None},
    ]


async def test_what_is_no_longer_traded_is_listed_apart_and_what_is_traded_again_is_not(tmp_path: Path) -> None:
    listings = Listings()
    listings.apply(1, Change({"USD": Decimal(1)}, {"OLD": "USD", "CL": "USD"}, ("OLD", "CL")))
    assert (await listed(tmp_path, listings))["delisted"] == [{"symbol": "OLD", "currency": "USD"}]


@pytest.mark.parametrize(
    "section",
    [
        CalendarSection(opens="09:30", closes="16:00", half_days={"2026-11-27": "13:00"}),
        CalendarSection(zone="Europe/Berlin", opens="08:00", closes="24:00", days=("mon", "tue")),
        CalendarSection(opens="17:00", closes="16:00", holidays=("1999-12-31", "2026-12-25")),
        CalendarSection(opens="17:00", closes="17:00", half_days={"2026-11-27": "01:15"}),
        CalendarSection(opens="09:30:05", closes="00:00:59", close_lead_sec=600),
    ],
)
def test_hours_are_written_as_they_may_be_configured(section: CalendarSection) -> None:
    view = calendar_view(section.calendar())
    assert view is not None
    assert CalendarSection.model_validate(view).calendar() == section.calendar()
    assert calendar_view(ALWAYS) is None
