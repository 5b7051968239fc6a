"""From the bytes of a submit to validated terms, or to the first reason why not. Nothing here touches an order."""

import re
import secrets
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from apps.http import Refusal
from domain.commands import Terms
from domain.instruments import Denial, Instrument, flags_denial, terms_denial
from domain.values import IDENTIFIER, NUMBER, OrderType, Side, TimeInForce, from_rfc3339, order_id_of, rfc3339

_TOKEN: Final = re.compile(rb'("(?:[^"\\]|\\.)*")(\s*:)?')
_AT: Final = re.compile(r" - at `\$([^`]*)`$")
_FIELD: Final = re.compile(r"Object (?:missing required|contains unknown) field `(.*)`", re.DOTALL)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)

ECHO_MAX: Final = 64
"""Characters of somebody's text that a refusal repeats."""
DETAIL_MAX: Final = 200

Body = TypeVar("Body", bound=msgspec.Struct)
Priority = Annotated[int, msgspec.Meta(ge=0, le=9)]


class SubmitBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `POST /orders` takes. Numbers stay text until they are known to be short and plain."""

    symbol: str
    side: Side
    quantity: msgspec.Raw
    account: str | UnsetType | None = UNSET
    client_order_id: str | UnsetType | None = UNSET
    type: OrderType | UnsetType | None = UNSET
    price: msgspec.Raw | UnsetType = UNSET
    stop_price: msgspec.Raw | UnsetType = UNSET
    time_in_force: TimeInForce | UnsetType | None = UNSET
    expire_at: str | UnsetType | None = UNSET
    priority: Priority | UnsetType | None = UNSET
    post_only: bool | UnsetType | None = UNSET
    reduce_only: bool | UnsetType | None = UNSET


_DECODER: Final = msgspec.json.Decoder(SubmitBody)


def malformed(detail: str, pointer: str | None = None) -> Refusal:
    return Refusal(400, "malformed", detail, pointer=pointer) if pointer else Refusal(400, "malformed", detail)


def parse_submit(body: bytes) -> SubmitBody:
    """The body of a submit; its numbers are still text. Refusal 400."""
    return parsed(_DECODER, body)


def parsed(decoder: msgspec.json.Decoder[Body], body: bytes) -> Body:
    """The body as JSON of the right shape. Refusal 400 `malformed` with a pointer to the field."""
    try:
        return decoder.decode(body)
    except (ValueError, RecursionError) as error:
        raise _unreadable(str(error)) from None


def _unreadable(text: str) -> Refusal:
    if found := _AT.search(text):
        return malformed(text[: found.start()][:DETAIL_MAX], found.group(1).replace(".", "/").replace("[", "/").replace("]", ""))
    if named := _FIELD.fullmatch(text):
        return malformed(text[:DETAIL_MAX], _pointer(named.group(1)))
    return malformed(text[:DETAIL_MAX])


def _pointer(name: str) -> str:
    return "/" + name[:ECHO_MAX].replace("~", "~0").replace("/", "~1")


def each_once(body: bytes, parsed: msgspec.Struct) -> None:
    """No key stands twice: the parser itself keeps the last of two and is silent. Refusal 400. Asked when nothing in the body is nested."""
    given = sum([getattr(parsed, name) is not UNSET for name in parsed.__struct_fields__])
    if body.count(b":") == given:
        return  # one for each key and none in a text, as nearly always; what follows costs ten times as much
    keys = [token.group(1) for token in _TOKEN.finditer(body) if token.group(2)]
    if len(keys) == given:
        return
    names = [msgspec.json.decode(key, type=str) for key in keys]
    twice = next(name for name in names if names.count(name) > 1)
    raise malformed(f"{twice} stands twice in the object", f"/{twice}")


def exact_number(raw: msgspec.Raw | UnsetType, field: str) -> Decimal | None:
    """A JSON number or decimal string, held against the grammar before any arithmetic sees it. Refusal 400."""
    if isinstance(raw, UnsetType):
        return None
    text = bytes(raw).decode("ascii", errors="replace")
    if text == "null":
        return None
    if len(text) > 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if not NUMBER.fullmatch(text):
        raise malformed(f"{field} must be a plain decimal number: at most 18 digits before the point and 12 behind it", f"/{field}")
    return Decimal(text)


def identifier(value: str | UnsetType | None, field: str) -> str | None:
    """A name that may stand in a subject and a key, or none at all; an empty text is neither. Refusal 400."""
    if value is None or isinstance(value, UnsetType):
        return None
    if not IDENTIFIER.fullmatch(value):
        raise malformed(f"{field} must be 1 to 64 of the characters A-Z a-z 0-9 _ -", f"/{field}")
    return value


def moment(text: str, field: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time. Refusal 400."""
    try:
        if not _TIME.fullmatch(text):
            raise ValueError("another form")
        return from_rfc3339(text)
    except ValueError:
        raise malformed(f"{field} must be a time with its zone, for example 2026-01-31T12:00:00Z", f"/{field}") from None


