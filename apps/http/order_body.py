"""The order in the body of a question about it: its check at risk, its route at exeq. Parsed into terms, or the first error."""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from apps.http.body import exact_number, identifier, moment
from apps.http.problem import malformed, untradable
from apps.http.schema import DISPLAY_QUANTITY, NUMBER, PRICE, described
from apps.http.trail_body import TrailNumber, TrailPrice, TrailWord, read_trail, type_of
from domain.execution.order_rules import OrderRules
from domain.order.commands import Terms
from domain.values import OrderType, Side, TimeInForce

_TYPE: Final = described("Defaults to trailing_stop if it trails, else to limit if a price is given, else to market.")
_ACCOUNT: Final = described("Defaults to the account of the key; required without one.")


class OrderBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The order. Numbers stay text until their length and fixed-point form are checked."""

    symbol: str
    side: Side
    quantity: Annotated[msgspec.Raw, NUMBER]
    account: Annotated[str | UnsetType, _ACCOUNT] = UNSET
    price: Annotated[msgspec.Raw | UnsetType, PRICE] = UNSET
    type: Annotated[OrderType | UnsetType | None, _TYPE] = UNSET
    stop_price: Annotated[msgspec.Raw | UnsetType, PRICE] = UNSET
    time_in_force: Annotated[TimeInForce | UnsetType | None, described("Defaults to gtc.")] = UNSET
    expire_at: Annotated[str | UnsetType | None, described("Required with gtd, not allowed otherwise.", format="date-time")] = UNSET
    post_only: Annotated[bool | UnsetType | None, described("As of the order that would be submitted.")] = UNSET
    reduce_only: Annotated[bool | UnsetType | None, described("The order is denied if it could do more than close a position.")] = UNSET
    display_quantity: Annotated[msgspec.Raw | UnsetType, DISPLAY_QUANTITY] = UNSET
    trail_amount: TrailNumber = UNSET
    trail_percent: TrailNumber = UNSET
    trail_trigger: TrailWord = UNSET
    limit_offset: TrailNumber = UNSET
    activation_price: TrailPrice = UNSET


def terms_of(read: OrderBody, rules: OrderRules, own: str, now_ns: int, order_id: str = "") -> Terms:
    """Return the terms of a body, by default of the account `own`. Refusal 400 if it is malformed, 422 if a submit would refuse it."""
    quantity = exact_number(read.quantity, "quantity")
    if quantity is None:
        raise malformed("quantity is required", "/quantity")
    instrument = rules.instruments.get(read.symbol)
    negative = instrument is not None and instrument.negative_prices
    price = exact_number(read.price, "price", negative=negative)
    stop_price = exact_number(read.stop_price, "stop_price", negative=negative)
    trail = read_trail(read, negative=negative)
    account = identifier(read.account, "account") or own
    if not account:
        raise malformed("Object missing required field `account`", "/account")
    terms = Terms(
        order_id=order_id,
        account=account,
        client_order_id="",
        symbol=read.symbol,
        side=read.side,
        order_type=read.type or type_of(price, trail),
        quantity=quantity,
        price=price,
        stop_price=stop_price,
        time_in_force=read.time_in_force or TimeInForce.GTC,
        expire_at=moment(read.expire_at, "expire_at") if isinstance(read.expire_at, str) else None,
        post_only=read.post_only is True,
        reduce_only=read.reduce_only is True,
        display_quantity=exact_number(read.display_quantity, "display_quantity"),
        trail=trail,
    )
    terms = rules.as_submitted(terms)
    if denial := rules.denial(terms, now_ns):
        raise untradable(denial)
    return terms
