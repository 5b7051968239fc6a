"""The fields of bodies: numbers, words, ids. What is wrong is refused by the name of the field."""

from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import UnsetType

from apps.http.alpaca_words import UNPROCESSABLE, AlpacaRefusal, in_alpaca_words, malformed_field
from apps.http.body import read_struct
from apps.http.problem import ECHO_MAX, Refusal
from apps.oms.alpaca.numbers import NotANumber, read_number
from domain.values import CLIENT_ORDER_ID, CLIENT_ORDER_ID_RULE

Text = str | UnsetType | None
RawNumber = msgspec.Raw | UnsetType
_NULL: Final = b"null"


def read_body_of(decoder: Any, body: bytes, fields: frozenset[str]) -> Any:
    """Read a JSON object. Unknown fields are refused unless they are null: a client library sends what it knows of. AlpacaRefusal."""
    try:
        return read_struct(decoder, body)
    except Refusal as refusal:
        known = _without_unknown_nulls(body, fields)
        if known is None:
            raise in_alpaca_words(refusal) from None
    try:
        return read_struct(decoder, known)
    except Refusal as refusal:
        raise in_alpaca_words(refusal) from None


def _without_unknown_nulls(body: bytes, fields: frozenset[str]) -> bytes | None:
    """Return the body without the unknown fields that are null; None if it has none of those, or is no object."""
    try:
        found = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except ValueError:
        return None
    kept = {name: value for name, value in found.items() if name in fields or bytes(value) != _NULL}
    return msgspec.json.encode(kept) if len(kept) < len(found) else None


def client_order_id_in(value: Text, name: str = "client_order_id") -> str | None:
    """Return the id that a client gives an order; None if it gives none, or an empty one. AlpacaRefusal."""
    if not isinstance(value, str) or not value:
        return None
    if not CLIENT_ORDER_ID.fullmatch(value):
        raise malformed_field(name, f"must be {CLIENT_ORDER_ID_RULE}")
    return value


def number_in(raw: RawNumber, name: str, step: Decimal | None, *, negative: bool = False) -> Decimal | None:
    """Return a number of a body; None if it is absent or null. AlpacaRefusal."""
    if isinstance(raw, UnsetType):
        return None
    try:
        return read_number(raw, name, step, negative=negative)
    except NotANumber as error:
        raise malformed_field(name, str(error)) from None


def word_in_body(value: Text, name: str, words: tuple[str, ...], default: str | None = None) -> str:
    """Return a word that must be one of `words`. AlpacaRefusal."""
    if not isinstance(value, str):
        if default is None:
            raise malformed_field(name, "is required")
        return default
    if value not in words:
        raise malformed_field(name, f"{value[:ECHO_MAX]!a} is not one of {', '.join(filter(None, words))}")
    return value


def refuse_unserved(name: str, word: str, served: tuple[str, ...]) -> None:
    """Check that a word is served here. AlpacaRefusal 422, by name."""
    if word not in served:
        raise AlpacaRefusal(422, UNPROCESSABLE, f"{name} {word} is not supported here", reason=f"{name}_unsupported", found=word)


def is_given(value: object) -> bool:
    """Return whether an unread field of a body is there and not null."""
    return isinstance(value, msgspec.Raw) and bytes(value) != _NULL
