"""What accounts were worth: `GET /equity/{account}`, and the reads behind Alpaca's portfolio history. The projector writes the samples."""

import asyncio
from collections import OrderedDict
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, NamedTuple

from fastapi import APIRouter, Query, Request, Response

from apps.http.app import Exact, encoded_in_turns, number
from apps.http.caller import caller_of
from apps.http.problem import ECHO_MAX, Refusal
from apps.http.query import moment_asked, time_window
from apps.oms.bounded_reads import BoundedReads
from apps.oms.openapi import UNAVAILABLE, AccountPath, LimitQuery, SinceQuery, UntilQuery
from apps.oms.routes import readable
from domain.ports import Clock, EquitySamples
from domain.position.equity import STEPS, EquitySample
from domain.values import rfc3339

UNAVAILABLE_CODE: Final = "equity_unavailable"
CURRENCY: Final = "USD"
AT_ONCE_MAX: Final = 1000
"""Intervals in one query, so that a long history lets others read between its parts."""
KNOWN_MAX: Final = 10_000
"""Accounts whose equity at the last midnight is kept in memory."""
ASK_AGAIN_NS: Final = 60 * 10**9
"""When an account without a sample before midnight, or a store that did not answer, is asked again."""

MIDNIGHT_WAIT_S: Final = 1.0
"""How long the equity at midnight is waited for: it is one number of an account that risk answers at once."""

Interval = Literal["1m", "5m", "15m", "1h", "1d"]
IntervalQuery = Annotated[Interval, Query(description="Each interval shows its last sample; one without a sample is left out.")]
CursorQuery = Annotated[str | None, Query(max_length=ECHO_MAX, description="`next` of the previous page.")]


class _AtMidnight(NamedTuple):
    """The equity at a midnight, until when it holds (monotonic ns; None: all day)."""

    midnight: int
    equity: Decimal | None
    until: int | None


class EquityReads:
    """Reads of the samples, bounded, and never on the path of an order."""

    def __init__(self, samples: EquitySamples, reads: BoundedReads, clock: Clock) -> None:
        self._samples = samples
        self._reads = reads
        self._clock = clock
        self._known: OrderedDict[str, _AtMidnight] = OrderedDict()

    async def page(
        self, account: str, interval: str, since_ns: int | None, until_ns: int | None, limit: int, cursor: str | None
    ) -> dict[str, Any]:
        """Return the samples, newest first; `next` is null on the last page. Refusal 400, 429, 503."""
        step, now = STEPS[interval], self._clock.now_ns()
        behind = moment_asked(cursor, "cursor")
        until = min(now + 1 if until_ns is None else until_ns, now + 1 if behind is None else behind)
        since = max(since_ns or 0, 0)
        begin = max(since, (-(-until // step) - limit) * step)

        async def read() -> tuple[list[EquitySample], EquitySample | None]:
            found = await self._samples.history(account, interval, since_ns=begin, until_ns=until, limit=limit) if begin < until else []
            return found, await self._samples.last_before(account, begin) if since < begin else None

        found, earlier = await self._reads.read(UNAVAILABLE_CODE, read)
        following = None if earlier is None or earlier.at < since else rfc3339((earlier.at // step + 1) * step)
        view = {"account": account, "interval": interval, "currency": CURRENCY}
        return view | {"samples": await encoded_in_turns(found, _view), "next": following}

    async def series(self, account: str, interval: str, since_ns: int, until_ns: int) -> list[EquitySample]:
        """Return the samples of whole intervals, oldest first. Refusal 429, 503."""
        found: list[EquitySample] = []
        span = STEPS[interval] * AT_ONCE_MAX
        for begin in range(since_ns, until_ns, span):
            end = min(begin + span, until_ns)

            async def read(begin: int = begin, end: int = end) -> list[EquitySample]:
                return await self._samples.history(account, interval, since_ns=begin, until_ns=end, limit=AT_ONCE_MAX)

            found += reversed(await self._reads.read(UNAVAILABLE_CODE, read))
        return found

    async def before(self, account: str, at_ns: int) -> EquitySample | None:
        """Return the last sample before a moment. Refusal 429, 503."""
        return await self._reads.read(UNAVAILABLE_CODE, lambda: self._samples.last_before(account, at_ns))

    async def at_midnight(self, account: str) -> Decimal | None:
        """Return the equity of the last sample before this day, UTC; None without one, and while the store does not answer."""
        now, monotonic = self._clock.now_ns(), self._clock.monotonic_ns()
        midnight = now // STEPS["1d"] * STEPS["1d"]
        known = self._known.get(account)
        if known is not None and known.midnight == midnight and (known.until is None or monotonic < known.until):
            return known.equity
        try:
            async with asyncio.timeout(MIDNIGHT_WAIT_S):
                found = await self.before(account, midnight)
        except (Refusal, TimeoutError):
            found = None
        equity = None if found is None else found.equity
        other = self._known.get(account)
        if equity is None and other is not None and other.midnight == midnight and other.equity is not None:
            return other.equity  # another request found it meanwhile
        self._known[account] = _AtMidnight(midnight, equity, monotonic + ASK_AGAIN_NS if equity is None else None)
        self._known.move_to_end(account)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return equity


def router(equity: EquityReads) -> APIRouter:
    routes = APIRouter()

    @routes.get("/equity/{account}", responses=UNAVAILABLE)
    async def show_equity(
        account: AccountPath,
        request: Request,
        interval: IntervalQuery = "1m",
        since: SinceQuery | None = None,
        until: UntilQuery | None = None,
        limit: LimitQuery = 100,
        cursor: CursorQuery = None,
    ) -> Response:
        """Return what an account was worth, newest first; `next` is null on the last page. A missing interval was not sampled."""
        readable(caller_of(request.scope), account)
        since_ns, until_ns = time_window(since, until)
        return Exact(await equity.page(account, interval, since_ns, until_ns, limit, cursor))

    return routes


def _view(sample: EquitySample) -> dict[str, Any]:
    equity, cash, long, short = map(number, (sample.equity, sample.cash, sample.long, sample.short))
    return {"timestamp": rfc3339(sample.at), "equity": equity, "cash": cash, "long": long, "short": short}
