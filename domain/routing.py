"""Where an order goes: policies are pure functions over quotes, fees and venues, and leave a record of what they compared."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from domain.events import Candidate, Leg, OrderSubmitted
from domain.quotes import Quote
from domain.values import ZERO, Side

BPS: Final = Decimal("0.0001")


class Venue(msgspec.Struct, frozen=True):
    """What routing knows of a venue. Fees in basis points of the notional."""

    name: str
    maker_bps: Decimal
    taker_bps: Decimal
    symbols: frozenset[str]


class Routing(msgspec.Struct, frozen=True):
    """The choice, and every venue it was chosen from."""

    legs: tuple[Leg, ...]
    policy: str
    candidates: tuple[Candidate, ...]


Key = Callable[[Candidate, Venue, Side], tuple[Decimal, ...]]
"""Smaller is better."""


def candidate(venue: Venue, quote: Quote | None, side: Side) -> Candidate:
    """The venue as it looks for an order of this side. Without a fresh quote it stays a candidate, but the last."""
    if quote is None:
        return Candidate(venue.name, note="no fresh quote")
    touch, fee = quote.touch(side), quote.touch(side) * venue.taker_bps * BPS
    cost = touch + fee if side is Side.BUY else touch - fee
    return Candidate(venue.name, bid=quote.bid, ask=quote.ask, size=quote.size(side), cost=cost)


def _worth(price: Decimal | None, side: Side) -> Decimal:
    """A price as a number of which less is better for this side."""
    assert price is not None
    return price if side is Side.BUY else -price


def _lowest_cost(seen: Candidate, venue: Venue, side: Side) -> tuple[Decimal, ...]:
    """The touch with the taker fee; then the larger size."""
    return _worth(seen.cost, side), -(seen.size or ZERO)


def _best_price(seen: Candidate, venue: Venue, side: Side) -> tuple[Decimal, ...]:
    """The touch alone; then the lower fee; then the larger size."""
    return _worth(seen.ask if side is Side.BUY else seen.bid, side), venue.taker_bps, -(seen.size or ZERO)


POLICIES: Final[dict[str, Key]] = {"lowest_cost": _lowest_cost, "best_price": _best_price}


def route(order: OrderSubmitted, route_id: str, venues: Iterable[Venue], quotes: Sequence[Quote], policy: str) -> Routing | None:
    """The whole order to the best venue; None when no venue lists the symbol. Without any quote the cheapest venue takes it."""
    key = POLICIES[policy]
    by_venue = {quote.venue: quote for quote in quotes}
    listed = [venue for venue in venues if order.symbol in venue.symbols]
    if not listed:
        return None
    seen = {venue.name: candidate(venue, by_venue.get(venue.name), order.side) for venue in listed}
    quoted = [venue for venue in listed if seen[venue.name].cost is not None]
    if quoted:
        best = min(quoted, key=lambda venue: (*key(seen[venue.name], venue, order.side), venue.name))
    else:
        best = min(listed, key=lambda venue: (venue.taker_bps, venue.name))
    return Routing((Leg(route_id, best.name, order.quantity),), policy, tuple(seen.values()))
