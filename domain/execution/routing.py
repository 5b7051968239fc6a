"""Routing: policies are pure functions over quotes, depth, fees and health, and record what they compared."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Final

import msgspec

from domain.execution.walk import reaches, walk
from domain.instruments import Instrument, is_too_small
from domain.market.depth import Depth
from domain.market.quotes import Quote
from domain.market.records import Level
from domain.order.events import Candidate, Leg, OrderSubmitted
from domain.values import ZERO, Side, TimeInForce, divide

BPS: Final = Decimal("0.0001")
NO_FRESH_QUOTE: Final = "no fresh quote"
"""The note of a venue that may take the order, but comes after all venues with a quote."""
NO_ICEBERGS: Final = "no icebergs"
"""The note of a venue that would show all of an order with a display quantity."""


class RoutedVenue(msgspec.Struct, frozen=True):
    """A venue as routing knows it.

    Fees are in basis points of |price| x quantity. A `plain` one only takes new orders and reports fills. `icebergs`: it can show a part of
    an order and hide the rest.
    """

    name: str
    maker_bps: Decimal
    taker_bps: Decimal
    symbols: frozenset[str]
    orders_per_sec: int = 10_000
    burst: int = 10_000
    answer_deadline_ns: int = 2_000_000_000
    plain: bool = False
    icebergs: bool = False


class VenueStatus(msgspec.Struct, frozen=True):
    """A venue's state at the moment of the decision.

    `closed` is why it may not take the order; `penalty_bps` is the cost of poor health.
    """

    closed: str | None = None
    waits: bool = False
    penalty_bps: Decimal = ZERO


WELL: Final = VenueStatus()


class Routing(msgspec.Struct, frozen=True):
    """The choice, and every venue it was chosen from."""

    legs: tuple[Leg, ...]
    policy: str
    candidates: tuple[Candidate, ...]


class NoRoute(msgspec.Struct, frozen=True):
    """No venue may take the order.

    `waits`: only until a token is available. `away`: a venue that lists it is unwell, and may recover soon. `candidates` list it.
    """

    reason: str
    detail: str = ""
    waits: bool = False
    away: bool = False
    candidates: tuple[Candidate, ...] = ()


class Offer(msgspec.Struct, gc=False):
    """One open venue for one order. `worth` is its touch as a number of which less is better.

    `paid` is what the whole order would pay there, `cost` the same with fee and health penalty (a seller pays less than nothing).
    `levels` are those that the order may meet: with the book's depth up to its quantity, else the touch. `rate_bps`: fee and penalty.
    """

    venue: RoutedVenue
    worth: Decimal | None
    paid: Decimal
    cost: Decimal
    size: Decimal
    levels: tuple[Level, ...] = ()
    rate_bps: Decimal = ZERO


class Ask(msgspec.Struct, frozen=True):
    """What a policy may use besides the offers."""

    order: OrderSubmitted
    instrument: Instrument | None = None
    pinned: str | None = None


DepthOf = Callable[[Quote], Depth | None]
Choice = Sequence[tuple[RoutedVenue, Decimal]]
Policy = Callable[[Ask, Sequence[Offer]], Choice]
"""Returns quantities by venue that add up to the order's; empty if no offer is acceptable. Offers are sorted by venue name."""


def lowest_cost(ask: Ask, offers: Sequence[Offer]) -> Choice:
    """Route all to where it costs least with fee and health penalty; then to the larger touch. Without a quote the lower fee decides."""
    return [(min(offers, key=_dearness).venue, ask.order.quantity)]


def best_price(ask: Ask, offers: Sequence[Offer]) -> Choice:
    """Route all to the best price; then to the lower fee; then to the larger touch."""
    best = min(offers, key=lambda o: (o.worth is None, o.paid, o.venue.taker_bps, -o.size))
    return [(best.venue, ask.order.quantity)]


def pinned(ask: Ask, offers: Sequence[Offer]) -> Choice:
    """Route all to the venue that the configuration names, whatever the others show."""
    return [(offer.venue, ask.order.quantity) for offer in offers if offer.venue.name == ask.pinned]


