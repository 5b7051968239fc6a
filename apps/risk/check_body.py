"""Parse the body of `POST /check` into terms, or report the first error."""

from collections.abc import Mapping
from typing import Annotated, Final, NoReturn

import msgspec
from msgspec import UNSET, UnsetType

from apps.http.body import exact_number, identifier, read_struct
from apps.http.problem import ECHO_MAX, Refusal, malformed
from apps.http.schema import NUMBER, PRICE, described, schema_of
from domain.instruments import Denial, Instrument, terms_denial
from domain.order.commands import Terms
from domain.values import OrderType, Side


class CheckBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The order to check. Numbers stay text until their length and fixed-point form are checked."""

    symbol: str
    side: Side
    quantity: Annotated[msgspec.Raw, NUMBER]
    account: Annotated[str | UnsetType, described("Defaults to the account of the key; required without one.")] = UNSET
    price: Annotated[msgspec.Raw | UnsetType, PRICE] = UNSET
    type: Annotated[OrderType | UnsetType | None, described("Defaults to limit if a price is given, else market.")] = UNSET
    stop_price: Annotated[msgspec.Raw | UnsetType, PRICE] = UNSET
    order_id: Annotated[str | UnsetType | None, described("With an order_id the check reserves. Without one it is a dry check.")] = UNSET
    reduce_only: Annotated[bool | UnsetType | None, described("The order is denied if it could do more than close a position.")] = UNSET


CHECK_SCHEMA: Final = schema_of(CheckBody)
_DECODER: Final = msgspec.json.Decoder(CheckBody)


def read_order(body: bytes, instruments: Mapping[str, Instrument], own: str) -> Terms:
    """Parse the order to check, by default of the account `own`. Refusal 400 when it is malformed, 422 when it cannot trade."""
    read = read_struct(_DECODER, body)
    quantity = exact_number(read.quantity, "quantity")
    if quantity is None:
        raise malformed("quantity is required", "/quantity")
    instrument = instruments.get(read.symbol)
    negative = instrument is not None and instrument.negative_prices
    price = exact_number(read.price, "price", negative=negative)
    stop_price = exact_number(read.stop_price, "stop_price", negative=negative)
    terms = Terms(
        order_id=identifier(read.order_id or None, "order_id") or "",
        account=identifier(read.account, "account") or own or _missing(),
        client_order_id="",
        symbol=read.symbol,
        side=read.side,
        order_type=read.type or (OrderType.MARKET if price is None else OrderType.LIMIT),
        quantity=quantity,
        price=price,
        stop_price=stop_price,
        reduce_only=read.reduce_only is True,
    )
    if instrument is None:
        raise _untradable(Denial("unknown_symbol", terms.symbol[:ECHO_MAX]))
    if denial := terms_denial(instrument, terms.order_type, quantity, price, stop_price, reduce_only=terms.reduce_only):
        raise _untradable(denial)
    return terms


def _missing() -> NoReturn:
    raise malformed("Object missing required field `account`", "/account")


def _untradable(denial: Denial) -> Refusal:
    found = "" if denial.found is None else f": found {denial.found}"
    limit = "" if denial.limit is None else f", limit {denial.limit}"
    extra = {name: value for name in ("found", "limit", "unit") if (value := getattr(denial, name)) is not None}
    return Refusal(422, denial.code, denial.code.replace("_", " ") + found + limit, **extra)
