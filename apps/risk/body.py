"""From the bytes of `POST /check` to terms, or to the first reason why not. A number is text until it is known to be short and plain."""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeVar

from apps.problem import Refusal
from apps.strict_json import malformed, read_object
from domain.commands import Terms
from domain.instruments import Denial, Instrument, terms_denial
from domain.values import IDENTIFIER, NUMBER, OrderType, Side

FIELDS: Final = ("account", "symbol", "side", "quantity", "price", "type", "stop_price", "order_id")
Word = TypeVar("Word", bound=StrEnum)


def read_order(body: bytes, instruments: Mapping[str, Instrument]) -> Terms:
    """The order to be checked. Refusal 400 when it is not well formed, 422 when it is but cannot trade."""
    fields = read_object(body, FIELDS)
    price, stop_price = _number(fields, "price"), _number(fields, "stop_price")
    quantity = _number(fields, "quantity")
    if quantity is None:
        raise malformed("quantity is missing", "/quantity")
    terms = Terms(
        order_id=_identifier(fields, "order_id", ""),
        account=_identifier(fields, "account"),
        client_order_id="",
        symbol=_text(fields, "symbol"),
        side=_word(fields, "side", Side),
        order_type=_word(fields, "type", OrderType, OrderType.MARKET if price is None else OrderType.LIMIT),
        quantity=quantity,
        price=price,
        stop_price=stop_price,
    )
    instrument = instruments.get(terms.symbol)
    if instrument is None:
        raise _untradable(Denial("unknown_symbol", terms.symbol[:64]))
    if denial := terms_denial(instrument, terms.order_type, quantity, price, stop_price):
        raise _untradable(denial)
    return terms


def _text(fields: Mapping[str, object], name: str, default: str | None = None) -> str:
    found = fields.get(name)
    if found is None and default is not None:
        return default
    if type(found) is not str:
        raise malformed(f"{name} {'is missing' if found is None else 'must be text'}", f"/{name}")
    return found


def _identifier(fields: Mapping[str, object], name: str, default: str | None = None) -> str:
    text = _text(fields, name, default)
    if text != default and not IDENTIFIER.fullmatch(text):
        raise malformed(f"{name} must be 1 to 64 of the characters A-Z a-z 0-9 _ -", f"/{name}")
    return text


def _word(fields: Mapping[str, object], name: str, kind: type[Word], default: Word | None = None) -> Word:
    text = _text(fields, name, default)
    try:
        return kind(text)
    except ValueError:
        raise malformed(f"{name} must be one of {', '.join(kind)}", f"/{name}") from None


def _number(fields: Mapping[str, object], name: str) -> Decimal | None:
    text = fields.get(name)
    if text is None:
        return None
    if not isinstance(text, str) or not NUMBER.fullmatch(text):
        raise malformed(f"{name} must be a plain decimal number: at most 18 digits before the point and 12 behind it", f"/{name}")
    return Decimal(text)


def _untradable(denial: Denial) -> Refusal:
    found = "" if denial.found is None else f": found {denial.found}"
    limit = "" if denial.limit is None else f", limit {denial.limit}"
    extra = {name: value for name in ("found", "limit", "unit") if (value := getattr(denial, name)) is not None}
    return Refusal(422, denial.code, denial.code.replace("_", " ") + found + limit, **extra)
