"""HTTP endpoints of normalizer: books, facts and bars, from memory."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from apps.http.app import Exact, Refusal
from apps.http.query import moment_asked
from apps.normalizer.market_watch import MarketWatch
from apps.normalizer.recent_facts import RecentFacts
from apps.normalizer.venue_run import VenueRun
from domain.market.bars import INTERVALS, Bar
from domain.market.records import Fact
from domain.values import rfc3339

DEPTH: Final = 10
DEPTH_MAX: Final = 1000
BARS_MAX: Final = 1000
FACTS: Final = 100
FACTS_MAX: Final = 1000

Depth = Annotated[int, Query(ge=1, le=DEPTH_MAX)]
BarLimit = Annotated[int, Query(ge=1, le=BARS_MAX)]
FactLimit = Annotated[int, Query(ge=1, le=FACTS_MAX)]


def normalizer_routes(watch: MarketWatch, facts: RecentFacts) -> APIRouter:
    router = APIRouter()

    def run_of(venue: str) -> VenueRun:
        found = watch.runs.get(venue)
        if found is None:
            raise Refusal(404, "venue_not_found", f"no frames of a venue {venue}")
        return found

    @router.get("/books/{venue}/{symbol:path}")
    async def books(venue: str, symbol: str, depth: Depth = DEPTH) -> Exact:
        view = run_of(venue).book(symbol, depth)
        if view is None:
            raise Refusal(404, "symbol_not_found", f"{venue} is not asked for {symbol}")
        return Exact(
            {
                "venue": venue,
                "symbol": symbol,
                "valid": view.valid,
                "checked": view.checked,
                "seq": view.seq,
                "bids": view.bids,
                "asks": view.asks,
                "at": _time(view.at),
                "received": _time(view.received),
            }
        )

    @router.get("/facts")
    async def recent(venue: str | None = None, symbol: str | None = None, since: str | None = None, limit: FactLimit = FACTS) -> Exact:
        found = facts.newest(venue, symbol, moment_asked(since, "since") or 0, limit)
        return Exact({"facts": [_fact_view(fact) for fact in found]})

    @router.get("/bars/{venue}/{symbol:path}/{interval}")
    async def bars(venue: str, symbol: str, interval: str, limit: BarLimit = FACTS) -> Exact:
        run = run_of(venue)
        if interval not in INTERVALS:
            raise Refusal(404, "interval_not_found", f"no bars of {interval}: there are {', '.join(INTERVALS)}")
        found = run.bars.last(venue, symbol, interval, limit, run.now())
        if found is None and symbol not in run.fold.symbols:
            raise Refusal(404, "symbol_not_found", f"{venue} is not asked for {symbol}")
        return Exact({"venue": venue, "symbol": symbol, "interval": interval, "bars": [_bar_view(bar) for bar in found or ()]})

    return router


def _time(at: int) -> str | None:
    return rfc3339(at) if at else None


def _fact_view(fact: Fact) -> dict[str, Any]:
    return {
        "fact": fact.fact,
        "venue": fact.venue,
        "symbol": fact.symbol or None,
        "at": rfc3339(fact.at),
        "from": fact.from_ or None,
        "to": fact.to or None,
        "detail": fact.detail,
    }


def _bar_view(bar: Bar) -> dict[str, Any]:
    return {
        "at": rfc3339(bar.at),
        "open": bar.open,
        "high": bar.high,
        "low": bar.low,
        "close": bar.close,
        "volume": bar.volume,
        "count": bar.count,
        "closed": bar.closed,
        "partial": bar.partial,
    }