def split(ask: Ask, offers: Sequence[Offer]) -> Choice:
    """Split the order over the cheapest levels of all venues within its limit; each venue's part is in lots, and not too small for it.

    What no level shows stays with the venue of the cheapest one. An order is not split if that cannot fill it better: one that would rest,
    one that must fill whole (FOK), or a stop, which triggers once. Nor is an iceberg split: each venue would show its display quantity.
    """
    order, legs = ask.order, dict[str, tuple[RoutedVenue, Decimal]]()
    whole = order.stop_price is not None or order.display_quantity is not None
    if not whole and order.time_in_force is not TimeInForce.FOK:
        quoted = [offer for offer in offers if offer.worth is not None]
        legs = _cheapest_levels(ask, quoted)
        while small := {offer.venue.name for offer in quoted if offer.venue.name in legs and _is_too_small(ask, offer, legs)}:
            quoted = [offer for offer in quoted if offer.venue.name not in small]
            legs = _cheapest_levels(ask, quoted)
    if not legs:
        return lowest_cost(ask, offers)
    (first, _), *others = legs.values()
    return [(first, order.quantity - sum((quantity for _, quantity in others), ZERO)), *others]


_BY_COST: Final = itemgetter(0, 1)
POLICIES: Final[dict[str, Policy]] = {"lowest_cost": lowest_cost, "best_price": best_price, "split": split, "pinned": pinned}


def route(
    order: OrderSubmitted,
    venues: Iterable[RoutedVenue],
    quotes: Sequence[Quote],
    policy: str,
    *,
    standings: Mapping[str, VenueStatus] | None = None,
    instrument: Instrument | None = None,
    pin: str | None = None,
    tried: tuple[str, ...] = (),
    depth_of: DepthOf | None = None,
) -> Routing | NoRoute:
    """Return which venues take how much of the order. `tried` are the venues of its earlier routes; route ids are numbered after them.

    `depth_of` is asked for the book behind a quote whose touch shows less than the order wants. Without a book the touch counts for all.
    """
    by_venue = {quote.venue: quote for quote in quotes}
    seen: list[Candidate] = []
    offers: list[Offer] = []
    listed = waits = away = False
    hides = order.display_quantity is not None
    for venue in venues:
        if order.symbol not in venue.symbols:
            continue
        listed = True
        standing = standings.get(venue.name, WELL) if standings else WELL
        unfit = "tried before" if venue.name in tried else NO_ICEBERGS if hides and not venue.icebergs else None
        closed = unfit or standing.closed
        quote = by_venue.get(venue.name)
        depth = depth_of(quote) if quote is not None and depth_of is not None and _walks(order, quote) else None
        looked, offer = _look(venue, quote, depth, order, standing.penalty_bps, closed)
        seen.append(looked)
        if closed is None:
            offers.append(offer)
        elif unfit is None and standing.waits:
            waits = True
        elif unfit is None:
            away = True
    if not listed:
        return NoRoute("no_venue", f"no venue lists {order.symbol}")
    offers.sort(key=lambda offer: offer.venue.name)
    choice = POLICIES[policy](Ask(order, instrument, pin), offers) if offers else ()
    if not choice:
        return NoRoute("no_venue", _why(seen, policy, pin), waits, away, tuple(seen))
    begin = len(tried) + 1
    shown = order.display_quantity
    legs = tuple(Leg(f"{order.order_id}-{begin + place}", venue.name, quantity, shown) for place, (venue, quantity) in enumerate(choice))
    return Routing(legs, policy, tuple(seen))


def _walks(order: OrderSubmitted, quote: Quote) -> bool:
    """Return whether the order wants more than the touch shows, at once. A stop meets another market than the present one."""
    return order.quantity > quote.size(order.side) and order.stop_price is None


