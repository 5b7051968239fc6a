"""Numbers, identifiers and times at their edges."""

import threading
from decimal import Decimal, Inexact, InvalidOperation
from fractions import Fraction

import pytest
from hypothesis import assume
from hypothesis import given as drawn
from hypothesis import strategies as st

from domain.values import (
    IDENTIFIER,
    NUMBER,
    SYMBOL,
    Side,
    average,
    bounded,
    derived_id,
    divide,
    exact,
    from_rfc3339,
    is_multiple,
    is_symbol,
    opposite,
    order_id_of,
    plain,
    rfc3339,
    shard_of,
    signed,
    subject_token,
)

D = Decimal
identifiers = st.from_regex(IDENTIFIER, fullmatch=True)
symbols = st.from_regex(SYMBOL, fullmatch=True)
numbers = st.decimals("-999999999999999999", "999999999999999999", places=12)

# FAILURES 55, 58
NASTY = [
    *(
        " ",
        "-1",
        "-0",
        "+1",
        "01",
        "1.",
        ".5",
        "1e5",
        "1E999999",
        "NaN",
        "nan",
        "Infinity",
        "-Infinity",
        "0x10",
        "1_000",
        "1,5",
        "1 ",
        " 1",
    ),
    *("", "1\n", "1\0", "--1", "1..2", "1.2.3", "½", "²", "١", "１"),
    *("1.0000000000001", "1234567890123456789", "9" * 400, "0." + "0" * 400 + "1"),
]


@pytest.mark.parametrize("text", NASTY)
def test_nasty_numbers_are_not_numbers(text: str) -> None:
    assert not NUMBER.fullmatch(text)


@pytest.mark.parametrize(
    "text", ["0", "0.0", "1", "10", "0.1", "45000", "64250.123456789012", "999999999999999999.999999999999", "0.000000000001"]
)
def test_plain_numbers_are(text: str) -> None:
    assert NUMBER.fullmatch(text)
    assert bounded(D(text))


@pytest.mark.parametrize("text", sorted(set(NASTY) - {"1e5"}))
def test_nasty_numbers_are_not_read_either(text: str) -> None:
    assert exact(text) is None


@drawn(st.text(alphabet="0123456789.eE+-", max_size=24))
def test_what_is_read_is_a_plain_number_written_otherwise(text: str) -> None:
    found = exact(text)
    if found is not None:
        assert NUMBER.fullmatch(f"{found:f}")
        assert found == D(text)


@pytest.mark.parametrize(
    ("total", "quantity", "price"),
    [
        *(
            ("100", "3", "33.333333333333"),
            ("1", "3", "0.333333333333"),
            ("1e-10", "3", "0.0000000000333333333333"),
            ("-1", "3", "-0.333333333333"),
        ),
        *(("0", "3", "0"), ("3.7e-10", "3", "0.000000000123333333333"), ("0.1234", "10000", "0.00001234")),
    ],
)
def test_an_average_keeps_twelve_digits_however_small_it_is(total: str, quantity: str, price: str) -> None:
    assert plain(average(D(total), D(quantity))) == price


@drawn(numbers, st.decimals("0.000000000001", "999999999999", places=12))
def test_an_average_is_within_half_of_its_last_digit(total: Decimal, quantity: Decimal) -> None:
    found = average(total, quantity)
    true = Fraction(total) / Fraction(quantity)
    assert abs(Fraction(found) - true) <= min(Fraction(1, 2 * 10**12), abs(true) * Fraction(5, 10**12))


@pytest.mark.parametrize("text", ["", "a b", "a.b", "a*", ">", "a\n", "é", "а", "a" * 65, "a:b", "‮a", "a\0", "a/b", "💰", "a~b"])
def test_nasty_identifiers_are_not_identifiers(text: str) -> None:
    # FAILURES 58, 61, 63
    assert not IDENTIFIER.fullmatch(text)
    assert bool(SYMBOL.fullmatch(text)) is (text in ("a/b", "a.b"))


@pytest.mark.parametrize("text", ["NaN", "-NaN", "sNaN", "Infinity", "-Infinity", "1E+18", "1E+999999", "1E-13", "1E-999999", "-1E+18"])
def test_numbers_without_bound_are_recognised_before_any_arithmetic(text: str) -> None:
    assert not bounded(D(text))


@drawn(numbers)
def test_numbers_within_the_digits_are_bounded(value: Decimal) -> None:
    assert bounded(value)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        *(("1E+3", "1000"), ("1.0E+2", "100"), ("1E-8", "0.00000001"), ("100", "100"), ("1.500", "1.5"), ("-1.10", "-1.1"), ("0.1", "0.1")),
        *(("-0", "0"), ("-0.00", "0"), ("0E-12", "0"), ("0E+5", "0"), ("64250.123456789012", "64250.123456789012")),
    ],
)
def test_numbers_are_printed_as_people_write_them(text: str, written: str) -> None:
    assert plain(D(text)) == written


@drawn(numbers)
def test_printing_loses_nothing(value: Decimal) -> None:
    text = plain(value)
    assert D(text) == value
    assert "E" not in text
    assert value < 0 or NUMBER.fullmatch(text)


def test_arithmetic_is_exact_or_loud() -> None:
    # FAILURES 56
    largest = D("999999999999999999.999999999999")
    assert largest * largest * largest == D(int(largest * 10**12) ** 3).scaleb(-36)
    with pytest.raises(Inexact):
        _ = D(1) / D(3)
    with pytest.raises(InvalidOperation):
        _ = D("NaN") < D(1)


