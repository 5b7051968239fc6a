"""The history of an account's equity as Alpaca shows it, from the samples. Times are UTC, days begin at midnight, months have 30 days."""

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from apps.http.alpaca_words import malformed_field
from apps.http.app import number
from apps.http.problem import ECHO_MAX
from apps.oms.alpaca.moments import SECOND_NS
from apps.oms.alpaca.requests import AlpacaReply, AlpacaRequest, moment_in, reply, word_in
from apps.oms.equity import EquityReads
from domain.ports import Clock
from domain.position.equity import STEPS, EquitySample
from domain.values import ZERO, divide

DAY_NS: Final = STEPS["1d"]
TIMEFRAMES: Final = {"1Min": "1m", "5Min": "5m", "15Min": "15m", "1H": "1h", "1D": "1d"}
PERIOD: Final = re.compile(r"([1-9]\d{0,3})([DWMA])", re.ASCII)
DAYS_OF: Final = {"D": 1, "W": 7, "M": 30, "A": 365}
PERIOD_DEFAULT: Final = "1M"
DAYS_MAX: Final = 3660
"""Days of a history."""
INTRADAY_DAYS_MAX: Final = 30
"""Days of a history that is finer than days."""
POINTS_MAX: Final = 10_080
"""Points of a history: the minutes of a week."""
REPORTING: Final = ("market_hours", "extended_hours", "continuous")
PER_DAY, NO_RESET = "per_day", "no_reset"
AT_ONCE_MAX: Final = 500
"""Points that are computed before other tasks run."""
PCT_PLACES: Final = 8


class _HistoryWindow(NamedTuple):
    """`begin` and `end` in nanoseconds UTC, at whole intervals of `timeframe`."""

    timeframe: str
    begin: int
    end: int


class EquityHistory:
    """The handler of `/v2/account/portfolio/history`."""

    def __init__(self, equity: EquityReads, clock: Clock) -> None:
        self._equity = equity
        self._clock = clock

    async def show(self, request: AlpacaRequest) -> AlpacaReply:
        """Return the history. An interval without a sample is left out: some clients read no null. AlpacaRefusal 422."""
        word_in(request.query, "intraday_reporting", REPORTING, "continuous")
        reset = word_in(request.query, "pnl_reset", (PER_DAY, NO_RESET), PER_DAY)
        window = self._window(request)
        interval = TIMEFRAMES[window.timeframe]
        found = await self._equity.series(request.account, interval, window.begin, window.end)
        before = None
        if interval != "1d":
            before = await self._equity.before(request.account, window.begin // DAY_NS * DAY_NS)
        return reply(await _view(window.timeframe, found, before, per_day=reset == PER_DAY and interval != "1d"))

    def _window(self, request: AlpacaRequest) -> _HistoryWindow:
        """Read period, start, end and timeframe, of which the defaults follow from each other. AlpacaRefusal."""
        query, now = request.query, self._clock.now_ns()
        start, end = _start_in(request), _end_in(request)
        if start is not None and end is not None and query.get("period"):
            raise malformed_field("period", "cannot be combined with both start and end")
        span = _period(query.get("period") or PERIOD_DEFAULT)
        if start is not None and end is None:
            end = start + span
        end = now if end is None else min(end, now)
        start = end - span if start is None else start
        if start >= end:
            raise malformed_field("start", "must be before end, and before now")
        frame = _timeframe(query.get("timeframe"), end - start)
        step = STEPS[TIMEFRAMES[frame]]
        begin, after = max(start, 0) // step * step, -(-end // step) * step
        if after - begin > (DAYS_MAX + 1) * DAY_NS:
            raise malformed_field("period", f"a history has at most {DAYS_MAX} days")
        if (after - begin) // step > POINTS_MAX + 1:
            raise malformed_field("timeframe", f"{frame} would give more than {POINTS_MAX} points: choose a coarser one")
        return _HistoryWindow(frame, begin, after)


def _start_in(request: AlpacaRequest) -> int | None:
    """Return `start`, or the begin of the day `date_start`, which alpaca-trade-api sends."""
    if (start := moment_in(request.query, "start")) is not None:
        return start
    day = moment_in(request.query, "date_start")
    return None if day is None else day // DAY_NS * DAY_NS


def _end_in(request: AlpacaRequest) -> int | None:
    """Return `end`, or the end of the day `date_end`."""
    if (end := moment_in(request.query, "end")) is not None:
        return end
    day = moment_in(request.query, "date_end")
    return None if day is None else (day // DAY_NS + 1) * DAY_NS


def _period(text: str) -> int:
    found = PERIOD.fullmatch(text.upper())
    if found is None:
        raise malformed_field("period", f"{text[:ECHO_MAX]!a} is not a number and one of D, W, M, A, as in 1M")
    return int(found[1]) * DAYS_OF[found[2]] * DAY_NS


def _timeframe(text: str | None, span: int) -> str:
    """Return the word of a timeframe; by default that of Alpaca for so long a time. AlpacaRefusal."""
    days = span / DAY_NS
    if not text:
        return "1Min" if days < 7 else "15Min" if days < INTRADAY_DAYS_MAX else "1D"
    found = next((word for word in TIMEFRAMES if word.lower() == text.lower()), None)
    if found is None:
        raise malformed_field("timeframe", f"{text[:ECHO_MAX]!a} is not one of {', '.join(TIMEFRAMES)}")
    if found != "1D" and days > INTRADAY_DAYS_MAX:
        raise malformed_field("timeframe", f"a period of more than {INTRADAY_DAYS_MAX} days has the timeframe 1D only")
    return found


async def _view(timeframe: str, found: Sequence[EquitySample], before: EquitySample | None, *, per_day: bool) -> dict[str, Any]:
    """Return equity, and profit relative to a base: the last equity before the first day, else the first one that is shown.

    `per_day`: on each later day the base is the last equity of the day before.
    """
    first = before or (found[0] if found else None)
    base = None if first is None else first.equity
    equity, gained, percent = [], [], []
    day, last = (found[0].at // DAY_NS if found else 0), base
    for place, sample in enumerate(found):
        if per_day and sample.at // DAY_NS != day:
            day, base = sample.at // DAY_NS, last
        assert base is not None, "there is a sample"
        gain = sample.equity - base
        equity.append(number(sample.equity))
        gained.append(number(gain))
        percent.append(_fraction(gain, base))
        last = sample.equity
        if place % AT_ONCE_MAX == AT_ONCE_MAX - 1:
            await asyncio.sleep(0)
    view: dict[str, Any] = {
        "timestamp": [sample.at // SECOND_NS for sample in found],
        "equity": equity,
        "profit_loss": gained,
        "profit_loss_pct": percent,
        "base_value": None if first is None else number(first.equity),
        "timeframe": timeframe,
    }
    return view if before is None else view | {"base_value_asof": f"{datetime.fromtimestamp(before.at // SECOND_NS, UTC):%Y-%m-%d}"}


def _fraction(gain: Decimal, base: Decimal) -> Any:
    return number(divide(gain, base, PCT_PLACES)) if base > ZERO else None
