"""`GET /instruments`: what can be traded, in which steps, where and when. It says nothing of accounts, limits or blocked symbols."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Response

from apps.http.app import Exact, encode
from config.catalogue import VenueSettings
from config.venue_sections import EPOCH, WEEKDAYS
from domain.instruments import Instrument
from domain.market.listings import Listings
from domain.market.trading_hours import ALWAYS, DAY_S, Calendar

View = dict[str, Any]

INSTRUMENTS_DOC: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "`instruments` under the names of instruments.yaml, `delisted` ones, and `venues` with their trading hours."}
}


def router(instruments: Mapping[str, Instrument], venues: Mapping[str, VenueSettings], listings: Listings) -> APIRouter:
    """Build the route. The catalogue is fixed while the process runs, so it is encoded once; `listings` tell what was delisted."""
    routes = APIRouter()
    listed = msgspec.Raw(encode([_instrument(instrument, venues.values()) for _, instrument in sorted(instruments.items())]))
    hours = msgspec.Raw(encode([_venue(venue) for _, venue in sorted(venues.items())]))

    @routes.get("/instruments", summary="Instruments with their steps and bounds", responses=INSTRUMENTS_DOC)
    async def show_instruments() -> Response:
        """Return every instrument of the catalogue, those that are no longer traded, and the venues."""
        gone = sorted(listings.delisted - instruments.keys())
        delisted = [{"symbol": symbol, "currency": listings.currency(symbol)} for symbol in gone]
        return Exact({"instruments": listed, "delisted": delisted, "venues": hours})

    return routes


def _instrument(instrument: Instrument, venues: Iterable[VenueSettings]) -> View:
    """Build one instrument. `collar_pct` is null if risk's `price_collar_pct` applies, `class` if it is neither crypto nor a US equity."""
    listing = sorted(venue.name for venue in venues if instrument.symbol in venue.symbols)
    fields = msgspec.structs.asdict(instrument)
    described = {"class": fields.pop("asset_class"), **{name: fields.pop(name) or None for name in ("base", "quote", "exchange", "name")}}
    return {**fields, **described, "venues": listing}


def _venue(venue: VenueSettings) -> View:
    supports = ["iceberg"] if venue.icebergs else []
    hours = calendar_view(venue.rules.calendar)
    return {"venue": venue.name, "session": venue.session, "live": venue.live, "supports": supports, "calendar": hours}


def calendar_view(calendar: Calendar) -> View | None:
    """Build trading hours in the words of venues.yaml; None for a venue that never closes."""
    if calendar == ALWAYS:
        return None
    return {
        "zone": str(calendar.zone),
        "opens": _clock(calendar.opens_s),
        "closes": _clock(calendar.closes_s),
        "days": [WEEKDAYS[day] for day in sorted(calendar.weekdays)],
        "holidays": [_date(day) for day in sorted(calendar.holidays)],
        "half_days": {_date(day): _clock(closes_s) for day, closes_s in sorted(calendar.half_days.items())},
        "close_lead_sec": calendar.close_lead_s,
    }


def _clock(seconds: int) -> str:
    """Return a time of day. One beyond midnight is of the next day; midnight itself is 24:00."""
    minutes, rest = divmod(seconds - DAY_S if seconds > DAY_S else seconds, 60)
    shown = f"{minutes // 60:02}:{minutes % 60:02}"
    return f"{shown}:{rest:02}" if rest else shown


def _date(day: int) -> str:
    return (EPOCH + timedelta(days=day)).isoformat()
