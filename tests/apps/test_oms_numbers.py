"""Numbers in `POST /orders`: held against the grammar before any arithmetic, and kept to the last digit."""

import json
import time
import unicodedata
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.http.app import Refusal
from apps.http.body import exact_number
from domain.values import NUMBER, exact
from tests.apps.submits import malformed_at, read, refusal, with_raw

AT_ONCE_S = 0.010

ONES = [chr(code) for code in range(128, 0x110000) if unicodedata.category(chr(code)) == "Nd" and unicodedata.digit(chr(code)) == 1]
NUMBERS = [
    *("-0", "-0.0", "-1", "-0.1", "-1e5", "NaN", "-NaN", "nan", "Infinity", "-Infinity", "+Infinity", "inf", "-inf", "sNaN", "NaN123"),
    *("1e18", "1e-13", "0e-13", "1.0000000000000e-5", "-1e-5", "1e99", "1e-99", "1e100", "1e0005", "01e5", ".1e5", "1.e5", "1e 5"),
    *(
        "1e999999999",
        "1e-999999999",
        "0e999999999",
        "9" * 31 + "e-20",
        "1" + "0" * 400 + "e-400",
        "1e+-5",
        "1ee5",
        "1e999999",
        "1E+999999",
        "1e-999999",
        "-1e999999",
        "1e",
        "e1",
        "1e1.5",
    ),
    *("9" * 19, "9" * 400, "1" + "0" * 400, "0." + "0" * 12 + "1", "0." + "0" * 400 + "1", "9" * 5000, "1" + "0" * 60000),
    *("0x10", "0X10", "0b1", "0o7", "010", "00", "01", "00.1", "-01", ".5", "5.", ".", "+1", "+0", "--1", "-", "+", "1-", "1+1"),
    *("1_000", "1,000", "1.000.000", "1.0.0", "1 000", "1'000", "1/2", "1%", "$1", "1f", "1d", "1L", "1n", "1j", "0x1p3", "1;", "1#"),
    *("∞", "½", "²", "①", "Ⅷ", "一", "−1", "－1", "1٫5", "1。5", "1．5"),
    *ONES,
]
STRINGS = [
    *("", " ", " 1", "1 ", "\t1", "1\n", "1\r\n", "1\v", "\f1", "\u00a01", "1\u200b", "\ufeff1", "1\u2028", "\x001", "1\x00", "1\u202e"),
    *(
        "true",
        "null",
        "None",
        "undefined",
        "quantity",
        "'1'",
        '"1"',
        "1'; DROP TABLE fills; --",
        "${jndi:ldap://x}",
        "{{7*7}}",
        "1\\",
        "💥",
    ),
]
OTHERS = ["true", "false", "[]", "[1]", "[[1]]", "[null]", "{}", '{"a":1}', '{"quantity":1}', '{"a":{"b":[1]}}', '"\\u0031"', '"1\\u0030"']
NASTY = [*NUMBERS, *(json.dumps(each, ensure_ascii=False) for each in [*NUMBERS, *STRINGS]), *OTHERS]


def is_json(raw: str) -> bool:
    """Whether the text is a JSON value at all; only then is there a field to point at."""
    try:
        found = json.loads(raw, parse_constant=lambda name: NotImplemented, parse_int=str)
    except ValueError:
        return False
    return found is not NotImplemented  # Python takes NaN, JSON does not


def test_there_are_enough_nasty_values() -> None:
    assert len(set(NASTY)) == len(NASTY) > 200


@pytest.mark.parametrize("field", ["quantity", "price", "stop_price"])
def test_a_nasty_number_is_malformed_at_once(field: str) -> None:  # FAILURES 55
    for raw in NASTY:
        body = with_raw(field, raw)
        assert malformed_at(body) == (f"/{field}" if is_json(raw) else None), raw[:80]
        assert min(_seconds(body) for _ in range(3)) < AT_ONCE_S, raw[:80]


def _seconds(body: bytes) -> float:
    """Of the processor: how busy the machine is with others does not count."""
    began = time.process_time()
    refusal(body)
    return time.process_time() - began


def test_a_nasty_priority_is_malformed_at_once() -> None:  # FAILURES 55
    for raw in [*NASTY, "10", "-1", "1.0", "1.5", '"1"', "4294967296", "18446744073709551616"]:
        if raw != "-0":  # an integer like any other 0
            assert malformed_at(with_raw("priority", raw)) in (("/priority",) if is_json(raw) else ("/priority", None)), raw[:80]
    assert [read(with_raw("priority", raw)).priority for raw in ("-0", "0", "9", "null")] == [0, 0, 9, 0]


@pytest.mark.parametrize("raw", ["0", "0.0", '"0"', "0.000000000000", '"0.00"'])
def test_zero_is_well_formed_and_not_tradable(raw: str) -> None:  # FAILURES 55
    assert refusal(with_raw("quantity", raw)).code == "quantity_not_positive"
    assert refusal(with_raw("price", raw)).code == "price_not_positive"


@pytest.mark.parametrize("written", ["64250.123456789012", "999.999999999999", "5.000000000000", "123456789012345678.000000000001", "100"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_every_digit_is_kept(written: str, quote: str) -> None:  # FAILURES 56
    price = read(f'{{"symbol":"FINE","side":"buy","quantity":999.999999999999,"price":{quote}{written}{quote}}}'.encode()).price
    assert price is not None
    assert format(price, "f") == written


def test_every_digit_of_a_product_is_printed() -> None:  # FAILURES 56
    refused = refusal(b'{"symbol":"FINE","side":"buy","quantity":0.999999999999,"price":0.000000000001}')
    assert (refused.code, refused.extra["found"]) == ("notional_too_small", "0.000000000000999999999999")


@given(st.from_regex(NUMBER, fullmatch=True), st.booleans())
def test_what_the_grammar_allows_is_read_exactly(written: str, quoted: bool) -> None:  # FAILURES 56
    found = exact_number(msgspec.Raw(f'"{written}"'.encode() if quoted else written.encode()), "price")
    assert found is not None
    assert format(found, "f") == written


@pytest.mark.parametrize(
    ("written", "means"),
    [
        *(("1.234e-05", "0.00001234"), ("1e-12", "0.000000000001"), ("1E5", "100000"), ("1e+5", "100000"), ("1e-5", "0.00001")),
        *(("4.5e4", "45000"), ("0.1e1", "1"), ("1e17", "100000000000000000"), ("0e0", "0"), ("0e5", "0"), ("12.50e-1", "1.250")),
        *(("1.8446744073709552e-07", None), ("123456789012345678901234567890e-12", "123456789012345678.901234567890")),
    ],
)
@pytest.mark.parametrize("quote", ["", '"'])
def test_an_exponent_is_the_number_written_out(written: str, means: str | None, quote: str) -> None:
    raw = msgspec.Raw(f"{quote}{written}{quote}".encode())
    if means is None:
        with pytest.raises(Refusal):
            exact_number(raw, "price")
        return
    assert str(exact_number(raw, "price")) == str(Decimal(means))


@given(st.from_regex(NUMBER, fullmatch=True), st.integers(-12, 17))
def test_moving_the_point_into_an_exponent_changes_nothing(written: str, places: int) -> None:
    moved = f"{Decimal(written).scaleb(-places):f}e{places}"
    assert exact(moved) == Decimal(written)


def test_the_same_order_in_another_form_is_the_same_order() -> None:
    assert read(with_raw("price", "5e1")) == read(with_raw("price", "50"))
