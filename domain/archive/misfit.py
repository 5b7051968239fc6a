"""Which records of the market a place can never store: the one rule for all columns of ticks."""

from decimal import Decimal
from typing import Any, Final

from domain.market.quotes import AT_END

SCALE: Final = 18
INTEGER_DIGITS: Final = 20
"""A column is DECIMAL(38,18): it holds every legal number (1e-12 to 1e19) with up to 18 decimals, exactly."""
EXPONENT_MAX: Final = 76
"""QuestDB's client takes no exponent beyond it, not even of a zero."""
_LAST_PLACE: Final = Decimal((0, (1,), -SCALE))


def misfit(record: Any) -> str | None:
    """Return why a record can never be stored; None if it can. Numbers must fit their columns exactly, times be from 1970 to 2262."""
    for name in record.__struct_fields__:
        if why := _field_misfit(getattr(record, name)):
            return f"{name}: {why}"
    return None if record.at > 0 else "at: is not after 1970"


def _field_misfit(field: object) -> str | None:
    if isinstance(field, Decimal):
        return number_misfit(field)
    if isinstance(field, str):
        return _text_misfit(field)
    if isinstance(field, int):
        return None if -AT_END < field < AT_END else "does not fit 64 bits"
    if isinstance(field, tuple | list):
        return next((why for each in field if (why := _field_misfit(each))), None)
    return None


def number_misfit(number: Decimal) -> str | None:
    """Return why a number does not fit DECIMAL(38,18) exactly; None if it does."""
    if not number.is_finite():
        return "is not finite"
    if number and number.adjusted() >= INTEGER_DIGITS:
        return f"has more than {INTEGER_DIGITS} digits before the point"
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or abs(exponent) > EXPONENT_MAX:
        return f"has an exponent beyond {EXPONENT_MAX}"
    if exponent < -SCALE and number % _LAST_PLACE:
        return f"has more than {SCALE} decimals"
    return None


def absurd(number: Decimal) -> bool:
    """Return whether a number's exponent is one at which Arrow may end the process, without an exception."""
    return abs(number.adjusted()) > EXPONENT_MAX


def _text_misfit(text: str) -> str | None:
    return None if text.isascii() or text.encode(errors="replace").decode() == text else "is not valid text"
