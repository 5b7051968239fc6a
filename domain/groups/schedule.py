"""When a parent's slices are due, and what each of them trades: a pure function of the parent's terms and of the recorded inputs.

Nothing here knows the time or the market by itself, so that the audit can run it again over every recorded slice. So a rule here may not
change for parents that are in a journal: a new rule needs a parameter that its parents have, and older ones do not.
"""

import hashlib
from decimal import Decimal
from typing import Final, NamedTuple

from domain.order.algo import CatchUp, ChildPlace, OnEnd, Parent, SliceInputs, Strategy, slices_total
from domain.order.legs import Candidate
from domain.values import ZERO, OrderType, Side, TimeInForce

SECOND: Final = 1_000_000_000
PARTS: Final = 1_000_000
"""Draws and percentages are whole parts of this."""
PERCENT_PARTS: Final = PARTS // 100
COMPLETE_LEAD: Final = 5 * SECOND
"""How long before its end a parent with `on_end: complete` sends its last child; at most a quarter of its horizon."""
COMPLETE_REACH_PCT: Final = Decimal(1)
"""How far the limit of that child is beyond the far touch, so that it also meets what is behind the touch."""
LARGEST: Final = 2
"""A child has at most this many regular slices."""
HALF: Final = Decimal("0.5")
BPS: Final = 10_000

NO_QUOTE: Final = "no_quote"
NOT_LISTED: Final = "not_listed"
ON_CURVE: Final = "on_curve"
SPREAD: Final = "spread"
AWAY_FROM_ARRIVAL: Final = "away_from_arrival"
NO_ARRIVAL: Final = "no_arrival_price"
LIMIT_PRICE: Final = "limit_price"
PARTICIPATION: Final = "participation"
TOO_SMALL: Final = "too_small"
"""Why a slice has no child. NO_ARRIVAL: a distance from the arrival price was to be kept, and there was no quote on arrival."""


class SliceDecision(NamedTuple):
    """What a slice trades; with the quantity 0 it has no child, and `reason` says why. `target`: what should be done after it."""

    target: Decimal | None
    quantity: Decimal = ZERO
    price: Decimal | None = None
    order_type: OrderType = OrderType.LIMIT
    time_in_force: TimeInForce = TimeInForce.GTC
    reason: str = ""


def draw(seed: int, what: str, number: int) -> int:
    """Return a whole number from 0 to PARTS - 1 that depends on nothing else: the first 8 bytes of BLAKE2b of the three, scaled."""
    digest = hashlib.blake2b(f"{what} {seed} {number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") * PARTS >> 64


def interval_of(parent: Parent) -> int:
    """Return the time from slice to slice, in nanoseconds."""
    return int(parent.params.interval_sec * SECOND)


