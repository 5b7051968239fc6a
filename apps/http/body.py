"""The strict reader of JSON bodies for every service: no duplicate or unknown keys, no lone surrogates, exact numbers.

Flat bodies on hot paths are msgspec structs (`read_struct`, a few microseconds); `read_object` leaves the types to its caller,
`read_model` to pydantic. All of them raise Refusal 400 `malformed`, with a pointer to the field.
"""

import json
import re
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from pydantic import BaseModel, ValidationError

from apps.http.moments import EXAMPLE, body_moment
from apps.http.problem import DETAIL_MAX, ECHO_MAX, Refusal, malformed
from domain.values import CLIENT_ORDER_ID, CLIENT_ORDER_ID_RULE, IDENTIFIER, NUMBER_RULE, SIGNED_RULE, exact, signed_exact

M = TypeVar("M", bound=BaseModel)
Body = TypeVar("Body", bound=msgspec.Struct)

_TOKEN: Final = re.compile(rb'("(?:[^"\\]|\\.)*")(\s*:)?')
_AT: Final = re.compile(r" - at `\$([^`]*)`$")
_FIELD: Final = re.compile(r"Object (?:missing required|contains unknown) field `(.*)`", re.DOTALL)


class Number(str):
    """A JSON number as it was written."""


def read_struct(decoder: msgspec.json.Decoder[Body], body: bytes) -> Body:
    """Read a flat JSON object with `decoder`, whose struct must have UNSET for absent fields. Refusal 400."""
    try:
        found = decoder.decode(body)
    except (ValueError, RecursionError) as error:
        raise unreadable(str(error)) from None
    _each_once(body, found)
    return found


def unreadable(text: str) -> Refusal:
    """Return Refusal 400 for what msgspec said, with a pointer to the field if it names one."""
    if found := _AT.search(text):
        return malformed(text[: found.start()][:DETAIL_MAX], found.group(1).replace(".", "/").replace("[", "/").replace("]", ""))
    if named := _FIELD.fullmatch(text):
        return malformed(text[:DETAIL_MAX], _pointer(named.group(1)))
    return malformed(text[:DETAIL_MAX])


def _pointer(name: str) -> str:
    return "/" + name[:ECHO_MAX].replace("~", "~0").replace("/", "~1")


def _each_once(body: bytes, read: msgspec.Struct) -> None:
    """Refuse duplicate keys, of which the parser silently keeps the last one. Refusal 400."""
    given = sum([getattr(read, name) is not UNSET for name in read.__struct_fields__])
    if body.count(b":") == given:
        return  # the usual case: one colon per key and none in a string; the check below costs ten times as much
    if any(_nested(getattr(read, name)) for name in read.__struct_fields__):
        return  # an object or array instead of a number: `exact_number` refuses it
    names = [msgspec.json.decode(token.group(1), type=str) for token in _TOKEN.finditer(body) if token.group(2)]
    if len(names) > given:
        twice = next(name for name in names if names.count(name) > 1)
        raise malformed(f"{twice[:ECHO_MAX]} is given twice", _pointer(twice))


def _nested(value: object) -> bool:
    return isinstance(value, msgspec.Raw) and bytes(value)[:1] in (b"{", b"[")


def exact_number(raw: msgspec.Raw | UnsetType, field: str, *, negative: bool = False) -> Decimal | None:
    """Read a JSON number or decimal string, checked against the grammar before any arithmetic. Refusal 400.

    `negative`: a minus sign is accepted, as for prices of instruments that may trade below zero.
    """
    if isinstance(raw, UnsetType):
        return None
    text = bytes(raw).decode("ascii", errors="replace")
    if text == "null":
        return None
    if len(text) > 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    number = signed_exact(text) if negative else exact(text)
    if number is None:
        raise malformed(f"{field} must be {SIGNED_RULE if negative else NUMBER_RULE}", f"/{field}")
    return number


def identifier(value: str | UnsetType | None, field: str) -> str | None:
    """Return a name that can be part of a subject and a key, or None if absent. Refusal 400, also for an empty string."""
    if value is None or isinstance(value, UnsetType):
        return None
    if not IDENTIFIER.fullmatch(value):
        raise malformed(f"{field} must be 1 to 64 of the characters A-Z a-z 0-9 _ -", f"/{field}")
    return value


def client_order_id_of(value: str | UnsetType | None) -> str | None:
    """Return the name that a client gives an order, or None if absent. Refusal 400, also for an empty string."""
    if value is None or isinstance(value, UnsetType):
        return None
    if not CLIENT_ORDER_ID.fullmatch(value):
        raise malformed(f"client_order_id must be {CLIENT_ORDER_ID_RULE}", "/client_order_id")
    return value


def read_object(body: bytes, known: tuple[str, ...]) -> dict[str, object]:
    """Read a JSON object without duplicate or unknown keys; numbers stay text. Refusal 400."""
    found = _read(body)
    unknown = next((key for key in found if key not in known), None)
    if unknown is not None:
        raise malformed(f"{unknown[:ECHO_MAX]!a} is not a known field", _pointer(unknown))
    return found


def read_model(body: bytes, model: type[M]) -> M:
    """Read a JSON object as `model` describes it, without duplicate keys. Refusal 400 with a pointer to the first wrong field."""
    _read(body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        raise malformed(found["msg"][:DETAIL_MAX], "".join(_pointer(str(part)) for part in found["loc"])) from None


def model_doc(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI description of a request body that `read_model` reads."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


def _read(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body.decode(), object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=_no_constant)
        if b"\\u" in body:
            _encodable(found)
    except (ValueError, RecursionError) as error:
        raise malformed(f"not readable as JSON: {error}"[:DETAIL_MAX]) from None
    if not isinstance(found, dict):
        raise malformed("must be a JSON object")
    return found


def _encodable(found: object) -> None:
    """Raise ValueError for a lone surrogate: an escape can spell it, but no response could encode it."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a lone surrogate is not a character") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key in object")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not a number")


def moment(text: str, field: str) -> int:
    """Parse an RFC 3339 time into nanoseconds since the epoch. Refusal 400."""
    try:
        return body_moment(text)
    except ValueError:
        raise malformed(f"{field} must be a time with a zone, for example {EXAMPLE}", f"/{field}") from None
