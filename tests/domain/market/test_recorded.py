"""A recorded market is read exactly, or refused with the line that is wrong."""

from decimal import Decimal
from pathlib import Path

import pytest

from config.catalogue import load_instruments
from domain.instruments import Instrument
from domain.market.prints import Print, Prints
from domain.market.quotes import Market, Quote
from domain.market.recorded import BadQuotes, read_quotes
from domain.paper.venue import PaperVenue
from domain.values import Side

DATA = Path(__file__).parents[2] / "data"
HEADER = "time,symbol,bid,bid_size,ask,ask_size"
X = Instrument(symbol="X", tick=Decimal("0.5"), lot=Decimal("0.1"), quantity_max=Decimal(100), notional_min=Decimal(0), currency="USD")


def read(*rows: str) -> object:
    return read_quotes("\n".join((HEADER, *rows)).splitlines(keepends=True), {"X": X})


def test_numbers_are_exact_and_sizes_are_cut_down_to_lots() -> None:
    (quote,) = read_quotes([HEADER, "2018-04-04T00:01:00,X,99.5,4.9E-7,100.0,35.35399601000002"], {"X": X})
    assert isinstance(quote, Quote)
    assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size) == (Decimal("99.5"), Decimal(0), Decimal(100), Decimal("35.3"))
    assert quote.at == 1_522_800_060_000_000_000


@pytest.mark.parametrize("name", ["quotes_crypto_2018-04-04.csv", "quotes_equity_2013-10-04.csv"])
def test_a_day_of_real_quotes_can_be_read(name: str) -> None:
    lines = (DATA / name).read_text().splitlines()
    assert len(read_quotes(lines, load_instruments().instruments)) == len(lines) - 1


GOOD = "2018-04-04T00:01:00,X,99.5,1,100,1"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2018-04-04T00:01:00,X,99.7,1,100,1", "bid 99.7 is not a positive whole number of ticks of 0.5"),
        ("2018-04-04T00:01:00,X,0,1,100,1", "bid 0 is not a positive whole number of ticks of 0.5"),
        ("2018-04-04T00:01:00,X,99.5,-1,100,1", "bid_size '-1' is below zero"),
        ("2018-04-04T00:01:00,X,99.5,NaN,100,1", "bid_size 'NaN' is not a number below 1e18"),
        ("2018-04-04T00:01:00,X,99.5,1,1e999999,1", "ask '1e999999' is not a number below 1e18"),
        ("2018-04-04T00:01:00,Y,99.5,1,100,1", "unknown symbol 'Y'"),
        ("2018-04-04T00:01:00,X,1e50,1,1e99,1", "bid '1e50' is not a number below 1e18"),
        ("2018-04-04T00:01:00,X,99.5,1,100,1e90", "ask_size '1e90' is not a number below 1e18"),
        ("2018-04-04T00:01:00,X,99.5,1,100." + "0" * 41 + ",1", "ask '100." + "0" * 41 + "' is not a number below 1e18"),
        ("yesterday,X,99.5,1,100,1", "'yesterday' is not a time"),
        ("2018-04-04T00:00:59,X,99.5,1,100,1", "the time is earlier than that of the row before"),
        ("2018-04-04T00:01:00,X,99.5,1,100", "5 fields where 6 are needed"),
    ],
)
def test_a_bad_row_is_named_by_its_line(row: str, reason: str) -> None:
    with pytest.raises(BadQuotes, match="line 3: ") as refused:
        read(GOOD, row)
    assert str(refused.value) == f"line 3: {reason}"


PRINTS_HEADER = f"{HEADER},print_price,print_quantity,print_side"


def test_a_file_may_have_prints_in_order_with_its_quotes() -> None:
    rows = [PRINTS_HEADER, f"{GOOD},,,", "2018-04-04T00:01:00,X,,,,,99.5,0.25,sell"]
    first, second = read_quotes(rows, {"X": X})
    assert isinstance(first, Quote)
    printed = Print(Decimal("99.5"), Decimal("0.25"), Side.SELL)
    assert second == Prints(symbol="X", venue="", prints=(printed,), epoch=0, n=0, at=first.at)
    assert [first] == read_quotes([HEADER, GOOD], {"X": X}), "files without prints play as before"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",,,,99.5,1,both", "print_side 'both' is neither buy nor sell"),
        (",,,,99.5,1,", "print_side '' is neither buy nor sell"),
        (",,,,,1,buy", "print_price '' is not a number below 1e18"),
        (",,,,99.5,much,buy", "print_quantity 'much' is not a number below 1e18"),
        (",,,,99.5,0,buy", "services would refuse this print: size"),
        (",,,,0,1,buy", "services would refuse this print: price"),
        ("99.5,1,,,99.5,1,buy", "a row is a quote or a print, not both"),
    ],
)
def test_a_bad_print_is_named_by_its_line(row: str, reason: str) -> None:
    with pytest.raises(BadQuotes) as refused:
        read_quotes([PRINTS_HEADER, f"{GOOD},,,", f"2018-04-04T00:01:00,X,{row}"], {"X": X})
    assert str(refused.value) == f"line 3: {reason}"


def test_prints_alone_cannot_be_played() -> None:
    with pytest.raises(BadQuotes, match="line 1: there are no quotes that can be played"):
        read_quotes([PRINTS_HEADER, "2018-04-04T00:01:00,X,,,,,99.5,1,sell"], {"X": X})


def test_a_wrong_header_and_an_empty_file_are_refused() -> None:
    with pytest.raises(BadQuotes, match="line 1: the columns must be time,symbol"):
        read_quotes(["time,symbol,price\n", GOOD], {"X": X})
    with pytest.raises(BadQuotes, match="line 1: there are no quotes that can be played"):
        read()
    with pytest.raises(BadQuotes, match="line 1: the file is empty"):
        read_quotes([], {"X": X})


def test_a_side_that_shows_nothing_neither_fills_nor_wakes_what_it_has_not_reached() -> None:
    venue = PaperVenue("V", {"X": X}, Decimal(1), Decimal(1))
    (shown,) = read_quotes([HEADER, "2018-04-04T00:01:00,X,,,100,5"], {"X": X})
    assert isinstance(shown, Quote)
    display = venue.display_of(shown)
    assert display.size(Side.SELL, None) == 0
    assert display.size(Side.BUY, None) == 5
    # a sell stop wakes when the bid has come down to it, and no bid is above the ask
    assert shown.touch(Side.SELL) == shown.ask == 100
    market = Market()
    market.update(shown, 1)
    assert (market.best("X", Side.SELL), market.best("X", Side.BUY), market.mid("X")) == (None, Decimal(100), None)