def completes_at(parent: Parent) -> int | None:
    """Return when the last child is due that trades all that is left; None for a parent that has none."""
    if parent.end_at is None or parent.params.on_end is not OnEnd.COMPLETE:
        return None
    return parent.end_at - min(COMPLETE_LEAD, (parent.end_at - parent.start_at) // 4)


def due(parent: Parent, now_ns: int) -> int | None:
    """Return when the slice was due that should be decided now; None if there is none.

    Of several that were missed only the latest is decided. The times of decided slices only ever grow, also when the clock goes back.
    """
    if parent.strategy is Strategy.ICEBERG:
        return now_ns if now_ns >= parent.start_at and now_ns > parent.due_at and _is_before_end(parent, now_ns) else None
    if now_ns < parent.start_at or not _is_before_end(parent, now_ns):
        return None
    last = completes_at(parent)
    if last is not None and now_ns >= last:
        return last if last > parent.due_at else None
    step = _step_of(parent, now_ns)
    found = _due_at(parent, step)
    if found > now_ns:
        if not step:
            return None
        found = _due_at(parent, step - 1)
    return found if found > parent.due_at else None


def next_due(parent: Parent) -> int | None:
    """Return when the next slice after the last decided one is due; None if there is none. An iceberg has no times."""
    if parent.strategy is Strategy.ICEBERG:
        return None
    found, step = _due_at(parent, 0), 0
    if parent.due_at >= found:
        step = _step_of(parent, parent.due_at)
        found = _due_at(parent, step)
        if found <= parent.due_at:
            step += 1
            found = _due_at(parent, step)
    last = completes_at(parent)
    if last is not None and (step >= _steps(parent) or found >= last):
        return last if last > parent.due_at else None
    return found if step < _steps(parent) else None


def target(parent: Parent, now_ns: int, lot: Decimal) -> Decimal | None:
    """Return what should be done by now: the curve after the latest step. None for an iceberg, which has no curve."""
    if parent.strategy is Strategy.ICEBERG:
        return None
    if now_ns < _due_at(parent, 0):
        return ZERO
    last = completes_at(parent)
    if not _is_before_end(parent, now_ns) or (last is not None and now_ns >= last):
        return parent.quantity
    step = _step_of(parent, now_ns)
    return _curve(parent, step if _due_at(parent, step) <= now_ns else step - 1, lot)


def regular(parent: Parent, lot: Decimal) -> Decimal:
    """Return the quantity of one slice if all were equal, on the lot and at least one."""
    return even_slice(parent.quantity, _steps(parent), lot)


def even_slice(quantity: Decimal, slices: int, lot: Decimal) -> Decimal:
    """Return the quantity of each of `slices` equal parts, rounded up to the lot."""
    return _up(quantity, lot * slices) * lot


def decide(parent: Parent, n: int, due_at: int, inputs: SliceInputs) -> SliceDecision:
    """Decide slice `n`, which was due at `due_at`. Of the parent only its terms count; its progress is among the inputs."""
    if inputs.lot is None or inputs.tick is None:
        return SliceDecision(None, reason=NOT_LISTED)
    if parent.strategy is Strategy.ICEBERG:
        return _shown(parent, n, inputs, inputs.lot)
    completes = due_at == completes_at(parent)
    step = _step_of(parent, due_at)
    goal = parent.quantity if completes else _curve(parent, step, inputs.lot)
    if reason := _paused(parent, inputs.quote):
        return SliceDecision(goal, reason=reason)
    assert inputs.quote is not None, "without a quote a slice has no child"
    terms = _completing(parent, inputs.quote, inputs.tick) if completes else _priced(parent, inputs.quote, inputs.tick)
    if terms.reason:
        return SliceDecision(goal, reason=terms.reason)
    committed = inputs.cum_quantity + inputs.working_quantity + inputs.doubtful_quantity
    want = goal - committed
    if not completes:
        want = min(_wanted(parent, step, want, inputs.lot), regular(parent, inputs.lot) * LARGEST)
    price = terms.price if terms.price is not None else inputs.quote.ask if parent.side is Side.BUY else inputs.quote.bid
    return _sized(parent, inputs, terms._replace(target=goal), want, goal - committed, price)


def _sized(
    parent: Parent, inputs: SliceInputs, terms: SliceDecision, want: Decimal, behind: Decimal, price: Decimal | None
) -> SliceDecision:
    """Bring the quantity within its bounds. Slices that are too small to trade wait until the curve is far enough ahead."""
    lot, params = inputs.lot, parent.params
    assert lot is not None, "a listed symbol has a lot"
    if want <= ZERO and (behind <= ZERO or params.catch_up is CatchUp.NONE):
        return SliceDecision(terms.target, reason=ON_CURVE)
    least = _least(parent, inputs, price, lot)
    if want < least <= behind and least <= regular(parent, lot) * LARGEST:
        want = least
    most = parent.quantity - inputs.cum_quantity - inputs.working_quantity - inputs.doubtful_quantity
    if params.child_quantity_max is not None:
        most = min(most, params.child_quantity_max)
    if params.participation_max_pct is not None:
        share = (inputs.displayed or ZERO) * params.participation_max_pct.scaleb(-2)
        if share < min(want, most) and share < least:
            return SliceDecision(terms.target, reason=PARTICIPATION)
        most = min(most, share)
    quantity = min(want, most) // lot * lot
    if quantity < least:
        return SliceDecision(terms.target, reason=TOO_SMALL)
    return terms._replace(quantity=quantity)


def _wanted(parent: Parent, step: int, behind: Decimal, lot: Decimal) -> Decimal:
    """Return what this step adds to the curve, with the part of what was behind before that is made up for now."""
    own = _curve(parent, step, lot) - (_curve(parent, step - 1, lot) if step else ZERO)
    match parent.params.catch_up:
        case CatchUp.NONE:
            return min(own, behind)
        case CatchUp.NEXT:
            return behind
        case CatchUp.SPREAD:
            missed = behind - own
            return behind if missed <= ZERO else own + missed // (lot * (_steps(parent) - step)) * lot


def _least(parent: Parent, inputs: SliceInputs, price: Decimal | None, lot: Decimal) -> Decimal:
    """Return the smallest quantity that may be traded at this price, on the lot."""
    least = max(lot, parent.params.child_quantity_min or ZERO)
    if inputs.notional_min is not None and price:
        least = max(least, _up(inputs.notional_min, abs(price) * lot) * lot)
    return _up(least, lot) * lot


def _shown(parent: Parent, n: int, inputs: SliceInputs, lot: Decimal) -> SliceDecision:
    """Decide the next part of an iceberg: its display quantity, varied by the seed, at its limit price.

    The last part but one is smaller if the last one would be too small to trade.
    """
    params = parent.params
    assert params.display_quantity is not None, "an iceberg has a display quantity"
    free = parent.quantity - inputs.cum_quantity - inputs.working_quantity - inputs.doubtful_quantity
    parts = PARTS + _swing(params.seed, "display", n, params.display_variance_pct)
    least = _least(parent, inputs, parent.limit_price, lot)
    quantity = max(params.display_quantity * parts // (PARTS * lot) * lot, least)
    if ZERO < free - quantity < least:
        quantity = max(free - least, least) // lot * lot
    quantity = min(quantity, free) // lot * lot
    if quantity < least:
        return SliceDecision(None, reason=TOO_SMALL)
    return SliceDecision(None, quantity, parent.limit_price)


def _paused(parent: Parent, quote: Candidate | None) -> str:
    """Return why the market is not one to trade in; empty if it is."""
    if quote is None or quote.bid is None or quote.ask is None:
        return NO_QUOTE
    limits = parent.params.pause_on
    if limits is None:
        return ""
    middle = (quote.bid + quote.ask) * HALF
    if limits.spread_bps_max is not None and (quote.ask - quote.bid) * BPS > abs(middle) * limits.spread_bps_max:
        return SPREAD
    if limits.away_from_arrival_bps_max is None:
        return ""
    arrival = middle_of(parent.arrival)
    if arrival is None:
        return NO_ARRIVAL
    return AWAY_FROM_ARRIVAL if abs(middle - arrival) * BPS > abs(arrival) * limits.away_from_arrival_bps_max else ""


def middle_of(quote: Candidate | None) -> Decimal | None:
    """Return the middle of a recorded quote; None if it does not show both sides."""
    return None if quote is None or quote.bid is None or quote.ask is None else (quote.bid + quote.ask) * HALF


def _priced(parent: Parent, quote: Candidate, tick: Decimal) -> SliceDecision:
    """Return the terms of a child without its quantity. `offset_ticks` above zero is nearer to the other side."""
    assert quote.bid is not None, "the slice has a quote"
    assert quote.ask is not None, "the slice has a quote"
    buys, place = parent.side is Side.BUY, parent.params.child
    near, far = (quote.bid, quote.ask) if buys else (quote.ask, quote.bid)
    if place is ChildPlace.MARKET:
        if parent.limit_price is None:
            return SliceDecision(None, order_type=OrderType.MARKET)
        if _beyond(parent, far):
            return SliceDecision(None, reason=LIMIT_PRICE)
        return SliceDecision(None, price=far, time_in_force=TimeInForce.IOC)
    price = {ChildPlace.NEAR: near, ChildPlace.MID: (near + far) * HALF, ChildPlace.FAR: far}[place]
    price = _on_tick(price, tick, up=not buys) + parent.params.offset_ticks * (tick if buys else -tick)
    return SliceDecision(None, price=_within(parent, price))


def _completing(parent: Parent, quote: Candidate, tick: Decimal) -> SliceDecision:
    """Return the terms of the child that trades all that is left: a limit beyond the far touch, within the parent's limit price."""
    far = quote.ask if parent.side is Side.BUY else quote.bid
    assert far is not None, "the slice has a quote"
    if _beyond(parent, far):
        return SliceDecision(None, reason=LIMIT_PRICE)
    reach = abs(far) * COMPLETE_REACH_PCT.scaleb(-2)
    price = _on_tick(far + reach if parent.side is Side.BUY else far - reach, tick, up=parent.side is Side.SELL)
    return SliceDecision(None, price=_within(parent, price), time_in_force=TimeInForce.IOC)


def _beyond(parent: Parent, price: Decimal) -> bool:
    return parent.limit_price is not None and _within(parent, price) != price


def _within(parent: Parent, price: Decimal) -> Decimal:
    """Return the price, no worse than the parent's limit price."""
    if parent.limit_price is None:
        return price
    return min(price, parent.limit_price) if parent.side is Side.BUY else max(price, parent.limit_price)


def _up(value: Decimal, step: Decimal) -> Decimal:
    """Return how many steps are not below a value above zero."""
    return value // step + (1 if value % step else 0)


def _on_tick(price: Decimal, tick: Decimal, *, up: bool) -> Decimal:
    steps, rest = divmod(price, tick)  # towards zero
    if rest:
        steps += up if price > ZERO else up - 1
    return steps * tick


def _steps(parent: Parent) -> int:
    total = slices_total(parent)
    assert total is not None, "a curve has an end"
    return total


def _step_of(parent: Parent, at_ns: int) -> int:
    """Return the number of the step of the curve that a time belongs to, from 0."""
    return min(max((at_ns - parent.start_at) // interval_of(parent), 0), _steps(parent) - 1)


def _due_at(parent: Parent, step: int) -> int:
    """Return when the slice of a step is due: within its interval, later by the drawn part of `jitter_pct`."""
    interval = interval_of(parent)
    begins = parent.start_at + step * interval
    if not parent.params.jitter_pct:
        return begins
    span = interval if parent.end_at is None else min(interval, parent.end_at - begins)
    parts = int(parent.params.jitter_pct * PERCENT_PARTS)
    return begins + max(span, 0) * parts * draw(parent.params.seed, "time", step) // (PARTS * PARTS)


def _swing(seed: int, what: str, number: int, percent: Decimal) -> int:
    """Return a drawn part, in PARTS, from minus to plus `percent`."""
    return (2 * draw(seed, what, number) - PARTS) * int(percent * PERCENT_PARTS) // PARTS


def _curve(parent: Parent, step: int, lot: Decimal) -> Decimal:
    """Return what should be done after a step, on the lot: even steps, each end moved by half of what `variance_pct` draws.

    So a slice differs from the regular one by at most `variance_pct`, and the differences do not add up.
    """
    steps = _steps(parent)
    if step >= steps - 1:
        return parent.quantity
    moved = _swing(parent.params.seed, "size", step, parent.params.variance_pct) // 2
    return parent.quantity * ((step + 1) * PARTS + moved) // (steps * PARTS * lot) * lot


def _is_before_end(parent: Parent, now_ns: int) -> bool:
    return parent.end_at is None or now_ns < parent.end_at
