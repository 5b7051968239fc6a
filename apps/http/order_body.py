"""The order in the body of a question about it: its check at risk, its route at exeq. Parsed into terms, or the first error."""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from apps.http.body import exact_number, identifier
from apps.http.problem import ECHO_MAX, malformed, untradable
from apps.http.schema import DISPLAY_QUANTITY, NUMBER, PRICE, described
from apps.http.trail_body import TrailNumber, TrailPrice, TrailWord, read_trail, type_of
from domain.instruments import Denial, Instrument, display_denial, terms_denial
from domain.order.commands import Terms
from domain.order.trail import trail_denial
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
    reduce_only: Annotated[bool | UnsetType | None, described("The order is denied if it could do more than close a position.")] = UNSET
    display_quantity: Annotated[msgspec.Raw | UnsetType, DISPLAY_QUANTITY] = UNSET
    trail_amount: TrailNumber = UNSET
    trail_percent: TrailNumber = UNSET
    trail_trigger: TrailWord = UNSET
    limit_offset: TrailNumber = UNSET
    activation_price: TrailPrice = UNSET


def terms_of(
    read: OrderBody,
    instruments: Mapping[str, Instrument],
    own: str,
    *,
    order_id: str = "",
    time_in_force: TimeInForce = TimeInForce.GTC,
) -> Terms:
    """Return the terms of a body, by default of the account `own`. Refusal 400 when it is malformed, 422 when it cannot trade."""
    quantity = exact_number(read.quantity, "quantity")
    if quantity is None:
        raise malformed("quantity is required", "/quantity")
    instrument = instruments.get(read.symbol)
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
        time_in_force=time_in_force,
        reduce_only=read.reduce_only is True,
        display_quantity=exact_number(read.display_quantity, "display_quantity"),
        trail=trail,
    )
    if instrument is None:
        raise untradable(Denial("unknown_symbol", terms.symbol[:ECHO_MAX]))
    denial = terms_denial(instrument, terms.order_type, quantity, price, stop_price, reduce_only=terms.reduce_only)
    denial = denial or trail_denial(instrument, terms.order_type, terms.trail)
    denial = denial or display_denial(instrument, terms.order_type, terms)
    if denial is not None:
        raise untradable(denial)
    return terms
