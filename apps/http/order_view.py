"""Views of orders and timelines in responses. Exact numbers, RFC 3339 times."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from apps.http.decision_view import record_view
from domain.narrative import OwnerOf, no_owner, told
from domain.order.events import OrderEvent
from domain.order.fix import contingency_type, exec_type, list_order_status, list_status_type, max_floor, ord_status, terms_tags
from domain.order.generations import Generation
from domain.order.order import Order, evolve
from domain.values import rfc3339

View = dict[str, Any]


def order_view(order: Order) -> View:
    return {
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "account": order.account,
        "symbol": order.symbol,
        "side": order.side,
        "type": order.order_type,
        "quantity": order.quantity,
        "notional": order.asked_notional,
        "price": order.price,
        "stop_price": order.stop_price,
        "time_in_force": order.time_in_force,
        "expire_at": _ends_at(order),
        "release_at": rfc3339(order.auction.at) if order.auction is not None else None,
        "emulated": order.auction is not None,
        "priority": order.priority,
        "post_only": order.post_only,
        "reduce_only": order.reduce_only,
        "display_quantity": order.display_quantity,
        "group_id": order.group_id or None,
        "role": order.role or None,
        "status": order.status,
        "cum_quantity": order.cum_quantity,
        "leaves_quantity": order.leaves_quantity,
        "average_price": order.average_price,
        "replacing": _replacing(order),
        "generations": [_generation(order, each) for each in order.generations],
        "fees": order.fees,
        "routes": [route_view(order, place) for place in range(len(order.routes))],
        "reason": order.reason,
        "source": order.source,
        "overfill": order.overfill,
        "created_at": rfc3339(order.created_at),
        "updated_at": rfc3339(order.updated_at),
        "closed_at": rfc3339(order.closed_at) if order.closed_at is not None else None,
        "version": order.version,
        "trail": trail_view(order),
    }


def trail_view(order: Order) -> View | None:
    """Return how a trailing stop follows the market, in the words of the request, and where it is. None for all other orders."""
    trail = order.trail
    if trail is None:
        return None
    return {
        "trail_amount": trail.amount,
        "trail_percent": trail.percent,
        "trail_trigger": trail.trigger,
        "limit_offset": trail.limit_offset,
        "activation_price": trail.activation_price,
        "best": order.best,
        "stop_price": order.stop_price,
    }


def _ends_at(order: Order) -> str | None:
    """Return when the order expires by its terms: a given time, or the end of the session that it waits for. No venue has auctions."""
    at = order.expire_at if order.auction is None else order.auction.ends_at
    return None if at is None else rfc3339(at)


def _replacing(order: Order) -> View | None:
    """Return the terms of a pending replace, or None."""
    asked = order.replacing if not order.closed else None
    return {"quantity": asked.quantity, "price": asked.price, "stop_price": asked.stop_price} if asked else None


def _generation(order: Order, known: Generation) -> View:
    """Build one generation of terms: what a replace asked for, and what became of it."""
    terms = order.terms_of(known.number) or known
    return {
        "generation": known.number,
        "client_order_id": known.client_order_id or None,
        "quantity": terms.quantity,
        "price": terms.price,
        "stop_price": terms.stop_price,
        "status": order.standing_of(known.number),
        "cum_quantity": terms.cum_quantity,
        "at": rfc3339(known.at),
        "ended_at": rfc3339(known.ended_at) if known.ended_at is not None else None,
    }


def route_view(order: Order, place: int) -> View:
    route = order.routes[place]
    return {
        "route_id": route.route_id,
        "venue": route.venue,
        "venue_order_id": route.venue_order_id or None,
        "quantity": route.quantity,
        "cum_quantity": route.cum_quantity,
        "leaves_quantity": route.leaves_quantity,
    }


def timeline_view(events: Iterable[tuple[int, OrderEvent]], owner_of: OwnerOf = no_owner) -> list[View]:
    """Build an order's timeline: each event with a sentence, its FIX ExecType and OrdStatus, and its own fields."""
    order: Order | None = None
    lines: list[View] = []
    for seq, event in events:
        order = evolve(order, event)
        lines.append(event_view(event, seq, owner_of) | fix_view(event, order))
    return lines


def fix_view(event: OrderEvent, order: Order) -> View:
    """Build the FIX words of an event, after which the order is as given: those of its list too if the event is the list's."""
    words: View = {"exec_type": exec_type(event), "ord_status": ord_status(order)}
    if (shown := max_floor(event)) is not None:
        words["max_floor"] = shown
    if tags := terms_tags(event):
        words["fix_terms"] = tags
    if (status_type := list_status_type(event)) is not None and order.group is not None:
        words |= {"list_status_type": status_type, "list_order_status": list_order_status(order.group)}
        words |= {"contingency_type": contingency_type(order.group)}
    return words


def event_view(event: OrderEvent, seq: int, owner_of: OwnerOf = no_owner) -> View:
    """Build one line of the timeline: sequence, time, type, sentence, and the event's own fields.

    `by` is the key id of the client that asked, or `local`; `owner` the key's owner, if known.
    """
    fields = {name: value for name, value in msgspec.structs.asdict(event).items() if value is not None and value != ()}
    for name in ("order_id", "at"):
        del fields[name]
    if line := fields.pop("checks", ""):
        fields |= record_view(line)
    if "report" in fields:
        fields["report"] = json.loads(fields["report"])
    if "expire_at" in fields:
        fields["expire_at"] = rfc3339(fields["expire_at"])
    if (auction := fields.get("auction")) is not None:
        fields["auction"] = {"venue": auction.venue, "at": rfc3339(auction.at), "ends_at": rfc3339(auction.ends_at)}
    if by := fields.pop("by", ""):
        fields |= {"by": by} | ({"owner": owner} if (owner := owner_of(by)) else {})
    sentence = told(event, owner_of)
    return {"seq": seq, "at": rfc3339(event.at), "type": type(event).__name__, "description": sentence, "told": sentence, **fields}
