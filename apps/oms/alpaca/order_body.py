"""The body of `POST /v2/orders`: read into terms, or refused by the name of the field."""

import uuid
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from apps.http.alpaca_words import UNPROCESSABLE, AlpacaRefusal, malformed_field
from apps.oms.alpaca.catalogue import AlpacaAsset, AssetBook
from apps.oms.alpaca.order_exits import CLASSES, OCO, Exits, read_exits
from apps.oms.alpaca.order_fields import (
    RawNumber,
    Text,
    client_order_id_in,
    is_given,
    number_in,
    read_body_of,
    refuse_unserved,
    word_in_body,
)
from apps.oms.alpaca.refusals import unknown_asset
from apps.oms.replace import NewTerms
from domain.order.commands import Terms
from domain.order.trail import Trail, TrailTrigger
from domain.shards import ONE_SHARD, Shards
from domain.values import ZERO, OrderType, Side, TimeInForce


class AlpacaOrderBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of an order. Numbers stay text until their grammar is checked; fields of classes that are not served stay unread."""

    symbol: Text = UNSET
    qty: RawNumber = UNSET
    notional: RawNumber = UNSET
    side: Text = UNSET
    type: Text = UNSET
    time_in_force: Text = UNSET
    limit_price: RawNumber = UNSET
    stop_price: RawNumber = UNSET
    trail_price: RawNumber = UNSET
    trail_percent: RawNumber = UNSET
    extended_hours: bool | UnsetType | None = UNSET
    client_order_id: Text = UNSET
    order_class: Text = UNSET
    take_profit: RawNumber = UNSET
    stop_loss: RawNumber = UNSET
    legs: RawNumber = UNSET
    advanced_instructions: RawNumber = UNSET
    position_intent: Text = UNSET
    trail_trigger: Text = UNSET


class OrderRequest(NamedTuple):
    """What a client asked for. With `notional` the quantity of the terms is still open (zero). `exits`: of a class of several orders."""

    terms: Terms
    asset: AlpacaAsset
    notional: Decimal | None
    exits: Exits | None = None


KNOWN_TYPES: Final = ("market", "limit", "stop", "stop_limit", "trailing_stop")
TRIGGERS: Final = tuple(map(str, TrailTrigger))
KNOWN_TIFS: Final = ("day", "gtc", "ioc", "fok", "opg", "cls")
TIFS_OF_CLASSES: Final = ("day", "gtc")
SERVED_CLASSES: Final = ("simple", "", *CLASSES)
KNOWN_CLASSES: Final = (*SERVED_CLASSES, "mleg")
SIDES: Final = {str(side): side for side in Side}
WORDS_OF_SIDES: Final = tuple(SIDES)
INTENTS: Final = {
    "buy_to_open": (Side.BUY, False),
    "buy_to_close": (Side.BUY, True),
    "sell_to_open": (Side.SELL, False),
    "sell_to_close": (Side.SELL, True),
}
WORDS_OF_INTENTS: Final = tuple(INTENTS)
OF_OTHER_ORDERS: Final = ("legs", "advanced_instructions")
"""Fields that would change the meaning of an order, and belong to classes that are not served."""
OF_TRAILS: Final = ("trail_price", "trail_percent", "trail_trigger")
"""Fields that belong to the type trailing_stop. `trail_trigger` is ours: Alpaca has only one."""
OF_CLASSES: Final = ("take_profit", "stop_loss")
"""Fields that belong to the classes of several orders."""

_TYPES: Final = {word: OrderType(word) for word in KNOWN_TYPES}
_TIFS: Final = {word: TimeInForce(word) for word in KNOWN_TIFS}
"""Looked up: calling an enumeration takes ten times as long, for every order."""
_DECODER: Final = msgspec.json.Decoder(AlpacaOrderBody)
_FIELDS: Final = frozenset(AlpacaOrderBody.__struct_fields__)


def read_order(body: bytes, assets: AssetBook, account: str, key: str | None = None, shards: Shards = ONE_SHARD) -> OrderRequest:
    """Return what a client asked for. `key`: the header Idempotency-Key. AlpacaRefusal, with the name of the field."""
    parsed = read_body_of(_DECODER, body, _FIELDS)
    order_class = word_in_body(parsed.order_class, "order_class", KNOWN_CLASSES, default="simple")
    kind = word_in_body(parsed.type, "type", KNOWN_TYPES)
    tif = word_in_body(parsed.time_in_force, "time_in_force", KNOWN_TIFS)
    refuse_unserved("order_class", order_class, SERVED_CLASSES)
    for name in _foreign(order_class, kind):
        if is_given(getattr(parsed, name)):
            raise malformed_field(name, "is not supported with this type and class of order")
    side, reduce_only = _side(parsed)
    if not isinstance(parsed.symbol, str):
        raise malformed_field("symbol", "is required")
    asset = assets.find(parsed.symbol)
    if asset is None:
        raise unknown_asset(parsed.symbol)
    extended = parsed.extended_hours is True
    if extended:
        _refuse_extended(kind, asset)
    client_order_id = named_by(parsed.client_order_id, key)
    quantity, notional = _amount(parsed, asset, kind)
    price = number_in(parsed.limit_price, "limit_price", asset.tick, negative=asset.negative_prices)
    exits = None
    if order_class in CLASSES:
        _refuse_with_class(parsed, order_class, kind, tif)
        exits = read_exits(order_class, parsed.take_profit, parsed.stop_loss, price, side, asset)
        price = exits.entry_price
    terms = Terms(
        order_id=shards.order_id(account, client_order_id),
        account=account,
        client_order_id=client_order_id,
        symbol=asset.symbol,
        side=side,
        order_type=_TYPES[kind],
        quantity=quantity,
        price=price,
        stop_price=number_in(parsed.stop_price, "stop_price", asset.tick, negative=asset.negative_prices),
        time_in_force=_TIFS[tif],
        reduce_only=reduce_only,
        trail=_trail(parsed, asset) if kind == "trailing_stop" else None,
        extended_hours=extended,
    )
    return OrderRequest(terms, asset, notional, exits)


def _foreign(order_class: str, kind: str) -> tuple[str, ...]:
    """Return the fields that an order of this class and type cannot have."""
    if order_class in CLASSES:
        return (*OF_OTHER_ORDERS, *OF_TRAILS)
    return (*OF_OTHER_ORDERS, *OF_CLASSES) if kind == "trailing_stop" else (*OF_OTHER_ORDERS, *OF_TRAILS, *OF_CLASSES)


def _trail(parsed: AlpacaOrderBody, asset: AlpacaAsset) -> Trail:
    """Return how the stop trails. AlpacaRefusal unless it has an amount or a percentage, and not both."""
    amount, percent = number_in(parsed.trail_price, "trail_price", asset.tick), number_in(parsed.trail_percent, "trail_percent", None)
    if amount is not None and percent is not None:
        raise malformed_field("trail_percent", "cannot be given together with trail_price")
    if amount is None and percent is None:
        raise malformed_field("trail_price", "trail_price or trail_percent is required")
    trigger = word_in_body(parsed.trail_trigger, "trail_trigger", TRIGGERS, default=TrailTrigger.TOUCH)
    return Trail(amount=amount, percent=percent, trigger=TrailTrigger(trigger))


def _refuse_extended(kind: str, asset: AlpacaAsset) -> None:
    """Refuse trading outside the session, which calendars here do not have: only a venue that never closes trades then. AlpacaRefusal."""
    if kind != "limit":
        raise AlpacaRefusal(422, UNPROCESSABLE, "extended_hours is for limit orders only", reason="extended_hours_not_allowed")
    if not any(calendar.never_closes for calendar in asset.calendars):
        message = f"extended_hours: the venues of {asset.shown} have no session outside their regular hours"
        raise AlpacaRefusal(422, UNPROCESSABLE, message, reason="no_extended_session")


def _refuse_with_class(parsed: AlpacaOrderBody, order_class: str, kind: str, tif: str) -> None:
    """Refuse what an order of several orders cannot have. AlpacaRefusal, by the name of the field."""
    wrong = {
        "notional": is_given(parsed.notional),
        "extended_hours": parsed.extended_hours is True,
        "position_intent": isinstance(parsed.position_intent, str) and INTENTS[parsed.position_intent][1] is (order_class != OCO),
        "type": (order_class == OCO and kind != "limit") or kind == "trailing_stop",
        "time_in_force": tif not in TIFS_OF_CLASSES,
    }
    for name, refused in wrong.items():
        if refused:
            message = f"{name}: this value is not supported with order_class {order_class}"
            raise AlpacaRefusal(422, UNPROCESSABLE, message, reason=f"{name}_unsupported")


def new_client_order_id() -> str:
    """Return an id for an order whose client gives it none."""
    return str(uuid.uuid4())


def _amount(parsed: AlpacaOrderBody, asset: AlpacaAsset, kind: str) -> tuple[Decimal, Decimal | None]:
    quantity, notional = number_in(parsed.qty, "qty", asset.lot), number_in(parsed.notional, "notional", None)
    if quantity is not None and notional is not None:
        raise malformed_field("notional", "cannot be given together with qty")
    if notional is None:
        if quantity is None:
            raise malformed_field("qty", "qty or notional is required")
        return quantity, None
    if kind != "market":
        raise malformed_field("notional", "is for market orders only")
    if notional <= ZERO:
        raise malformed_field("notional", "must be above zero")
    return ZERO, notional


def _side(parsed: AlpacaOrderBody) -> tuple[Side, bool]:
    """Return the side, and whether the order only closes."""
    side = SIDES[word_in_body(parsed.side, "side", WORDS_OF_SIDES)]
    if not isinstance(parsed.position_intent, str):
        return side, False
    meant, closes = INTENTS[word_in_body(parsed.position_intent, "position_intent", WORDS_OF_INTENTS)]
    if meant is not side:
        raise malformed_field("position_intent", f"{parsed.position_intent} is not a {side}")
    return side, closes


class AlpacaReplaceBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of a replace. A field that is absent or null keeps its value."""

    qty: RawNumber = UNSET
    limit_price: RawNumber = UNSET
    stop_price: RawNumber = UNSET
    trail: RawNumber = UNSET
    time_in_force: Text = UNSET
    client_order_id: Text = UNSET


