"""Why an order was refused, in Alpaca's words: the numbers and texts by which clients distinguish a lack of money from a mistake."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

from apps.http.alpaca_words import FORBIDDEN, NOT_FOUND, RETRY_AFTER, UNAVAILABLE, UNPROCESSABLE, AlpacaRefusal, in_alpaca_words
from apps.http.problem import ECHO_MAX, Refusal
from apps.oms.alpaca.catalogue import AlpacaAsset
from apps.oms.alpaca.ids import dashed
from domain.order.order import Order
from domain.risk.controls import KILLED, SUSPENDED, scopes_of
from domain.risk.limits import BUYING_POWER, SHORT_RESTRICTION
from domain.values import ZERO, Side, plain

NOTIONAL_TOO_SMALL: Final = "notional_too_small"
NO_FRESH_QUOTE: Final = "no_fresh_quote"
REDUCE_ONLY: Final = "reduce_only"
RISK_SILENT: Final = ("risk_timeout", "risk_error")
TRIGGERED: Final = "triggered"
BY_USER: Final = "new orders are rejected by user request"


def order_not_found(order_id: str) -> AlpacaRefusal:
    return AlpacaRefusal(404, NOT_FOUND, f"order not found for {order_id[:ECHO_MAX]}")


def asset_not_found(text: str) -> AlpacaRefusal:
    return AlpacaRefusal(404, NOT_FOUND, f"asset not found for {text[:ECHO_MAX]}")


def unknown_asset(text: str) -> AlpacaRefusal:
    """Return the refusal of an order for something that is not traded here."""
    return AlpacaRefusal(422, UNPROCESSABLE, f"asset {text[:ECHO_MAX]!a} not found", reason="unknown_symbol")


def already(state: str, order_id: str) -> AlpacaRefusal:
    """Return the refusal of a change to an order that is closed or replaced."""
    return AlpacaRefusal(422, UNPROCESSABLE, f'order is already in "{state}" state', order_id=order_id)


def triggered(order_id: str) -> AlpacaRefusal:
    """Return the refusal of another trail for a trailing stop that has triggered: it is a market or limit order."""
    message = "the trailing stop has triggered: its trail cannot be changed any more"
    return AlpacaRefusal(422, UNPROCESSABLE, message, reason=TRIGGERED, order_id=order_id)


def too_small(least: str) -> AlpacaRefusal:
    return AlpacaRefusal(403, FORBIDDEN, f"cost basis must be >= minimal amount of order {least}", reason=NOTIONAL_TOO_SMALL, limit=least)


def no_quantity(requested: str, available: str, **extra: Any) -> AlpacaRefusal:
    """Return the refusal of an order that would close more than is held and free."""
    message = f"insufficient qty available for order (requested: {requested}, available: {available})"
    numbers: dict[str, Any] = {"reason": REDUCE_ONLY, "found": requested, "limit": available}
    return AlpacaRefusal(403, FORBIDDEN, message, **(numbers | extra))


def refused_order(order: Order, asset: AlpacaAsset, seq: int, kills: Iterable[str]) -> AlpacaRefusal:
    """Return the refusal of an order that was recorded as rejected: it is listed under its id. `kills`: the scopes that are killed now."""
    extra: dict[str, Any] = {"order_id": dashed(order.order_id), "seq": seq}
    if order.reason == KILLED and (scope := next(filter(set(kills).__contains__, scopes_of(order.account, order.symbol)), None)):
        extra["scope"] = scope
    found, limit = order.found or "0", order.limit or "0"
    if order.reason in (SHORT_RESTRICTION, REDUCE_ONLY):
        extra |= {"found": found, "limit": limit, "unit": order.unit}
        found, limit = _asked_and_free(order.quantity, Decimal(found), Decimal(limit))
        return refused_for(str(order.reason), found, limit, None, asset, order.side, extra)
    return refused_for(str(order.reason), found, limit, order.unit, asset, order.side, extra)


def _asked_and_free(quantity: Decimal, with_open: Decimal, held: Decimal) -> tuple[str, str]:
    """Return what an order asks for and what open orders of its side leave of the position: risk compares their sum with all of it."""
    return plain(quantity), plain(max(held - max(with_open - quantity, ZERO), ZERO))


def refused_for(
    reason: str, found: str, limit: str, unit: str | None, asset: AlpacaAsset, side: Side, extra: dict[str, Any]
) -> AlpacaRefusal:
    """Return the words for one of our reasons. `found` and `limit` are its numbers, `extra` stands beside the message."""
    extra = {"reason": reason, **extra}
    if reason in RISK_SILENT:
        message = "risk did not answer in time; this order was refused, send a new one"
        return AlpacaRefusal(503, UNAVAILABLE, message, headers=RETRY_AFTER, outcome="refused", **extra)
    if reason == SUSPENDED:
        return AlpacaRefusal(403, FORBIDDEN, BY_USER, **extra)
    if reason == KILLED:
        return AlpacaRefusal(403, FORBIDDEN, f"{BY_USER}: {extra.get('scope', KILLED)}", **extra)
    if unit is not None:
        extra |= {"found": found, "limit": limit, "unit": unit}
    if reason in (BUYING_POWER, SHORT_RESTRICTION):
        lack = asset.shortage(buys=side is Side.BUY)
        return AlpacaRefusal(403, FORBIDDEN, f"insufficient balance for {lack} (requested: {found}, available: {limit})", **extra)
    if reason == REDUCE_ONLY:
        return no_quantity(found, limit, **extra)
    numbers = "" if unit is None else f": found {found}, limit {limit} {unit}".rstrip()
    return AlpacaRefusal(422, UNPROCESSABLE, reason.replace("_", " ") + numbers, **extra)


def named_leg(words: AlpacaRefusal, names: Sequence[str], number: int) -> AlpacaRefusal:
    """Return the refusal of one of several orders with the name of that one, which leads the message unless it is the first."""
    message = f"{names[number]}: {words.message}" if number else words.message
    return AlpacaRefusal(words.status, words.code, message, headers=words.headers, **(words.extra | {"leg": names[number]}))


def untraded(refusal: Refusal, asset: AlpacaAsset, side: Side) -> AlpacaRefusal:
    """Return the words for terms that cannot trade, which nothing recorded; other refusals have their usual words."""
    code, numbers = refusal.code, refusal.extra
    if code == NOTIONAL_TOO_SMALL:
        return too_small(str(numbers.get("limit", "0")))
    if code == NO_FRESH_QUOTE:
        return AlpacaRefusal(403, FORBIDDEN, f"no fresh quote for {asset.shown}", reason=code)
    if code in (BUYING_POWER, SHORT_RESTRICTION, REDUCE_ONLY, KILLED, SUSPENDED, *RISK_SILENT):
        unit = numbers.get("unit")
        return refused_for(
            code, str(numbers.get("found", "0")), str(numbers.get("limit", "0")), None if unit is None else str(unit), asset, side, {}
        )
    return in_alpaca_words(refusal)
