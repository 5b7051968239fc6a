"""From the bytes of a submit to validated terms, or to the first reason why not. Nothing here touches an order."""

import re
import secrets
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from apps.http import Refusal
from domain.commands import Terms
from domain.instruments import Denial, Instrument, terms_denial
from domain.values import IDENTIFIER, NUMBER, OrderType, Side, TimeInForce, from_rfc3339, order_id_of

_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"(\s*:)?')
_POINTER: Final = re.compile(r" - at `\$(.*)`$")

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


_DECODER: Final = msgspec.json.Decoder(SubmitBody)


def malformed(detail: str, pointer: str | None = None) -> Refusal:
    return Refusal(400, "malformed", detail, pointer=pointer) if pointer else Refusal(400, "malformed", detail)


def parse_submit(body: bytes) -> SubmitBody:
    """The body as JSON of the right shape. Refusal 400 `malformed` with a pointer to the field."""
    try:
        parsed = _DECODER.decode(body)
    except (ValueError, RecursionError) as error:
        raise _unreadable(error) from None
    if _keys(body) != _given(parsed):
        raise malformed("a key stands twice in the object")
    return parsed


def _unreadable(error: Exception) -> Refusal:
    text = str(error)
    found = _POINTER.search(text)
    if not found:
        return malformed(text)
    return malformed(text[: found.start()], found.group(1).replace(".", "/").replace("[", "/").replace("]", ""))


def _keys(body: bytes) -> int:
    """How many keys the text has: strings followed by a colon. The parser itself keeps the last of two and is silent."""
    return sum(1 for token in _TOKEN.finditer(body) if token.group(1))


def _given(parsed: SubmitBody) -> int:
    return sum(1 for name in parsed.__struct_fields__ if getattr(parsed, name) is not UNSET)


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


def identifier(value: str | None, field: str) -> str | None:
    if value is not None and not IDENTIFIER.fullmatch(value):
        raise malformed(f"{field} must be 1 to 64 of the characters A-Z a-z 0-9 _ -", f"/{field}")
    return value


class TermsReader:
    """Turns a parsed body into terms this desk can trade. The refusals have a fixed order: form, then instrument, then terms."""

    def __init__(self, instruments: Mapping[str, Instrument], default_account: str, types: frozenset[OrderType]) -> None:
        self._instruments = instruments
        self._default_account = default_account
        self._types = types

    def terms(self, body: bytes, idempotency_key: str | None, now_ns: int) -> Terms:
        """Refusal 400 when it is not well formed, 422 when it is but cannot trade."""
        parsed = parse_submit(body)
        quantity = exact_number(parsed.quantity, "quantity")
        if quantity is None:
            raise malformed("quantity is required", "/quantity")
        price, stop_price = exact_number(parsed.price, "price"), exact_number(parsed.stop_price, "stop_price")
        account = identifier(parsed.account or None, "account") or self._default_account
        client_order_id = self._client_order_id(parsed, idempotency_key)
        tif = parsed.time_in_force or TimeInForce.GTC
        order_type = parsed.type or (OrderType.MARKET if price is None else OrderType.LIMIT)
        expire_at = self._expire_at(parsed, tif, now_ns)
        self._tradable(parsed.symbol, order_type, quantity, price, stop_price)
        return Terms(
            order_id=order_id_of(account, client_order_id),
            account=account,
            client_order_id=client_order_id,
            symbol=parsed.symbol,
            side=parsed.side,
            order_type=order_type,
            quantity=quantity,
            price=price,
            stop_price=stop_price,
            time_in_force=tif,
            expire_at=expire_at,
            priority=parsed.priority or 0,
        )

    def _client_order_id(self, parsed: SubmitBody, key: str | None) -> str:
        given = identifier(parsed.client_order_id or None, "client_order_id")
        if key is None:
            return given or f"auto-{secrets.token_hex(12)}"
        if not IDENTIFIER.fullmatch(key):
            raise malformed("Idempotency-Key must be 1 to 64 of the characters A-Z a-z 0-9 _ -")
        if given is not None and given != key:
            raise malformed("Idempotency-Key and client_order_id differ", "/client_order_id")
        return key

    def _expire_at(self, parsed: SubmitBody, tif: TimeInForce, now_ns: int) -> int | None:
        text = parsed.expire_at or None
        if text is None:
            if tif is TimeInForce.GTD:
                raise _untradable(Denial("expire_at_required"))
            return None
        try:
            expire_at = from_rfc3339(text)
        except (ValueError, OverflowError):
            raise malformed("expire_at must be a time with its zone, for example 2026-01-31T12:00:00Z", "/expire_at") from None
        if tif is not TimeInForce.GTD:
            raise _untradable(Denial("expire_at_not_allowed", text))
        return expire_at if expire_at > now_ns else self._past(text)

    def _past(self, text: str) -> int:
        raise _untradable(Denial("expire_at_in_past", text))

    def _tradable(self, symbol: str, type_: OrderType, quantity: Decimal, price: Decimal | None, stop_price: Decimal | None) -> None:
        instrument = self._instruments.get(symbol)
        if instrument is None:
            raise _untradable(Denial("unknown_symbol", symbol[:64]))
        if type_ not in self._types:
            raise _untradable(Denial("order_type_unsupported", str(type_)))
        if denial := terms_denial(instrument, type_, quantity, price, stop_price):
            raise _untradable(denial)


def _untradable(denial: Denial) -> Refusal:
    found = f": found {denial.found}" if denial.found is not None else ""
    limit = f", limit {denial.limit}" if denial.limit is not None else ""
    extra = {name: value for name in ("found", "limit", "unit") if (value := getattr(denial, name)) is not None}
    return Refusal(422, denial.code, denial.code.replace("_", " ") + found + limit, **extra)
