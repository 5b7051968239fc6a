"""An order as Alpaca shows it. Pure: an order and its listing in, a struct that msgspec encodes out."""

from typing import Any, Final

import msgspec

from apps.oms.alpaca.catalogue import AlpacaAsset
from apps.oms.alpaca.ids import shown_id
from apps.oms.alpaca.moments import shown_moment, shown_or_none
from apps.oms.alpaca.numbers import text_of
from apps.oms.alpaca.order_classes import class_of, is_held
from apps.oms.alpaca.order_exits import OCO
from domain.order.generations import Standing
from domain.order.group import HELD_ROLES, UNCOUNTED_ROLES
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.values import Side, TimeInForce, average, plain

ACCEPTED, PENDING_NEW, NEW, REPLACED, REJECTED, HELD = "accepted", "pending_new", "new", "replaced", "rejected", "held"
MICROSECOND_NS: Final = 1000
NEVER: Final = "2199-12-31T00:00:00.000000000Z"
"""What an order shows that works until it is cancelled: a moment that every client can read."""

_STATUS: Final = {
    State.NEW: ACCEPTED,
    State.RISK_CHECKED: ACCEPTED,
    State.PARTIALLY_FILLED: "partially_filled",
    State.PENDING_CANCEL: "pending_cancel",
    State.PENDING_REPLACE: "pending_replace",
    State.FILLED: "filled",
    State.CANCELLED: "canceled",
    State.EXPIRED: "expired",
    State.REJECTED: REJECTED,
}
"""The states whose word depends on nothing else."""


class AlpacaOrder(msgspec.Struct, kw_only=True, gc=False):
    """One generation of an order's terms. Every key is always there; absent is null. Ours beside Alpaca's are the last five."""

    id: str
    client_order_id: str
    created_at: str
    updated_at: str
    submitted_at: str
    filled_at: str | None
    expired_at: str | None
    expires_at: str
    canceled_at: str | None
    failed_at: str | None
    replaced_at: str | None
    replaced_by: str | None
    replaces: str | None
    asset_id: str
    symbol: str
    asset_class: str
    notional: str | None
    qty: str | None
    filled_qty: str
    filled_avg_price: str | None
    order_class: str
    order_type: str
    type: str
    side: str
    position_intent: str
    time_in_force: str
    limit_price: str | None
    stop_price: str | None
    status: str
    extended_hours: bool
    legs: list[Any] | None
    trail_percent: str | None
    trail_price: str | None
    hwm: str | None
    source: str | None
    subtag: str | None
    seq: int | None
    reason: str | None
    in_doubt: bool
    fees: str
    venues: list[str]


def status_of(order: Order) -> str:
    """Return Alpaca's word for an order's state: accepted until it is routed, pending_new until its venue has it, then new.

    A leg is held while it waits for its entry.
    """
    if is_held(order):
        return HELD
    word = _STATUS.get(order.status)
    if word is not None:
        return word
    if order.status is State.QUEUED:
        return NEW if _waits_for_stop(order) else ACCEPTED
    if order.cum_quantity:
        return "partially_filled"
    if order.status is State.IN_DOUBT and order.cancel_wanted:
        return "pending_cancel"
    if order.status is State.IN_DOUBT and order.replacing is not None:
        return "pending_replace"
    return NEW if any(route.venue_order_id for route in order.routes) else PENDING_NEW


def _waits_for_stop(order: Order) -> bool:
    """Return whether a stop waits for its price before any venue has it."""
    return (order.stop_price is not None or order.trail is not None) and not order.triggered and not order.routes


def numbers_of(order: Order) -> tuple[int, ...]:
    """Return the numbers of all generations of its terms. Each is an order of its own to a client."""
    return tuple(each.number for each in order.generations) or (order.generation,)


def submitted_at(order: Order, number: int) -> int:
    """Return the time by which lists place a generation (ns): the order's own, and a microsecond more for each replace.

    So the generations of an order stay together in lists, and a page continued from any of them skips and repeats nothing.
    """
    return order.created_at + number * MICROSECOND_NS


def is_open(order: Order, number: int) -> bool:
    """Return whether a client sees this generation among the open orders."""
    return not order.closed and order.standing_of(number) in (Standing.CURRENT, Standing.PENDING)


def order_of(order: Order, asset: AlpacaAsset, number: int | None = None) -> AlpacaOrder:
    """Return one generation of an order's terms as it is now; by default the current one. Its sequence is that of the last commit."""
    number = order.generation if number is None else number
    shown = _live(order, asset, number)
    if order.generations:
        _as_generation(shown, order, number)
    return shown


