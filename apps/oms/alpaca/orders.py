"""An order as Alpaca shows it. Pure: an order and its listing in, a struct that msgspec encodes out."""

from typing import Any, Final

import msgspec

from apps.oms.alpaca.catalogue import AlpacaAsset
from apps.oms.alpaca.ids import shown_id
from apps.oms.alpaca.moments import shown_moment, shown_or_none
from apps.oms.alpaca.numbers import text_of
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.values import Side, TimeInForce, plain

ACCEPTED, PENDING_NEW, NEW, REPLACED = "accepted", "pending_new", "new", "replaced"

_STATUS: Final = {
    State.NEW: ACCEPTED,
    State.RISK_CHECKED: ACCEPTED,
    State.PARTIALLY_FILLED: "partially_filled",
    State.PENDING_CANCEL: "pending_cancel",
    State.PENDING_REPLACE: "pending_replace",
    State.FILLED: "filled",
    State.CANCELLED: "canceled",
    State.EXPIRED: "expired",
    State.REJECTED: "rejected",
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
    expires_at: str | None
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
    """Return Alpaca's word for an order's state: accepted until it is routed, pending_new until its venue has it, then new."""
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
    return order.stop_price is not None and not order.triggered and not order.routes


def order_of(order: Order, listing: AlpacaAsset) -> AlpacaOrder:
    """Return the order as it is now. Its sequence is that of its last commit."""
    status, order_id = status_of(order), shown_id(order.order_id)
    closed_at = shown_or_none(order.closed_at) if order.closed else None
    submitted_at = shown_moment(order.created_at)
    kind = str(order.order_type)
    average = order.average_price
    return AlpacaOrder(
        id=order_id,
        client_order_id=order.client_order_id,
        created_at=submitted_at,
        updated_at=shown_moment(order.updated_at),
        submitted_at=submitted_at,
        filled_at=closed_at if status == "filled" else None,
        expired_at=closed_at if status == "expired" else None,
        expires_at=shown_or_none(order.expire_at),
        canceled_at=closed_at if status == "canceled" else None,
        failed_at=closed_at if status == "rejected" else None,
        replaced_at=None,
        replaced_by=None,
        replaces=None,
        asset_id=listing.asset_id,
        symbol=listing.shown,
        asset_class=listing.asset_class,
        notional=None,
        qty=plain(order.quantity),
        filled_qty=plain(order.cum_quantity),
        filled_avg_price=text_of(average),
        order_class="simple",
        order_type=kind,
        type=kind,
        side=str(order.side),
        position_intent=intent_of(order, shortable=listing.shortable),
        time_in_force="gtc" if order.time_in_force is TimeInForce.GTD else str(order.time_in_force),
        limit_price=text_of(order.price),
        stop_price=text_of(order.stop_price),
        status=status,
        extended_hours=False,
        legs=None,
        trail_percent=None,
        trail_price=None,
        hwm=None,
        source=None,
        subtag=None,
        seq=order.seqs[-1] if order.seqs else None,
        reason=order.reason,
        in_doubt=order.status is State.IN_DOUBT,
        fees=plain(order.fees),
        venues=[route.venue for route in order.routes],
    )


def intent_of(order: Order, *, shortable: bool) -> str:
    """Return whether the order opens or closes: a reduce-only order closes, and a sale of what cannot be sold short."""
    if order.side is Side.BUY:
        return "buy_to_close" if order.reduce_only else "buy_to_open"
    return "sell_to_close" if order.reduce_only or not shortable else "sell_to_open"


def submitted_order(order: Order, asset: AlpacaAsset, seq: int) -> AlpacaOrder:
    """Return the order as its first commit left it: what has happened since may not be on disk yet."""
    first, shown = order.asked or order, order_of(order, asset)
    shown.qty, shown.limit_price, shown.stop_price = plain(first.quantity), text_of(first.price), text_of(first.stop_price)
    shown.status, shown.filled_qty, shown.filled_avg_price, shown.fees = ACCEPTED, "0", None, "0"
    shown.filled_at = shown.expired_at = shown.canceled_at = shown.failed_at = None
    shown.updated_at, shown.seq, shown.reason, shown.in_doubt, shown.venues = shown.created_at, seq, None, False, []
    return shown