def _look(
    venue: RoutedVenue, quote: Quote | None, depth: Depth | None, order: OrderSubmitted, penalty_bps: Decimal, closed: str | None
) -> tuple[Candidate, Offer]:
    """Return the venue as seen by the order. Without a fresh quote it stays a candidate, but the last."""
    penalty = penalty_bps or None
    if quote is None:
        note = NO_FRESH_QUOTE if closed is None else closed
        return Candidate(venue.name, note=note, penalty_bps=penalty), Offer(venue, None, ZERO, venue.taker_bps + penalty_bps, ZERO)
    side, quantity = order.side, order.quantity
    touch, size = quote.touch(side), quote.size(side)
    worth, rate = touch if side is Side.BUY else -touch, venue.taker_bps + penalty_bps
    levels: tuple[Level, ...] = ((touch, size),)
    reached: tuple[Level, ...] = ()
    seq, depth_seq = quote.seq or None, None
    if depth is not None and depth.belongs_to(quote, side):
        met = walk(depth.levels(side), side, quantity, order.price)
        paid, reached, depth_seq = met.money if side is Side.BUY else -met.money, met.reached, depth.seq or None
        levels, cost = reached or levels, paid + met.gross * rate * BPS
        average = divide(paid + met.gross * venue.taker_bps * BPS, quantity)
    else:
        gross = abs(touch)
        average = worth + gross * venue.taker_bps * BPS
        paid, cost = worth * quantity, (worth + gross * rate * BPS if penalty_bps else average) * quantity
    if side is Side.SELL:
        average = -average
    looked = Candidate(venue.name, quote.bid, quote.ask, size, average, closed, penalty, seq, reached, depth_seq)
    return looked, Offer(venue, worth, paid, cost, size, levels, rate)


def _dearness(offer: Offer) -> tuple[bool, Decimal, Decimal]:
    return offer.worth is None, offer.cost, -offer.size


def _cheapest_levels(ask: Ask, offers: Sequence[Offer]) -> dict[str, tuple[RoutedVenue, Decimal]]:
    """Take levels from the cheapest on until the order is full. Return quantities by venue, that of the cheapest level first."""
    left, lot = ask.order.quantity, ask.instrument.lot if ask.instrument is not None else None
    shown, legs = dict[str, Decimal](), dict[str, tuple[RoutedVenue, Decimal]]()
    for _, _, size, venue in _ranked_levels(ask.order, offers):
        name = venue.name
        had = legs[name][1] if name in legs else ZERO
        shown[name] = whole = shown[name] + size if name in shown else size
        if lot is not None:
            whole -= whole % lot
        if taken := min(whole - had, left):
            legs[name] = (venue, had + taken)
            left -= taken
            if not left:
                break
    return legs


def _ranked_levels(order: OrderSubmitted, offers: Sequence[Offer]) -> list[tuple[Decimal, Decimal, Decimal, RoutedVenue]]:
    """Return unit cost, negative size, size and venue of every level within the limit: the cheapest first, then the larger one."""
    found, side, limit = [], order.side, order.price
    for offer in offers:
        rate = offer.rate_bps * BPS
        for price, size in offer.levels:
            if limit is None or reaches(side, price, limit):
                found.append(((price if side is Side.BUY else -price) + abs(price) * rate, -size, size, offer.venue))
    found.sort(key=_BY_COST)
    return found


def _is_too_small(ask: Ask, offer: Offer, legs: Mapping[str, tuple[RoutedVenue, Decimal]]) -> bool:
    """Return whether the venue would refuse its part of the order for being too small."""
    order, instrument = ask.order, ask.instrument
    if instrument is None or order.reduce_only or offer.worth is None:
        return False
    return is_too_small(instrument, legs[offer.venue.name][1], offer.worth if order.price is None else order.price)


def _why(seen: Sequence[Candidate], policy: str, pin: str | None) -> str:
    if policy == "pinned" and all(candidate.venue != pin for candidate in seen):
        return f"pinned to {pin}, which does not list it"
    return ", ".join(f"{candidate.venue}: {candidate.note or 'not chosen'}" for candidate in seen)
