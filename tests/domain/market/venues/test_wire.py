"""Numbers and times as venues write them."""

from decimal import Decimal

import pytest

from domain.market.venues.wire import REMEMBERED_MAX, NumberReader, TimeReader, unix_time


@pytest.mark.parametrize("text", ["0", "0.00", "1", "45285.20", "1e-7", "1E+3", "0.000000000001", "9999999999999999999", "-1.5", "-0"])
def test_a_number_is_exact_and_keeps_its_digits(text: str) -> None:
    reader = NumberReader()
    for _ in range(2):
        assert str(reader.number(text)) == str(Decimal(text))


@pytest.mark.parametrize(
    "text",
    [
        *("", " 1", "1 ", "1_0", "١", "NaN", "sNaN", "Infinity", "-Infinity", "+1", ".5", "5.", "01", "0x1", "1e", "null", '"1"'),
        *("1e400", "1e-400", "1e19", "1e-13", "1" * 31, "1." + "1" * 30, "9" * 49, "0e-400", "1e99999999999"),
    ],
)
def test_what_is_no_number_or_outside_the_bounds_is_refused(text: str) -> None:
    """Absurd print: NaN, 1e400, more digits than allowed."""
    reader = NumberReader()
    assert reader.number(text) is None
    assert reader.levels([("1", "1"), (text, "1")]) is None
    assert reader.levels([("1", "1"), ("1", text)]) is None


def test_a_level_has_a_price_above_zero_and_a_size_of_zero_or_more() -> None:
    reader = NumberReader()
    assert reader.levels([("1.0", "0.00"), ("2", "3")]) == [(Decimal(1), Decimal(0)), (Decimal(2), Decimal(3))]
    for price, size in (("0", "1"), ("-1", "1"), ("-0", "1"), ("1", "-1")):
        assert reader.levels([(price, size)]) is None
    assert reader.above_zero("0.0") is None
    assert reader.above_zero("-2") is None
    assert reader.above_zero("2") == 2


def test_what_is_remembered_has_a_bound() -> None:
    reader = NumberReader()
    for number in range(REMEMBERED_MAX + 2):
        reader.number(str(number))
    assert reader.number("7") == 7
    assert len(reader._known) == 3  # forgotten once, then 20000, 20001 and 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-30T10:00:00Z", 1_796_032_800_000_000_000),
        ("2026-11-30T10:00:00.1Z", 1_796_032_800_100_000_000),
        ("2026-11-30T10:00:00.123456789Z", 1_796_032_800_123_456_789),
        ("2026-11-30T10:00:00.000000001Z", 1_796_032_800_000_000_001),
        *((text, None) for text in ("", "x", "2026-11-30T10:00:00", "2026-11-30T10:00:00+00:00", "2026-13-30T10:00:00Z")),
        *((text, None) for text in ("1969-12-31T23:59:59Z", "2300-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "2026-11-30T10:00:60Z")),
        ("2026-11-30T10:00:00.1234567890Z", None),
    ],
)
def test_times(text: str, expected: int | None) -> None:
    reader = TimeReader()
    for _ in range(2):
        assert reader.nanoseconds(text) == expected


def test_unix_times_are_milliseconds_or_microseconds() -> None:
    assert unix_time(1_672_515_782_136) == 1_672_515_782_136_000_000
    assert unix_time(1_672_515_782_136_789) == 1_672_515_782_136_789_000
    assert unix_time(-1) is None
    assert unix_time(10**17) is None
