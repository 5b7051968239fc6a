"""`take_profit` and `stop_loss` of an order: the exits of the classes bracket, oto and oco."""

from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET

from apps.http.alpaca_words import UNPROCESSABLE, AlpacaRefusal, malformed_field
from apps.oms.alpaca.catalogue import AlpacaAsset
from apps.oms.alpaca.order_fields import RawNumber, is_given, number_in, read_body_of
from domain.values import Side

BRACKET, OCO, OTO = "bracket", "oco", "oto"
CLASSES: Final = (BRACKET, OCO, OTO)


class TakeProfitBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The take profit: a limit order."""

    limit_price: RawNumber = UNSET


class StopLossBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The stop loss: a stop order, or a stop-limit order."""

    stop_price: RawNumber = UNSET
    limit_price: RawNumber = UNSET


class Exits(NamedTuple):
    """The prices of the exits: `take_profit` and `stop_price` are None where there is no such exit.

    `entry_price` is the limit of the first order, which is the take profit itself for oco.
    """

    order_class: str
    entry_price: Decimal | None
    take_profit: Decimal | None
    stop_price: Decimal | None
    stop_limit: Decimal | None


_TAKE_PROFIT: Final = msgspec.json.Decoder(TakeProfitBody)
_STOP_LOSS: Final = msgspec.json.Decoder(StopLossBody)


def read_exits(
    order_class: str, take_profit: RawNumber, stop_loss: RawNumber, limit_price: Decimal | None, side: Side, asset: AlpacaAsset
) -> Exits:
    """Return the exits of an order. `limit_price` and `side` are those of the order. AlpacaRefusal, with the name of the field."""
    gain, loss = is_given(take_profit), is_given(stop_loss)
    if order_class == OTO and gain == loss:
        raise malformed_field("take_profit", "take_profit or stop_loss is required with order_class oto, and not both")
    for name, found in (("take_profit", gain), ("stop_loss", loss)):
        if order_class != OTO and not found:
            raise malformed_field(name, f"is required with order_class {order_class}")
    target = _prices("take_profit", take_profit, _TAKE_PROFIT, asset) if gain else (None,)
    stop, stop_limit = _prices("stop_loss", stop_loss, _STOP_LOSS, asset) if loss else (None, None)
    if order_class == OCO and limit_price not in (None, target[0]):
        raise malformed_field("limit_price", "differs from take_profit.limit_price")
    _check_sides(target[0], stop, sells=(side is Side.SELL) == (order_class == OCO))
    return Exits(order_class, target[0] if order_class == OCO else limit_price, target[0], stop, stop_limit)


def _prices(name: str, raw: RawNumber, decoder: Any, asset: AlpacaAsset) -> tuple[Decimal | None, ...]:
    """Return the prices of an exit, the first of which it needs. AlpacaRefusal."""
    fields = decoder.type.__struct_fields__
    try:
        body = read_body_of(decoder, bytes(raw), frozenset(fields))  # type: ignore[arg-type]
    except AlpacaRefusal as refusal:
        raise malformed_field(name, refusal.message) from None
    found = tuple(number_in(getattr(body, field), f"{name}.{field}", asset.tick, negative=asset.negative_prices) for field in fields)
    if found[0] is None:
        raise malformed_field(f"{name}.{fields[0]}", "is required")
    return found


def _check_sides(target: Decimal | None, stop: Decimal | None, *, sells: bool) -> None:
    """Check that the exits are apart: a sale gains above its stop, a purchase below it. AlpacaRefusal."""
    if target is None or stop is None or (target > stop if sells else target < stop):
        return
    word = ">" if sells else "<"
    message = f"take_profit.limit_price must be {word} stop_loss.stop_price"
    raise AlpacaRefusal(422, UNPROCESSABLE, message, reason="exits_not_apart", found=str(target), limit=str(stop))
