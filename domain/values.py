"""Values shared by every module: sides, types, exact numbers, identifiers, times."""

import decimal
import hashlib
import re
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

ZERO: Final = Decimal(0)

IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
CLIENT_ORDER_ID: Final = re.compile(r"[ -~]{1,128}", re.ASCII)
"""The names that clients give their orders: printable ASCII, the space included, in upper and lower case. It may hold quotes, commas and
markup, so whatever prints one escapes it; it is never a part of a subject, a key or a path."""
CLIENT_ORDER_ID_RULE: Final = "1 to 128 printable ASCII characters"
SYMBOL: Final = re.compile(r"[A-Za-z0-9_/-][A-Za-z0-9_/.-]{0,63}", re.ASCII)
"""The form of a symbol in a query. `is_symbol` checks which of them may be listed."""
_DOTS: Final = re.compile(r"\./|/\.|\.\.|\.$", re.ASCII)
NUMBER: Final = re.compile(r"(0|[1-9]\d{0,17})(\.\d{1,12})?", re.ASCII)
"""A number as people write it. Callers' input is parsed by `exact`, which also takes exponents."""
_PLAIN: Final = NUMBER.fullmatch
WRITTEN: Final = re.compile(r"(0|[1-9]\d{0,29})(\.\d{1,30})?([eE][+-]?0?\d{1,2})?", re.ASCII)
"""The forms that `exact` expands. An exponent has two digits, so that no text of a few bytes becomes a huge number."""

# Sums and products of bounded inputs (18 + 12 digits each) are exact in 100 digits; anything that is not exact must stop.
EXACT: Final = decimal.Context(
    prec=100,
    rounding=decimal.ROUND_HALF_EVEN,
    traps=[decimal.Inexact, decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)
_ROUNDED: Final = decimal.Context(prec=100, rounding=decimal.ROUND_HALF_EVEN, traps=[decimal.InvalidOperation, decimal.DivisionByZero])

NUMBER_RULE: Final = "a decimal number without a sign: at most 18 digits before the point and 12 behind it"
SIGNED_RULE: Final = "a decimal number: at most 18 digits before the point and 12 behind it"

WHOLE_DIGITS: Final = 18
MONEY_PLACES: Final = 12
"""How many decimals a division (average price, released cost) keeps. Inputs never have more."""


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class TimeInForce(StrEnum):
    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    GTD = "gtd"
    DAY = "day"
    OPG = "opg"
    CLS = "cls"


AT_SESSIONS: Final = (TimeInForce.OPG, TimeInForce.CLS)
"""The times in force of orders for the opening and for the closing of a session."""


class Liquidity(StrEnum):
    MAKER = "maker"
    TAKER = "taker"


def use_exact_arithmetic() -> None:
    """Make this thread's decimal arithmetic exact or raise. Every process and test session starts with it."""
    decimal.DefaultContext.prec = EXACT.prec
    decimal.DefaultContext.traps[decimal.Inexact] = True
    decimal.setcontext(EXACT.copy())


def exact(text: str) -> Decimal | None:
    """Parse a number to the last digit; 1.234e-05 is 0.00001234. None if it is not valid.

    Written without an exponent it has at most 18 digits before the point and 12 behind it, and no sign.
    """
    if _PLAIN(text):
        return Decimal(text)
    if not WRITTEN.fullmatch(text):
        return None
    expanded = format(Decimal(text), "f")
    return Decimal(expanded) if NUMBER.fullmatch(expanded) else None


def signed_exact(text: str) -> Decimal | None:
    """Parse like `exact`, also with a minus, for prices that may be negative. -0 is 0."""
    if not text.startswith("-"):
        return exact(text)
    number = exact(text[1:])
    return -number if number else number


def average(total: Decimal, quantity: Decimal) -> Decimal:
    """Return an average price for display: 12 places, and 12 digits below 1, so that an average near 1e-10 keeps its precision."""
    quotient = _ROUNDED.divide(total, quantity)
    if not quotient:
        quotient = quotient.copy_abs()  # no minus zero
    places = MONEY_PLACES - min(quotient.adjusted() + 1, 0) if quotient else MONEY_PLACES
    return quotient.quantize(Decimal(1).scaleb(-places), context=_ROUNDED)


def divide(numerator: Decimal, denominator: Decimal, places: int = MONEY_PLACES) -> Decimal:
    """Divide, rounded half to even to `places` decimals. Only here and in `average` is a quotient rounded."""
    return _ROUNDED.divide(numerator, denominator).quantize(Decimal(1).scaleb(-places), context=_ROUNDED)


def plain(value: Decimal) -> str:
    """Format the number as people write it: no exponent, no trailing zeros, no minus zero."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def bounded(value: Decimal, places: int = MONEY_PLACES) -> bool:
    """Return whether the value is finite, with at most 18 digits before the point and `places` behind it: exact and cheap arithmetic."""
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -places and value.adjusted() < WHOLE_DIGITS


def is_multiple(value: Decimal, step: Decimal) -> bool:
    return not value % step


def signed(side: Side, quantity: Decimal) -> Decimal:
    return quantity if side is Side.BUY else -quantity


def opposite(side: Side) -> Side:
    return Side.SELL if side is Side.BUY else Side.BUY


def rfc3339(at_ns: int) -> str:
    """Format as UTC with microseconds, as in every API response."""
    seconds, rest = divmod(at_ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat() + f".{rest // 1000:06d}Z"


def from_rfc3339(text: str) -> int:
    """Parse nanoseconds since the epoch. Raises ValueError if the text is not a time, has no zone or is outside the years 1 to 9999."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs its zone, for example 2026-01-31T12:00:00Z")
    try:
        whole = moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a time must be in the years 1 to 9999") from error
    return int(whole.replace(microsecond=0).timestamp()) * 1_000_000_000 + whole.microsecond * 1000


def derived_id(*parts: str) -> str:
    """Return one stable id for a tuple of texts. The length prefix distinguishes ("a", "bc") from ("ab", "c")."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        raw = part.encode()
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.hexdigest()


def order_id_of(account: str, client_order_id: str) -> str:
    """Return the order's id, derived from what the client sent, so that a repeated submit finds the same order."""
    return derived_id("order", account, client_order_id)


def is_symbol(text: str) -> bool:
    """Return whether an instrument may have this name: BRK.B, ES.FUT, BTC/USD. Dots are inside words: clients resolve /../ in paths."""
    return SYMBOL.fullmatch(text) is not None and not _DOTS.search(text)


def subject_token(symbol: str) -> str:
    """Encode a symbol as a NATS subject token or store key part: "/" becomes "~" and "." becomes "=", which no symbol has."""
    return symbol.replace("/", "~").replace(".", "=")


def shard_of(account: str, shards: int) -> int:
    """Return fnv1a32(account) modulo the number of shards; fixed at install."""
    value = 0x811C9DC5
    for byte in account.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value % shards
