"""Which numbers fit a column of ticks, against the digits of the number as written out."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from domain.archive.misfit import EXPONENT_MAX, number_misfit


@given(st.integers(0, 10**44), st.integers(-EXPONENT_MAX, 30), st.booleans())
def test_a_number_fits_if_it_has_at_most_20_digits_before_the_point_and_18_behind_it(digits: int, exponent: int, negative: bool) -> None:
    number = Decimal(-digits if negative else digits).scaleb(exponent)
    whole, _, part = format(abs(number), "f").partition(".")
    fits = len(whole.lstrip("0")) <= 20 and len(part.rstrip("0")) <= 18
    assert (number_misfit(number) is None) == fits


def test_what_is_no_number_or_has_an_absurd_exponent_does_not_fit() -> None:
    assert [number_misfit(Decimal(text)) is None for text in ("NaN", "Infinity", "0E-77", "0E+77", "1E+400", "0", "1E-12")] == [
        *[False] * 5,
        True,
        True,
    ]
