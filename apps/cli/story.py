"""Order events as sentences: what happened, with the numbers that decided it."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from apps.cli.show import text
from domain.access.scopes import LOCAL

Event = Mapping[str, Any]

COMMON = frozenset({"type", "order_id", "at", "status", "seq", "index"})
COLUMNS = ("seq", "at", "event", "status", "what")


def row(event: Event) -> tuple[object, ...]:
    """Return one row of the timeline. Events unknown to this version are described by their fields."""
    kind = str(event.get("type", ""))
    return event.get("seq"), event.get("at"), kind, event.get("status"), what(event)


def what(event: Event) -> str:
    """Return oms's `description` if the event has one; otherwise, as for drop copies, build it from the fields."""
    described = event.get("description", event.get("told"))  # an oms of an earlier release sends only `told`
    if isinstance(described, str):
        return text(described)
    sentence = SENTENCES.get(str(event.get("type", "")))
    return _fields(event) if sentence is None else sentence(event) + _signed(event)


def terms(order: Event) -> str:
    """Return for example `buy 0.1 BTCUSDT limit @ 45000 gtc`, from an order or its first event."""
    words = [order.get("side"), order.get("quantity"), order.get("symbol"), order.get("order_type") or order.get("type")]
    if order.get("stop_price") is not None:
        words += ["stop", order["stop_price"]]
    if order.get("price") is not None:
        words += ["@", order["price"]]
    if order.get("display_quantity") is not None:
        words += ["showing", order["display_quantity"]]
    return " ".join(text(word) for word in (*words, order.get("time_in_force")) if word is not None)


def denial(event: Event) -> str:
    """Return for example `order_size_limit: found 150000, limit 100000 USD`; the numbers may be top-level or under `detail`."""
    detail = event.get("detail")
    numbers = detail if isinstance(detail, Mapping) else event
    parts = [f"{name} {text(numbers[name])}" for name in ("found", "limit") if numbers.get(name) is not None]
    unit = f" {text(numbers['unit'])}" if parts and numbers.get("unit") else ""
    return text(event.get("reason")) + (": " + ", ".join(parts) + unit if parts else "")


def _signed(event: Event) -> str:
    """Return whose key the request had, if a client caused the event."""
    by = event.get("by")
    return "" if not by else "; without a key" if by == LOCAL else f"; with key {text(by)}"


def _submitted(event: Event) -> str:
    # `type` is the event's name; the order's type is `order_type`
    order = {name: value for name, value in event.items() if name != "type"}
    return f"{terms(order)} for {text(event.get('account'))}"


def _risk_checked(event: Event) -> str:
    checks = [each for each in map(_check, event.get("checks") or ()) if each]
    summary = ", ".join(f"{name} {text(found)} of {text(limit)}" for name, found, limit in checks) or "passed"
    reference = event.get("reference")
    return summary + (f"; valued at {text(reference)}" if reference is not None else "")


def _check(check: object) -> tuple[object, object, object] | None:
    """Read a check from an object, or from the journal's list of three values."""
    if isinstance(check, Mapping):
        return check.get("name"), check.get("found"), check.get("limit")
    return (check[0], check[1], check[2]) if isinstance(check, list) and len(check) >= 3 else None


def _routed(event: Event) -> str:
    legs = " and ".join(f"{text(leg.get('quantity'))} to {text(leg.get('venue'))}" for leg in event.get("legs") or ())
    seen = ", ".join(_candidate(each) for each in event.get("candidates") or ())
    return f"{legs or NO_VENUE} by {text(event.get('policy'))}" + (f"; saw {seen}" if seen else "")


NO_VENUE = "to no venue"


def _candidate(venue: Mapping[str, Any]) -> str:
    parts = [f"{name} {text(venue[name])}" for name in ("bid", "ask", "cost") if venue.get(name) is not None]
    parts += [f"over {len(venue['levels'])} levels"] if venue.get("levels") else []
    note = f" ({text(venue['note'])})" if venue.get("note") else ""
    return f"{text(venue.get('venue'))} {' '.join(parts)}{note}"


def _filled(event: Event) -> str:
    fee = f", fee {text(event['fee'])}" if event.get("fee") is not None else ""
    flags = "".join(f", {name}" for name in ("late", "overfill") if event.get(name))
    where = f"on {text(event.get('venue'))} ({text(event.get('liquidity'))}{fee})"
    return f"{text(event.get('side'))} {text(event.get('quantity'))} @ {text(event.get('price'))} {where}{flags}"


def _acknowledged(event: Event) -> str:
    return f"{text(event.get('venue'))} works it as {text(event.get('venue_order_id'))}"


def _rejected(event: Event) -> str:
    return f"by {text(event.get('source'))}: {denial(event)}"


def _ended(event: Event) -> str:
    return f"by {text(event.get('source'))}: {text(event.get('reason'))}"


def _fields(event: Event) -> str:
    """Return the other scalar fields. Lists and objects are shown only by --json."""
    parts = ((name, value) for name, value in event.items() if name not in COMMON)
    return ", ".join(f"{name} {text(value)}" for name, value in parts if isinstance(value, str | int | Decimal) and value != "")


SENTENCES: dict[str, Callable[[Event], str]] = {
    "OrderSubmitted": _submitted,
    "OrderRiskChecked": _risk_checked,
    "OrderQueued": lambda _: "waits in the queue",
    "OrderRejected": _rejected,
    "OrderRouted": _routed,
    "RouteAcknowledged": _acknowledged,
    "OrderFilled": _filled,
    "TradeBusted": _filled,
    "CancelRequested": _ended,
    "OrderCancelled": _ended,
    "OrderExpired": _ended,
}