def _live(order: Order, asset: AlpacaAsset, number: int) -> AlpacaOrder:
    """Return the order with its current terms, under the id of a generation."""
    status = status_of(order)
    closed_at = shown_or_none(order.closed_at) if order.closed else None
    created_at = shown_moment(order.created_at)
    kind = str(order.order_type)
    return AlpacaOrder(
        id=shown_id(order.order_id, number),
        client_order_id=order.client_order_id,
        created_at=created_at,
        updated_at=shown_moment(order.updated_at),
        submitted_at=shown_moment(submitted_at(order, number)) if number else created_at,
        filled_at=closed_at if status == "filled" else None,
        expired_at=closed_at if status == "expired" else None,
        expires_at=_expires_at(order, asset, created_at),
        canceled_at=closed_at if status == "canceled" else None,
        failed_at=closed_at if status == "rejected" else None,
        replaced_at=None,
        replaced_by=None,
        replaces=None,
        asset_id=asset.asset_id,
        symbol=asset.shown,
        asset_class=asset.asset_class,
        notional=text_of(order.asked_notional),
        qty=None if order.asked_notional is not None else plain(order.quantity),
        filled_qty=plain(order.cum_quantity),
        filled_avg_price=text_of(order.average_price),
        order_class=class_of(order),
        order_type=kind,
        type=kind,
        side=str(order.side),
        position_intent=intent_of(order, shortable=asset.shortable),
        time_in_force="gtc" if order.time_in_force is TimeInForce.GTD else str(order.time_in_force),
        limit_price=text_of(order.price),
        stop_price=text_of(order.stop_price),
        status=status,
        extended_hours=order.extended_hours,
        legs=None,
        trail_percent=text_of(order.trail.percent) if order.trail else None,
        trail_price=text_of(order.trail.amount) if order.trail else None,
        hwm=text_of(order.best),
        source=None,
        subtag=None,
        seq=order.seqs[-1] if order.seqs else None,
        reason=order.reason,
        in_doubt=order.status is State.IN_DOUBT,
        fees=plain(order.fees),
        venues=[route.venue for route in order.routes],
    )


def _expires_at(order: Order, asset: AlpacaAsset, created_at: str) -> str:
    """Return when the order ends by itself. Alpaca's description of it has no null."""
    match order.time_in_force:
        case TimeInForce.GTC:
            return NEVER
        case TimeInForce.DAY:
            return shown_moment(asset.day_end(order.created_at))
        case TimeInForce.GTD if order.expire_at is not None:
            return shown_moment(order.expire_at)
        case TimeInForce.OPG | TimeInForce.CLS if order.auction is not None:
            return shown_moment(order.auction.ends_at)
        case _:
            return created_at


def _as_generation(shown: AlpacaOrder, order: Order, number: int) -> None:
    """Put the terms and the standing of one generation in place of the live order's."""
    terms, standing = order.terms_of(number), order.standing_of(number)
    assert terms is not None, f"the order has no generation {number}"
    accepted = [each for each in numbers_of(order) if order.standing_of(each) in (Standing.REPLACED, Standing.CURRENT)]
    before = max((each for each in accepted if each < number), default=None)
    shown.replaces = None if before is None else shown_id(order.order_id, before)
    shown.client_order_id = terms.client_order_id or order.client_order_id
    shown.created_at = shown_moment(terms.at)
    shown.qty, shown.limit_price, shown.stop_price = plain(terms.quantity), text_of(terms.price), text_of(terms.stop_price)
    if terms.trail is not None:
        shown.trail_price, shown.trail_percent = text_of(terms.trail.amount), text_of(terms.trail.percent)
    if standing is Standing.CURRENT:
        return
    shown.hwm = text_of(terms.best)
    shown.filled_at = shown.expired_at = shown.canceled_at = shown.failed_at = None
    shown.reason, shown.in_doubt = None, False
    if standing is Standing.PENDING:
        shown.status, shown.updated_at = ACCEPTED, shown.created_at
        return
    ended_at = shown_moment(terms.ended_at or order.closed_at or order.updated_at)
    shown.updated_at = ended_at
    shown.filled_qty = plain(terms.cum_quantity)
    shown.filled_avg_price = text_of(average(terms.notional, terms.cum_quantity)) if terms.cum_quantity else None
    if standing is Standing.REPLACED:
        shown.status, shown.replaced_at = REPLACED, ended_at
        shown.replaced_by = shown_id(order.order_id, min(each for each in accepted if each > number))
    else:
        shown.status, shown.failed_at = REJECTED, ended_at


def intent_of(order: Order, *, shortable: bool) -> str:
    """Return whether the order opens or closes. A reduce-only order closes, an exit, and a sale of what cannot be sold short."""
    closes = order.reduce_only or order.role in UNCOUNTED_ROLES or class_of(order) == OCO
    if order.side is Side.BUY:
        return "buy_to_close" if closes else "buy_to_open"
    return "sell_to_close" if closes or not shortable else "sell_to_open"


def submitted_order(order: Order, asset: AlpacaAsset, seq: int) -> AlpacaOrder:
    """Return the order as its first commit left it: what has happened since may not be on disk yet."""
    first, shown = order.asked or order, _live(order, asset, 0)
    shown.qty = None if order.asked_notional is not None else plain(first.quantity)
    shown.limit_price, shown.stop_price = text_of(first.price), text_of(first.stop_price)
    if first.trail is not None:
        shown.trail_price, shown.trail_percent, shown.hwm = text_of(first.trail.amount), text_of(first.trail.percent), None
    shown.status = HELD if order.role in HELD_ROLES else ACCEPTED
    shown.filled_qty, shown.filled_avg_price, shown.fees = "0", None, "0"
    shown.filled_at = shown.expired_at = shown.canceled_at = shown.failed_at = None
    shown.updated_at, shown.seq, shown.reason, shown.in_doubt, shown.venues = shown.created_at, seq, None, False, []
    return shown
