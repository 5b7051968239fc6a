"""What can be traded and when: assets, the clock and the calendar, from the catalogue of instruments and the venues' trading hours."""

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from typing import Any, Final

import msgspec

from apps.http.alpaca_words import malformed_field
from apps.oms.alpaca.catalogue import AlpacaAsset, AssetBook
from apps.oms.alpaca.moments import SECOND_NS, shown_moment
from apps.oms.alpaca.refusals import asset_not_found
from apps.oms.alpaca.requests import AlpacaReply, AlpacaRequest, reply
from domain.market.trading_hours import ALWAYS, DAY_S, EPOCH_WEEKDAY, Calendar
from domain.ports import Clock
from domain.values import plain

EPOCH: Final = date(1970, 1, 1)
LAST_DAY: Final = (date.max - EPOCH).days
DAYS_AROUND: Final = 365
"""Days before and after today, unless a calendar is asked for others."""
DAYS_MAX: Final = 4000
"""Days in one calendar."""
LAST_MINUTE_S: Final = DAY_S - 60
"""Clients read times of a day as hours below 24, so a session that lasts until midnight is shown to end a minute before."""


class ShownAsset(msgspec.Struct, rename={"asset_class": "class"}, kw_only=True):
    """One instrument as Alpaca lists assets."""

    id: str
    asset_class: str
    exchange: str
    symbol: str
    name: str
    status: str
    tradable: bool
    marginable: bool
    shortable: bool
    easy_to_borrow: bool
    fractionable: bool
    min_order_size: str
    min_trade_increment: str
    price_increment: str
    attributes: list[str] = []


class AlpacaReference:
    """The handlers of `/v2/assets`, `/v2/clock` and `/v2/calendar`."""

    def __init__(self, assets: AssetBook, calendars: Sequence[Calendar], blocked: Collection[str], clock: Clock) -> None:
        """`calendars` are those of the venues. `blocked`: the symbols that are blocked now."""
        self._assets = assets
        self._calendars = calendars or (ALWAYS,)
        self._blocked = blocked
        self._clock = clock

    async def assets(self, request: AlpacaRequest) -> AlpacaReply:
        """List the assets that match `status`, `asset_class`, `exchange` and `attributes`. All are active, and none has attributes."""
        query = request.query
        kind, exchange = query.get("asset_class", "").lower(), query.get("exchange", "").upper()
        if query.get("status", "active").lower() not in ("active", "all", "") or query.get("attributes"):
            return reply([])
        found = (asset for asset in self._assets.all if kind in ("", asset.asset_class) and exchange in ("", asset.exchange))
        return reply([self._shown(asset) for asset in sorted(found, key=lambda asset: asset.shown)])

    async def asset(self, request: AlpacaRequest) -> AlpacaReply:
        found = self._assets.find(request.rest)
        if found is None:
            raise asset_not_found(request.rest)
        return reply(self._shown(found))

    def _shown(self, asset: AlpacaAsset) -> ShownAsset:
        instrument = asset.instrument
        assert instrument is not None, "only instruments of the catalogue are listed"
        return ShownAsset(
            id=asset.asset_id,
            asset_class=asset.asset_class,
            exchange=asset.exchange,
            symbol=asset.shown,
            name=asset.name,
            status="active",
            tradable=asset.symbol not in self._blocked,
            marginable=asset.asset_class != "crypto",
            shortable=instrument.shortable,
            easy_to_borrow=instrument.shortable,
            fractionable=instrument.lot < 1,
            min_order_size=plain(instrument.lot),
            min_trade_increment=plain(instrument.lot),
            price_increment=plain(instrument.tick),
        )

    async def clock(self, request: AlpacaRequest) -> AlpacaReply:
        """Return whether any venue is open, when the next one opens, and when the last open one closes."""
        now = self._clock.now_ns()
        opened = [calendar for calendar in self._calendars if calendar.is_open(now)]
        view = {
            "timestamp": shown_moment(now),
            "is_open": bool(opened),
            "next_open": shown_moment(min(calendar.next_open(now) for calendar in self._calendars)),
            "next_close": shown_moment(max(calendar.session_end(now) for calendar in opened or self._calendars)),
        }
        return reply(view)

    async def calendar(self, request: AlpacaRequest) -> AlpacaReply:
        """List the days with a session, from `start` to `end` (both included), by the first venue that closes at all."""
        today = self._clock.now_ns() // (DAY_S * SECOND_NS)
        first = _day_in(request, "start", today - DAYS_AROUND)
        last = _day_in(request, "end", min(max(first, today) + DAYS_AROUND, LAST_DAY))
        if last - first >= DAYS_MAX:
            raise malformed_field("end", f"at most {DAYS_MAX} days are listed at once")
        hours = next((calendar for calendar in self._calendars if calendar != ALWAYS), ALWAYS)
        return reply([_day(hours, day) for day in range(first, last + 1) if _trades_on(hours, day)])


def _day_in(request: AlpacaRequest, name: str, default: int) -> int:
    text = request.query.get(name)
    if not text:
        return default
    try:
        return (date.fromisoformat(text[:10]) - EPOCH).days
    except ValueError:
        raise malformed_field(name, "must be a date like 2026-01-31") from None


def _trades_on(hours: Calendar, day: int) -> bool:
    return (day + EPOCH_WEEKDAY) % 7 in hours.weekdays and day not in hours.holidays


def _day(hours: Calendar, day: int) -> dict[str, Any]:
    opens, closes = hours.opens_s, min(hours.half_days.get(day, hours.closes_s), LAST_MINUTE_S)
    shown = (EPOCH + timedelta(days=day)).isoformat()
    return {
        "date": shown,
        "open": _time(opens),
        "close": _time(closes),
        "session_open": _time(opens, ""),
        "session_close": _time(closes, ""),
        "settlement_date": shown,
    }


def _time(seconds: int, colon: str = ":") -> str:
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours:02}{colon}{minutes:02}"
