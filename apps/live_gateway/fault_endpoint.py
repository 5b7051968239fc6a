"""`POST /venues/{venue}/faults`: fault injection and manual venue actions, for tests. Enabled only by configuration."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from apps.http.app import Exact, Refusal
from apps.http.body import model_doc, read_model
from apps.http.problem import malformed
from apps.live_gateway.venue_host import VenueHost
from domain.instruments import Instrument
from domain.paper.book import PaperOrder
from domain.paper.events import BustTrade, CorrectTrade, Deed, ForcedFill, Forget, Halt, UnsolicitedCancel
from domain.ports import Unavailable
from domain.values import NUMBER_RULE, SIGNED_RULE, ZERO, exact, signed_exact

COUNT_MAX: Final = 1_000_000
SECONDS_MAX: Final = 3600
FLOAT_DIGITS: Final = 15
"""A JSON number of at most this many digits survives the conversion to a float and back."""

Wire = ("drop", "delay", "duplicate", "reorder")


def _number(value: object) -> Decimal:
    return _read(value, exact, NUMBER_RULE)


def _price(value: object) -> Decimal:
    """Read a price. Its sign is checked once the instrument is known; that check would miss -0, so it is refused here."""
    price = _read(value, signed_exact, SIGNED_RULE)
    return price if price else _number(value)


def _read(value: object, read: Callable[[str], Decimal | None], rule: str) -> Decimal:
    number = None if isinstance(value, bool) else read(str(value))
    if number is None or (isinstance(value, float) and not _as_written(number)):
        raise ValueError(f"must be {rule}, as a string or a JSON number of at most {FLOAT_DIGITS} digits")
    return number


def _as_written(number: Decimal) -> bool:
    """Return whether a float still equals the written number; 0 may have been 1e-999."""
    return bool(number) and len(number.normalize().as_tuple().digits) <= FLOAT_DIGITS


Number = Annotated[Decimal, BeforeValidator(_number)]
Price = Annotated[Decimal, BeforeValidator(_price)]


class Fault(BaseModel):
    """A fault. `drop`, `delay`, `duplicate`, `reorder` apply to the next `count` reports. `forget`, `reject` apply to the next `count` new
    orders; `forget` with an `order_id` to an order that the venue has. `freeze` lasts for `seconds`. The others act at once on an order, a
    trade or a symbol."""

    model_config = ConfigDict(strict=True, extra="forbid")

    fault: Literal[
        "drop",
        "delay",
        "duplicate",
        "reorder",
        "reject",
        "forget",
        "freeze",
        "overfill",
        "fill",
        "cancel",
        "bust",
        "correct",
        "halt",
        "resume",
    ]
    count: Annotated[int, Field(ge=1, le=COUNT_MAX)] = 1
    seconds: Annotated[float, Field(gt=0, le=SECONDS_MAX)] = 1.0
    reason: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")] = "fault"
    order_id: str | None = None
    exec_id: str | None = None
    symbol: str | None = None
    quantity: Number | None = None
    price: Price | None = None


def misbehaviour_routes(hosts: Mapping[str, VenueHost], *, allowed: bool) -> APIRouter:
    """Build the routes. While not `allowed`, each request is refused with 403."""
    router = APIRouter()

    def venue_of(venue: str) -> VenueHost:
        if not allowed:
            raise Refusal(403, "faults_denied", "faults are not allowed by the configuration of live-gateway")
        if venue not in hosts:
            raise Refusal(404, "venue_not_found", f"unknown venue {venue}")
        return hosts[venue]

    @router.post("/venues/{venue}/faults", openapi_extra=model_doc(Fault))
    async def misbehave(venue: str, request: Request) -> Exact:
        """Inject a fault into a venue, or let it act on an order, a trade or a symbol."""
        body = read_model(await request.body(), Fault)
        host = venue_of(venue)
        faults = host.faults
        match body.fault:
            case "drop" | "delay" | "duplicate" | "reorder":
                faults.wire(body.fault, body.count, body.seconds)
            case "freeze":
                faults.freeze(body.seconds)
            case "reject":
                faults.requests("reject", body.count, body.reason)
            case "forget" if body.order_id is None:
                faults.requests("forget", body.count, body.reason)
            case _:
                await _do(host, _deed(host, body))
        return Exact(faults.view())

    @router.delete("/venues/{venue}/faults")
    async def behave(venue: str) -> Exact:
        """Clear all pending faults of a venue."""
        host = venue_of(venue)
        host.faults.clear()
        return Exact(host.faults.view())

    return router


async def _do(host: VenueHost, deed: Deed) -> None:
    try:
        await host.do(deed)
    except Unavailable as trouble:
        raise Refusal(503, "unavailable", str(trouble), outcome="unknown") from trouble


def _deed(host: VenueHost, body: Fault) -> Deed:
    match body.fault:
        case "halt" | "resume":
            if body.symbol not in host.instruments:
                raise Refusal(422, "unknown_symbol", "symbol must be one that this venue trades")
            return Halt(str(body.symbol), resume=body.fault == "resume")
        case "bust" | "correct":
            return _taken_back(host, body)
    order = _order(host, body.order_id)
    if body.fault == "cancel":
        return UnsolicitedCancel(order.request.route_id, body.reason)
    if body.fault == "forget":
        return Forget(order.request.route_id)
    return _trade(host, order, body)


def _taken_back(host: VenueHost, body: Fault) -> Deed:
    found = host.venue.traded(body.exec_id or "")
    if found is None:
        raise Refusal(422, "unknown_trade", "exec_id must be that of a valid trade at this venue")
    if body.fault == "bust":
        return BustTrade(found[1].exec_id)
    order, trade = found
    price = trade.price if body.price is None else possible(host.instruments[order.request.symbol], body.price)
    return CorrectTrade(trade.exec_id, _given(body.quantity, trade.quantity), price)


def possible(instrument: Instrument, price: Decimal) -> Decimal:
    """Check that the instrument can have this price. Refusal 400, or 422 for zero."""
    if instrument.negative_prices:
        return price
    if price < ZERO:
        raise malformed(f"price must be {NUMBER_RULE}", "/price")
    return _given(price, price)


def _given(number: Decimal | None, otherwise: Decimal) -> Decimal:
    if number is not None and number <= ZERO:
        raise Refusal(422, "not_positive", "a quantity or price must be above zero")
    return otherwise if number is None else number


def _order(host: VenueHost, order_id: str | None) -> PaperOrder:
    """Return the newest route of the order at this venue. Refusal 422."""
    legs = [order for order in host.venue.orders.values() if order.request.order_id == order_id]
    if not legs:
        raise Refusal(422, "order_not_found", "order_id must be that of an order at this venue")
    return max(legs, key=lambda leg: leg.number)


def _trade(host: VenueHost, order: PaperOrder, body: Fault) -> ForcedFill:
    """Build the forced fill. `fill`: `quantity`, or the leaves quantity. `overfill`: the leaves quantity plus `quantity` or one lot."""
    request = order.request
    quote = host.quotes.get(request.symbol)
    known = (body.price, request.price, quote.touch(request.side) if quote else None)
    price = next((price for price in known if price is not None), None)
    if price is None:
        raise Refusal(422, "price_required", "price is required: neither the order nor a quote has one")
    left, lot = max(order.leaves, ZERO), host.instruments[request.symbol].lot
    quantity = _given(body.quantity, left or lot) if body.fault == "fill" else left + _given(body.quantity, lot)
    return ForcedFill(request.route_id, quantity, possible(host.instruments[request.symbol], price))