def test_a_new_thread_is_as_exact() -> None:
    caught: list[type[BaseException]] = []

    def third() -> None:
        try:
            _ = D(1) / D(3)
        except Inexact as error:
            caught.append(type(error))

    thread = threading.Thread(target=third)
    thread.start()
    thread.join()
    assert caught == [Inexact]


def test_a_quotient_is_rounded_in_one_place() -> None:
    assert divide(D(1), D(3)) == D("0.333333333333")
    assert divide(D(2), D(3)) == D("0.666666666667")
    assert divide(D(-2), D(3), 2) == D("-0.67")
    assert [divide(D(n), D(2), 0) for n in (1, 3, 5, -1, -3)] == [0, 2, 2, 0, -2], "half to even"


@drawn(numbers, numbers)
def test_a_quotient_is_within_half_a_unit_of_the_last_place(n: Decimal, d: Decimal) -> None:
    assume(d != 0)
    assert abs(Fraction(divide(n, d)) - Fraction(n) / Fraction(d)) <= Fraction(1, 2 * 10**12)


def test_multiples_are_exact() -> None:
    assert is_multiple(D("0.3"), D("0.1"))
    assert is_multiple(D("999999999999999999.99"), D("0.01"))
    assert not is_multiple(D("0.35"), D("0.1"))


def test_sides() -> None:
    assert signed(Side.BUY, D(3)) == 3 == -signed(Side.SELL, D(3))
    assert [opposite(side) for side in Side] == [Side.SELL, Side.BUY]


@pytest.mark.parametrize(
    ("at_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_769_860_800_123_456_789, "2026-01-31T12:00:00.123456Z"),
        (951_782_400_000_000_000, "2000-02-29T00:00:00.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_times_are_printed_in_utc_with_microseconds(at_ns: int, text: str) -> None:
    assert rfc3339(at_ns) == text
    assert from_rfc3339(text) == at_ns // 1000 * 1000


@drawn(st.integers(-62_135_596_800 * 10**9, 253_402_300_799 * 10**9))
def test_times_survive_the_round_trip(at_ns: int) -> None:
    assert from_rfc3339(rfc3339(at_ns)) == at_ns // 1000 * 1000


def test_other_zones_are_read() -> None:
    assert from_rfc3339("2026-01-31T14:00:00+02:00") == from_rfc3339("2026-01-31T12:00:00Z")


@pytest.mark.parametrize(
    "text", ["", "now", "2026-01-31", "2026-01-31T12:00:00", "2026-13-01T00:00:00Z", "2025-02-29T00:00:00Z", "1769860800"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any sentence will do
        from_rfc3339(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-10:00"])
def test_a_time_outside_the_calendar_is_refused_like_any_other(text: str) -> None:
    with pytest.raises(ValueError, match="years 1 to 9999"):
        from_rfc3339(text)


@drawn(identifiers, identifiers)
def test_an_order_id_is_one_of_a_kind_forever(account: str, client_order_id: str) -> None:
    assert order_id_of(account, client_order_id) == order_id_of(account, client_order_id)
    assert IDENTIFIER.fullmatch(order_id_of(account, client_order_id))
    assert order_id_of(account, client_order_id) != order_id_of(client_order_id, account) or account == client_order_id


def test_order_ids_do_not_change_between_releases() -> None:
    # a client's retry after an upgrade must find its order
    assert order_id_of("alice", "a-1") == "ecfcb87bc4e9cacf0d16f0c724ab8cf2"


@drawn(st.text(), st.data())
def test_two_ways_to_split_a_text_are_two_ids(text: str, data: st.DataObject) -> None:
    # FAILURES 63
    assume(text.encode(errors="ignore").decode() == text)
    one, other = (data.draw(st.integers(0, len(text))) for _ in range(2))
    assume(one != other)
    assert derived_id(text[:one], text[one:]) != derived_id(text[:other], text[other:])
    assert derived_id(text) != derived_id(text, "") != derived_id("", text) or text == ""


@drawn(symbols, symbols)
def test_two_symbols_are_two_tokens(one: str, other: str) -> None:
    # FAILURES 61
    assert not set(subject_token(one)) & set(".*> /")
    assert one == other or subject_token(one) != subject_token(other)


@pytest.mark.parametrize("symbol", ["BRK.B", "ES.FUT", "BTC/USD", "A.B/C.D", "BF.B", "RDS-A", "6E.Z26", "0.5X", "a" * 64])
def test_an_instrument_may_have_a_name_that_feeds_and_brokers_use(symbol: str) -> None:
    assert is_symbol(symbol)
    assert set(subject_token(symbol)) <= set(symbol) - set("./") | set("~=")


@pytest.mark.parametrize(
    "text", ["", ".", "..", ".A", "A.", "A..B", "A/.", "A/../B", "./A", "A/.B", "A./B", "A~B", "A=B", "A*", "a" * 65, "A.\n"]
)
def test_a_dot_never_shortens_a_path(text: str) -> None:
    # clients remove /./ and /../ from a URL before they send it
    assert not is_symbol(text)


def test_an_account_stays_in_its_shard() -> None:
    # fnv1a32: the published values of the algorithm, so that another program can compute the same
    assert [shard_of(text, 2**32) for text in ("", "a", "foobar")] == [0x811C9DC5, 0xE40C292C, 0xBF9CF968]
    assert {shard_of(f"account-{n}", 4) for n in range(100)} == {0, 1, 2, 3}
    assert shard_of("alice", 1) == 0
