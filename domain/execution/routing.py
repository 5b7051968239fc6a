"""Routing: policies are pure functions over quotes, fees, sizes and health, and record what they compared."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from domain.instruments import Instrument, is_too_small
from domain.market.quotes import Quote
from domain.order.events import Candidate, Leg, OrderSubmitted
from domain.values import ZERO, Side, TimeInForce

BPS: Final = Decimal("0.0001")
NO_FRESH_QUOTE: Final = "no fresh quote"
"""The note of a venue that may take the order, but comes after all venues with a quote."""


class RoutedVenue(msgspec.Struct, frozen=True):
    """A venue as routing knows it.

    Fees are in basis points of |price| x quantity. A `plain` one only takes new orders and reports fills.
    """

    name: str
    maker_bps: Decimal
    taker_bps: Decimal
    symbols: frozenset[str]
    orders_per_sec: int = 10_000
    burst: int = 10_000
    answer_deadline_ns: int = 2_000_000_000
    plain: bool = False


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
    """One open venue for one order. `worth` is its price as a number of which less is better; `cost` adds fee and health penalty."""

    venue: RoutedVenue
    worth: Decimal | None
    cost: Decimal
    size: Decimal


class Ask(msgspec.Struct, frozen=True):
    """What a policy may use besides the offers."""

    order: OrderSubmitted
    instrument: Instrument | None = None
    pinned: str | None = None


Choice = Sequence[tuple[RoutedVenue, Decimal]]
Policy = Callable[[Ask, Sequence[Offer]], Choice]
"""Returns quantities by venue that add up to the order's; empty if no offer is acceptable. Offers are sorted by venue name."""


def lowest_cost(ask: Ask, offers: Sequence[Offer]) -> Choice:
    """Route all to the lowest touch with fee and health penalty; then to the larger size. Without a quote the lower fee decides."""
    return [(min(offers, key=_dearness).venue, ask.order.quantity)]


def best_price(ask: Ask, offers: Sequence[Offer]) -> Choice:
    """Route all to the best touch; then to the lower fee; then to the larger size."""
    best = min(offers, key=lambda o: (o.worth is None, o.worth or ZERO, o.venue.taker_bps, -o.size))
    return [(best.venue, ask.order.quantity)]


def pinned(ask: Ask, offers: Sequence[Offer]) -> Choice:
    """Route all to the venue that the configuration names, whatever the others show."""
    return [(offer.venue, ask.order.quantity) for offer in offers if offer.venue.name == ask.pinned]


def split(ask: Ask, offers: Sequence[Offer]) -> Choice:
    """Split the order if the cheapest venue shows too little: the next ones take what they show within the limit.

    The rest stays with the cheapest. An order is not split if that cannot fill it better: one that would rest, one that must fill whole
    (FOK), or a stop, which triggers once.
    """
    order, ranked = ask.order, sorted(offers, key=_dearness)
    best = ranked[0]
    if best.size >= order.quantity or order.stop_price is not None or order.time_in_force is TimeInForce.FOK:
        return [(best.venue, order.quantity)]
    left, legs = order.quantity, dict[str, tuple[RoutedVenue, Decimal]]()
    for offer in ranked:
        if left and (shown := _takes(ask, offer, left)):
            legs[offer.venue.name] = (offer.venue, shown)
            left -= shown
    if not legs:
        return [(best.venue, order.quantity)]
    first, taken = next(iter(legs.values()))
    return [(first, taken + left), *list(legs.values())[1:]]


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
) -> Routing | NoRoute:
    """Return which venues take how much of the order. `tried` are the venues of its earlier routes; route ids are numbered after them."""
    by_venue = {quote.venue: quote for quote in quotes}
    seen: list[Candidate] = []
    offers: list[Offer] = []
    listed = waits = away = False
    for venue in venues:
        if order.symbol not in venue.symbols:
            continue
        listed = True
        standing = standings.get(venue.name, WELL) if standings else WELL
        closed = "tried before" if venue.name in tried else standing.closed
        looked, offer = _look(venue, by_venue.get(venue.name), order.side, standing.penalty_bps, closed)
        seen.append(looked)
        if closed is None:
            offers.append(offer)
        elif standing.waits:
            waits = True
        elif venue.name not in tried:
            away = True
    if not listed:
        return NoRoute("no_venue", f"no venue lists {order.symbol}")
    offers.sort(key=lambda offer: offer.venue.name)
    choice = POLICIES[policy](Ask(order, instrument, pin), offers) if offers else ()
    if not choice:
        return NoRoute("no_venue", _why(seen, policy, pin), waits, away, tuple(seen))
    begin = len(tried) + 1
    legs = tuple(Leg(f"{order.order_id}-{begin + place}", venue.name, quantity) for place, (venue, quantity) in enumerate(choice))
    return Routing(legs, policy, tuple(seen))


def _look(venue: RoutedVenue, quote: Quote | None, side: Side, penalty_bps: Decimal, closed: str | None) -> tuple[Candidate, Offer]:
    """Return the venue as seen by an order of this side. Without a fresh quote it stays a candidate, but the last."""
    penalty = penalty_bps or None
    if quote is None:
        note = NO_FRESH_QUOTE if closed is None else closed
        return Candidate(venue.name, note=note, penalty_bps=penalty), Offer(venue, None, venue.taker_bps + penalty_bps, ZERO)
    touch, size = (quote.ask, quote.ask_size) if side is Side.BUY else (quote.bid, quote.bid_size)
    worth = touch if side is Side.BUY else -touch
    notional = touch if touch > ZERO else -touch
    fee = notional * venue.taker_bps * BPS
    cost = touch + fee if side is Side.BUY else touch - fee
    seq = quote.seq or None
    looked = Candidate(venue.name, quote.bid, quote.ask, size, cost, note=closed, penalty_bps=penalty, quote_seq=seq)
    dear = worth + fee + notional * penalty_bps * BPS if penalty_bps else worth + fee
    return looked, Offer(venue, worth, dear, size)


def _dearness(offer: Offer) -> tuple[bool, Decimal, Decimal]:
    return offer.worth is None, offer.cost, -offer.size


def _takes(ask: Ask, offer: Offer, left: Decimal) -> Decimal:
    """Return how much of the shown size the order can take at once, in lots; zero if the venue would refuse that little."""
    order, instrument = ask.order, ask.instrument
    if offer.worth is None:
        return ZERO
    if order.price is not None and offer.worth > (order.price if order.side is Side.BUY else -order.price):
        return ZERO
    shown = min(left, offer.size)
    if instrument is not None:
        shown -= shown % instrument.lot
        if not order.reduce_only and is_too_small(instrument, shown, offer.worth if order.price is None else order.price):
            return ZERO
    return shown


def _why(seen: Sequence[Candidate], policy: str, pin: str | None) -> str:
    if policy == "pinned" and all(candidate.venue != pin for candidate in seen):
        return f"pinned to {pin}, which does not list it"
    return ", ".join(f"{candidate.venue}: {candidate.note or 'not chosen'}" for candidate in seen)
