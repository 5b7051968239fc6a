"""HTTP endpoints of live-gateway: venues, their orders and quotes, and advancing a stepped recording."""

from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from apps.http.app import Exact, Refusal
from apps.http.body import model_doc, read_model
from apps.http.moments import asked_moment
from apps.http.problem import malformed
from apps.live_gateway.feed import Recording
from apps.live_gateway.venue_host import VenueHost
from apps.live_gateway.views import PAGE_MAX, open_orders, venue_view
from domain.market.quotes import Quote
from domain.ports import Unavailable
from domain.values import rfc3339

T = TypeVar("T")

After = Annotated[int, Query(ge=0)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]


class Advance(BaseModel):
    """How far to play: up to and including a market time, or a number of rows."""

    model_config = ConfigDict(strict=True, extra="forbid")

    until: str | None = None
    rows: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "Advance":
        if (self.until is None) == (self.rows is None):
            raise ValueError("exactly one of until and rows is required")
        return self


def gateway_routes(hosts: Mapping[str, VenueHost], stepped: Recording | None) -> APIRouter:
    """Build the routes. `stepped` is the recording that advances only on request; None without one."""
    router = APIRouter()

    @router.get("/venues")
    async def venues() -> Exact:
        return Exact({"venues": [venue_view(hosts[name]) for name in sorted(hosts)]})

    @router.get("/venues/{venue}/orders")
    async def orders(venue: str, after: After = 0, limit: Limit = PAGE_MAX) -> Exact:
        host = hosts.get(venue)
        if host is None:
            raise Refusal(404, "venue_not_found", f"unknown venue {venue}")
        return Exact(await _asked(host, lambda: open_orders(host, after, limit)))

    @router.get("/quotes/{symbol:path}")
    async def quotes(symbol: str) -> Exact:
        shown = [host.quotes[symbol] for _, host in sorted(hosts.items()) if symbol in host.quotes]
        if not shown:
            raise Refusal(404, "no_quote", f"no venue has a quote of {symbol}")
        return Exact({"symbol": symbol, "quotes": [_quote_view(quote) for quote in shown]})

    @router.post("/quotes/advance", openapi_extra=model_doc(Advance))
    async def advance(request: Request) -> Exact:
        body = read_model(await request.body(), Advance)
        if stepped is None:
            raise Refusal(409, "not_stepped", "quotes can be advanced only if they come from a file with speed: stepped")
        try:
            until = None if body.until is None else asked_moment(body.until, utc=True)
        except ValueError as error:
            raise malformed(f"until is not a valid time: {error}", "/until") from None
        try:
            played = await stepped.advance(until=until, rows=body.rows)
        except Unavailable as trouble:
            raise Refusal(503, "unavailable", str(trouble), outcome="unknown") from trouble
        return Exact({"rows": played, "time": None if stepped.time is None else rfc3339(stepped.time)})

    return router


async def _asked(host: VenueHost, question: Callable[[], T]) -> T:
    try:
        return await host.ask(question)
    except Unavailable as trouble:
        raise Refusal(503, "unavailable", str(trouble), headers={"Retry-After": "1"}) from trouble


def _quote_view(quote: Quote) -> dict[str, object]:
    return {
        "venue": quote.venue,
        "bid": quote.bid,
        "bid_size": quote.bid_size,
        "ask": quote.ask,
        "ask_size": quote.ask_size,
        "at": rfc3339(quote.at),
    }
