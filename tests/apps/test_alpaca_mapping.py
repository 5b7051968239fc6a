"""The pure mapping of the Alpaca facade: numbers, ids, symbols, times, states."""

from decimal import Decimal

import msgspec
import pytest

from apps.oms.alpaca.catalogue import AssetBook
from apps.oms.alpaca.ids import dashed, shown_id, undashed
from apps.oms.alpaca.moments import read_moment, shown_moment
from apps.oms.alpaca.numbers import NotANumber, read_number, text_of
from config.catalogue import load_instruments

LOT = Decimal("0.00001")


def read(text: str, step: Decimal | None = LOT) -> Decimal | None:
    return read_number(msgspec.Raw(text.encode()), "qty", step)


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        ("0.30000000000000004", "0.3"),
        ("9e-05", "0.00009"),
        ("9.000000000000001e-05", "0.00009"),
        ("0.1", "0.1"),
        ('"0.1"', "0.1"),
        ("1", "1"),
        ("1E+2", "100"),
        ("100.0", "100"),
        ("1e17", "100000000000000000"),
    ],
)
def test_a_json_number_near_a_multiple_of_the_step_is_that_multiple(sent: str, read_as: str) -> None:
    assert read(sent) == Decimal(read_as)


def test_a_string_is_taken_as_it_is_written_and_so_is_a_number_far_from_the_step() -> None:
    assert read('"0.300000000004"') == Decimal("0.300000000004")
    assert read("0.300005") == Decimal("0.300005")
    assert read("null") is None


@pytest.mark.parametrize("sent", ['"0.30000000000000004"', "1e-13", "1e18", '"1e-13"', "true", '"abc"', "-1", '""', '"NaN"', "[1]", '"1e"'])
def test_what_is_no_number_of_the_grammar_is_refused_by_name(sent: str) -> None:
    with pytest.raises(NotANumber, match="qty must"):
        read(sent)


def test_numbers_are_shown_without_exponent_and_trailing_zeros() -> None:
    assert text_of(Decimal("1E+3")) == "1000"
    assert text_of(Decimal("0.10")) == "0.1"
    assert text_of(Decimal("-0.0")) == "0"
    assert text_of(None) is None


def test_ids_are_read_in_both_spellings_and_name_generations() -> None:
    order_id = "0123456789abcdef0123456789abcdef"
    assert dashed(order_id) == "01234567-89ab-cdef-0123-456789abcdef"
    assert undashed("01234567-89AB-CDEF-0123-456789abcdef") == undashed(order_id) == order_id
    assert undashed("0123") is undashed("01234567-89abcdef-0123-4567-89abcdef0") is None
    assert shown_id(order_id, 1) == "01234567-89ab-cdef-0123-456789abcdee"


@pytest.mark.parametrize("spelling", ["BTC/USDT", "btc/usdt", "BTCUSDT", "btcusdt"])
def test_a_symbol_is_found_in_every_spelling(spelling: str) -> None:
    listings = AssetBook(load_instruments().instruments.values())
    found = listings.find(spelling)
    assert found is not None
    assert (found.symbol, found.shown, found.asset_class, found.base, found.quote) == ("BTCUSDT", "BTC/USDT", "crypto", "BTC", "USDT")
    assert listings.find(found.asset_id) is listings.find(found.asset_id.replace("-", "").upper()) is found


def test_an_equity_has_no_pair_and_a_former_symbol_is_still_shown() -> None:
    listings = AssetBook(load_instruments().instruments.values())
    assert (listings.of("AAPL").shown, listings.of("AAPL").asset_class) == ("AAPL", "us_equity")
    assert listings.of("GONE").shown == "GONE"
    assert listings.find("GONE") is None


def test_times_have_nine_digits_and_are_read_in_any_offset() -> None:
    at = 1_764_530_000_123_456_789
    assert shown_moment(at) == "2025-11-30T19:13:20.123456789Z"
    assert read_moment(shown_moment(at)) == at
    assert read_moment("2025-11-30T20:13:20.123456789 01:00") == at
    assert read_moment("2025-11-30") == read_moment("2025-11-30T00:00:00Z") == read_moment("2025-11-30T00:00:00")
