"""Numbers of the facade: exact strings out; strings and binary floats in."""

import re
from decimal import Decimal
from typing import Final

import msgspec

from apps.http.problem import ECHO_MAX
from domain.values import NUMBER_RULE, SIGNED_RULE, ZERO, exact, plain, signed_exact

_FLOAT: Final = re.compile(r"-?(0|[1-9]\d{0,29})(\.\d{1,30})?([eE][+-]?\d{1,2})?", re.ASCII)
EXPONENT_MIN, EXPONENT_MAX = -12, 17
"""The exponents that are read."""
NEAR: Final = Decimal("0.001")
"""How far from a whole multiple of the step a JSON number may be, as a part of the step: what binary arithmetic of a client leaves."""


class NotANumber(ValueError):
    """The text is no number of the grammar; the message says what it must be."""


def text_of(value: Decimal | None) -> str | None:
    """Return a number as Alpaca writes it: a string without an exponent and without trailing zeros; None stays None."""
    return None if value is None else plain(value)


def read_number(raw: msgspec.Raw, name: str, step: Decimal | None, *, negative: bool = False) -> Decimal | None:
    """Read a JSON number or a decimal string; None for null. Raises NotANumber.

    A JSON number (not a string) within a thousandth of `step` of a whole multiple is that multiple, because a client that counts in
    binary floating point sends 0.30000000000000004 for 0.3. A string is taken as it is written.
    """
    text = bytes(raw).decode("ascii", errors="replace")
    if text == "null":
        return None
    if len(text) > 2 and text[0] == text[-1] == '"':
        return read_text(text[1:-1], name, negative=negative)
    if step is not None and (near := _nearest(text, step)) is not None:
        text = plain(near)
    return read_text(text, name, negative=negative)


def read_text(text: str, name: str, *, negative: bool = False) -> Decimal:
    """Read a number as it is written. Raises NotANumber."""
    mantissa, _, exponent = text.lower().partition("e")
    if exponent and mantissa and not (_FLOAT.fullmatch(text) and EXPONENT_MIN <= int(exponent) <= EXPONENT_MAX):
        raise NotANumber(f"{name} must have an exponent between {EXPONENT_MIN} and {EXPONENT_MAX}")
    number = signed_exact(text) if negative else exact(text)
    if number is None:
        raise NotANumber(f"{name} must be {SIGNED_RULE if negative else NUMBER_RULE}, not {text[:ECHO_MAX]}")
    return number


def _nearest(text: str, step: Decimal) -> Decimal | None:
    """Return the whole multiple of `step` that is near the number; None without one, and for zero."""
    found = _FLOAT.fullmatch(text)
    if found is None or not EXPONENT_MIN <= int((found.group(3) or "e0")[1:]) <= EXPONENT_MAX:
        return None
    number = Decimal(text)
    rest = number % step
    low = number - rest
    near = min((low, low + step, low - step), key=lambda multiple: abs(multiple - number))
    return near if near != ZERO and abs(near - number) <= NEAR * step else None