class TermsReader:
    """Turns a body into terms this desk can trade. The refusals have a fixed order: form (400), then instrument, then terms (422)."""

    def __init__(self, instruments: Mapping[str, Instrument], default_account: str, types: frozenset[OrderType]) -> None:
        self._instruments = instruments
        self._default_account = default_account
        self._types = types

    def read(self, body: bytes, idempotency_key: str | None) -> Terms:
        """What was asked for, tradable or not. Refusal 400."""
        parsed = parse_submit(body)
        quantity = exact_number(parsed.quantity, "quantity")
        if quantity is None:
            raise malformed("quantity is required", "/quantity")
        price, stop_price = exact_number(parsed.price, "price"), exact_number(parsed.stop_price, "stop_price")
        each_once(body, parsed)
        account = identifier(parsed.account, "account") or self._default_account
        client_order_id = _client_order_id(parsed, idempotency_key)
        return Terms(
            order_id=order_id_of(account, client_order_id),
            account=account,
            client_order_id=client_order_id,
            symbol=parsed.symbol,
            side=parsed.side,
            order_type=parsed.type or (OrderType.MARKET if price is None else OrderType.LIMIT),
            quantity=quantity,
            price=price,
            stop_price=stop_price,
            time_in_force=parsed.time_in_force or TimeInForce.GTC,
            expire_at=moment(parsed.expire_at, "expire_at") if isinstance(parsed.expire_at, str) else None,
            priority=parsed.priority or 0,
            post_only=parsed.post_only is True,
            reduce_only=parsed.reduce_only is True,
        )

    def denial(self, terms: Terms, now_ns: int) -> Denial | None:
        """The first reason why these terms cannot trade now."""
        instrument = self._instruments.get(terms.symbol)
        if instrument is None:
            return Denial("unknown_symbol", terms.symbol[:ECHO_MAX])
        if terms.order_type not in self._types:
            return Denial("order_type_unsupported", str(terms.order_type))
        return (
            terms_denial(instrument, terms.order_type, terms.quantity, terms.price, terms.stop_price)
            or flags_denial(terms.order_type, terms.time_in_force, terms.post_only)
            or _expiry_denial(terms, now_ns)
        )


def _client_order_id(parsed: SubmitBody, key: str | None) -> str:
    given = identifier(parsed.client_order_id, "client_order_id")
    if key is None:
        return given or f"auto-{secrets.token_hex(12)}"
    if not IDENTIFIER.fullmatch(key):
        raise malformed("Idempotency-Key must be 1 to 64 of the characters A-Z a-z 0-9 _ -")
    if given is not None and given != key:
        raise malformed("Idempotency-Key and client_order_id differ", "/client_order_id")
    return key


def _expiry_denial(terms: Terms, now_ns: int) -> Denial | None:
    gtd, expire_at = terms.time_in_force is TimeInForce.GTD, terms.expire_at
    if expire_at is None:
        return Denial("expire_at_required") if gtd else None
    if not gtd:
        return Denial("expire_at_not_allowed", rfc3339(expire_at))
    return Denial("expire_at_in_past", rfc3339(expire_at), rfc3339(now_ns)) if expire_at <= now_ns else None