_REPLACE_DECODER: Final = msgspec.json.Decoder(AlpacaReplaceBody)
_REPLACE_FIELDS: Final = frozenset(AlpacaReplaceBody.__struct_fields__)


def read_replacement(body: bytes, asset: AlpacaAsset, time_in_force: str, key: str | None, trail: Trail | None = None) -> NewTerms:
    """Return the terms that a client asks for. AlpacaRefusal.

    `time_in_force` and `trail` are the order's own: the first cannot change, and of the second only how far it is.
    """
    parsed: AlpacaReplaceBody = read_body_of(_REPLACE_DECODER, body, _REPLACE_FIELDS)
    if is_given(parsed.trail) and trail is None:
        raise malformed_field("trail", "is not supported with this type of order")
    if word_in_body(parsed.time_in_force, "time_in_force", KNOWN_TIFS, default=time_in_force) != time_in_force:
        raise malformed_field("time_in_force", f"cannot be changed from {time_in_force}")
    wanted = NewTerms(
        number_in(parsed.qty, "qty", asset.lot),
        number_in(parsed.limit_price, "limit_price", asset.tick, negative=asset.negative_prices),
        number_in(parsed.stop_price, "stop_price", asset.tick, negative=asset.negative_prices),
        named_by(parsed.client_order_id, key),
    )
    if trail is not None:
        by_amount = trail.amount is not None
        found = number_in(parsed.trail, "trail", asset.tick if by_amount else None)
        wanted = wanted._replace(trail_amount=found) if by_amount else wanted._replace(trail_percent=found)
    if wanted.numbers == (None, None, None) and not wanted.trails:
        raise malformed_field("qty", "qty or limit_price or stop_price is required")
    return wanted


def named_by(given: Text, key: str | None) -> str:
    """Return the id in a body or in the header Idempotency-Key, which may not differ; a new one without both. AlpacaRefusal."""
    in_body, in_header = client_order_id_in(given), client_order_id_in(key, "Idempotency-Key")
    if in_body is not None and in_header is not None and in_body != in_header:
        raise malformed_field("client_order_id", "differs from Idempotency-Key")
    return in_body or in_header or new_client_order_id()
