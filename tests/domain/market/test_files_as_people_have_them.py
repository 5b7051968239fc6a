"""Files of closes and quotes as Excel, pandas, exchanges and vendors write them: read exactly, or refused by their line."""

from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.instruments import Instrument
from domain.market import close_file, recorded
from domain.market.csv_rows import BadFile, Columns, kept, measured
from domain.market.file_times import day_of, instant_of
from domain.market.quotes import CROSSED
from domain.values import ZERO
from tests.test_tidy import ROOMS, imports, name_of, sources

D = Decimal


def instrument(symbol: str, tick: str = "0.01") -> Instrument:
    return Instrument(symbol=symbol, tick=D(tick), lot=D("0.001"), quantity_max=D(10**6), notional_min=ZERO, currency="USD")


INSTRUMENTS = {symbol: instrument(symbol) for symbol in ("AAPL", "SPY", "BTCUSDT", "BRK.B", "ESH6")}
TODAY = day_of("2026-02-01")


def read_closes(text: str, columns: Columns | None = None, notes: Counter[str] | None = None) -> list[tuple[int, str, Decimal]]:
    rows = close_file.read_closes(text.splitlines(keepends=True), INSTRUMENTS, "test", TODAY, columns, notes)
    return [(row.day, row.symbol, row.price) for row in rows]


def read_quotes(text: str, columns: Columns | None = None, notes: Counter[str] | None = None) -> list[Any]:
    return recorded.read_quotes(text.splitlines(keepends=True), INSTRUMENTS, columns, notes)


class Reader(NamedTuple):
    """A reader of files, one good file of two rows for it, and what is refused of it by design."""

    read: Callable[..., list[Any]]
    columns: tuple[str, ...]
    good: tuple[Mapping[str, str], Mapping[str, str]]
    unsorted_is_refused: bool
    repeated_is_refused: bool
    rows_max: str

    def file(self, *rows: Mapping[str, str], end: str = "\n") -> str:
        return "".join(",".join(cells) + end for cells in (self.columns, *([row[name] for name in self.columns] for row in rows)))


def quote_row(**changes: str) -> dict[str, str]:
    return {"time": "2026-01-05T10:00:00Z", "symbol": "BRK.B", "bid": "499.99", "bid_size": "3", "ask": "500.01", "ask_size": "4"} | changes


def close_row(**changes: str) -> dict[str, str]:
    return {"date": "2026-01-05", "symbol": "BRK.B", "close": "500.1"} | changes


READERS = {
    close_file: Reader(read_closes, close_file.COLUMNS, (close_row(), close_row(date="2026-01-06")), False, True, "ROWS_MAX"),
    recorded: Reader(read_quotes, recorded.COLUMNS, (quote_row(), quote_row(time="2026-01-05T10:00:01Z")), True, False, "ROWS_MAX"),
}
every_reader = pytest.mark.parametrize("module", READERS, ids=lambda module: module.__name__)
NUMERIC = [(close_file, "close"), *((recorded, name) for name in recorded.COLUMNS[2:])]


def test_every_reader_of_rows_is_tried_here() -> None:
    of_rows = {name_of(path) for path in sources(*ROOMS) if "domain.market.csv_rows.read_rows" in imports(path)}
    assert of_rows == {f"{module.__name__.replace('.', '/')}.py" for module in READERS}
    assert [name_of(path) for path in sources(*ROOMS) if "csv" in imports(path)] == ["domain/market/csv_rows.py"]


@every_reader
@pytest.mark.parametrize(
    "written",
    [
        lambda file: "\ufeff" + file,
        lambda file: file.replace("\n", "\r\n"),
        lambda file: "\ufeff" + file.replace("\n", "\r\n"),
        lambda file: file.replace("\n", "\n\n"),
        lambda file: "\n\r\n  \n" + file + "\n \n",
        lambda file: file + ",,\n",
        lambda file: "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in file.splitlines()),
        lambda file: "\ufeff" + "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in file.splitlines()),
        lambda file: file.replace(",", " , "),
        lambda file: file.upper(),
        lambda file: "\n".join(",".join((*line.split(","), "more")) for line in file.splitlines()),
        lambda file: "\n".join(",".join(reversed(line.split(","))) for line in file.splitlines()),
        lambda file: file.rstrip("\n"),
    ],
)
def test_the_same_rows_in_another_dress_are_the_same_rows(module: Any, written: Callable[[str], str]) -> None:
    reader = READERS[module]
    file = reader.file(*reader.good)
    assert reader.read(written(file)) == reader.read(file)
    assert len(reader.read(file)) == 2


@every_reader
@pytest.mark.parametrize("text", ["", "\n", "\ufeff", "\ufeff\r\n", " \n \n"])
def test_an_empty_file_is_refused(module: Any, text: str) -> None:
    with pytest.raises(BadFile, match="the file is empty"):
        READERS[module].read(text)


@every_reader
def test_a_file_of_a_header_alone_is_refused(module: Any) -> None:
    with pytest.raises(BadFile, match="line 1: there are no"):
        READERS[module].read(READERS[module].file())


@every_reader
def test_a_file_that_is_too_long_is_refused_at_the_row_that_is_too_many(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, READERS[module].rows_max, 1)
    with pytest.raises(BadFile, match="line 3: more than 1 rows"):
        READERS[module].read(READERS[module].file(*READERS[module].good))


@every_reader
def test_rows_out_of_order_are_refused_where_the_order_means_something(module: Any) -> None:
    reader = READERS[module]
    file = reader.file(*reversed(reader.good))
    if not reader.unsorted_is_refused:
        assert sorted(reader.read(file)) == sorted(reader.read(reader.file(*reader.good)))
        return
    with pytest.raises(BadFile, match="line 3: "):
        reader.read(file)


@every_reader
def test_a_row_that_is_there_twice_is_refused_where_it_could_hide_another(module: Any) -> None:
    reader = READERS[module]
    file = reader.file(reader.good[0], reader.good[0])
    if not reader.repeated_is_refused:
        assert len(reader.read(file)) == 2
        return
    with pytest.raises(BadFile, match="line 3: "):
        reader.read(file)


@every_reader
def test_a_column_that_is_missing_or_there_twice_is_named(module: Any) -> None:
    reader = READERS[module]
    file = reader.file(*reader.good)
    for name in reader.columns:
        with pytest.raises(BadFile, match=f"line 1: the columns must be .* there is no column '{name}'"):
            reader.read(file.replace(name, "other", 1) if name != "bid" and name != "ask" else file.replace(f"{name},", "other,", 1))
        with pytest.raises(BadFile, match=f"line 1: the columns must be .* the column '{name}' occurs 2 times"):
            reader.read("\n".join(f"{name if not n else '1'},{line}" for n, line in enumerate(file.splitlines())))


@pytest.mark.parametrize(("module", "field"), NUMERIC, ids=lambda each: getattr(each, "__name__", each))
@pytest.mark.parametrize(
    "number",
    [
        "inf",
        "-inf",
        "1e50",
        "1e999999999",
        "1e-999999999",
        "1e18",
        "9" * 400,
        "-1",
        "0x10",
        "1_000",
        "1,5",
        "1.2.3",
        "--1",
        "½",
        "١",
        "one",
        ".",
    ],
)
def test_what_is_no_number_of_ours_is_named_by_its_line(module: Any, field: str, number: str) -> None:
    first, second = READERS[module].good
    with pytest.raises(BadFile, match="line 3: "):
        READERS[module].read(READERS[module].file(first, {**second, field: f'"{number}"'}))


@pytest.mark.parametrize(("module", "field"), NUMERIC, ids=lambda each: getattr(each, "__name__", each))
def test_a_number_with_an_exponent_is_the_number_written_out(module: Any, field: str) -> None:
    first, second = READERS[module].good
    written = f"{D(second[field]):e}".replace("e", "00e") if "." in second[field] else f"{second[field]}000e-03"
    assert READERS[module].read(READERS[module].file(first, {**second, field: written})) == READERS[module].read(
        READERS[module].file(first, second)
    )


# Numbers


@pytest.mark.parametrize(
    ("written", "stored", "rounded"),
    [
        *(("270.1199951171875", "270.119995117188", True), ("270.12", "270.12", False), ("0.0000000000005", None, True)),
        *(
            ("0.0000000000015", "0.000000000002", True),
            ("1e-12", "0.000000000001", False),
            ("1.5e3", "1500", False),
            ("270.", "270", False),
        ),
        *(("0.1000000000000000055511151231257827", "0.1", True), ("205.540000000000", "205.54", False)),
    ],
)
def test_a_close_is_kept_to_twelve_places_and_the_rounding_is_reported(written: str, stored: str | None, rounded: bool) -> None:
    notes: Counter[str] = Counter()
    file = READERS[close_file].file(close_row(close=written))
    if stored is None:
        with pytest.raises(BadFile, match="line 2: close"):
            read_closes(file)
        return
    assert read_closes(file, None, notes) == [(day_of("2026-01-05"), "BRK.B", D(stored))]
    assert notes[close_file.ROUNDED] == rounded


@given(st.from_regex(r"-?\d{1,18}(\.\d{0,40})?([eE][+-]?0?\d{1,2})?", fullmatch=True))
def test_whatever_is_written_is_measured_and_kept_without_a_trap(text: str) -> None:
    number = measured(text)
    if number is not None and text.isascii():
        assert number == D(text)
        assert abs(kept(number) - number) * 2 <= D(1).scaleb(-12)


@pytest.mark.parametrize(("bid", "on_tick"), [("270.1199951171875", "270.12"), ("270.12000000000001", "270.12"), ("270.1", "270.1")])
def test_a_quote_that_a_float_has_moved_is_put_on_its_tick_and_counted(bid: str, on_tick: str) -> None:
    notes: Counter[str] = Counter()
    (quote,) = read_quotes(READERS[recorded].file(quote_row(bid=bid)), None, notes)
    assert (quote.bid, notes[recorded.ROUNDED]) == (D(on_tick), bid != on_tick)


def test_a_quote_between_two_ticks_is_refused() -> None:
    with pytest.raises(BadFile, match=r"line 2: bid 270.121 is not a positive whole number of ticks of 0.01"):
        read_quotes(READERS[recorded].file(quote_row(bid="270.121")))


# Dates and times


@pytest.mark.parametrize(
    "written",
    [
        *("2026-01-05", "20260105", "2026-01-05 00:00:00", "2026-01-05T00:00:00", "2026-01-05 00:00:00-05:00", "2026-01-05 00:00:00+09:00"),
        *("2026-01-05T00:00:00Z", "2026-01-05T00:00:00.000000Z", "2026-01-05 00:00:00 UTC", "20260105 00:00", "2026-01-05 00:00"),
        *("1767571200", "1767571200000", "1767571200000000", "1767571200000000000", "1767571200.0", "1.7675712e9", "1.7675712E+12"),
    ],
)
def test_a_day_is_the_one_that_is_written(written: str) -> None:
    assert read_closes(READERS[close_file].file(close_row(date=written))) == [(20458, "BRK.B", D("500.1"))]


@pytest.mark.parametrize(
    ("written", "trouble"),
    [
        ("2026-01-05 16:00:00-05:00", "has a time of day"),
        ("1767589200", "is a count since 1970 that is not midnight UTC"),
        ("1509010100000", "is a count since 1970 that is not midnight UTC"),
        ("05/01/2026", "is not a date like"),
        ("2026-02-30", "is not a date like"),
        ("2026-1-5", "is not a date like"),
        ("20261332", "is not a date like"),
        ("", "is not a date like"),
        ("46027", "is not a date like"),
        ("0", "is not a date like"),
        ("9" * 400, "is not a date like"),
    ],
)
def test_a_day_that_cannot_be_known_is_refused(written: str, trouble: str) -> None:
    with pytest.raises(BadFile, match=f"line 2: '{written}' {trouble}"):
        read_closes(READERS[close_file].file(close_row(date=written)))


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("1509010100000", 1_509_010_100_000_000_000),
        ("1509010100", 1_509_010_100_000_000_000),
        ("1509010100.25", 1_509_010_100_250_000_000),
        ("1509010100250", 1_509_010_100_250_000_000),
        ("1509010100250001", 1_509_010_100_250_001_000),
        ("1509010100250001002", 1_509_010_100_250_001_002),
        ("2017-10-26T09:28:20.250001002Z", 1_509_010_100_250_001_002),
        ("2017-10-26 09:28:20", 1_509_010_100_000_000_000),
        ("2017-10-26 11:28:20+02:00", 1_509_010_100_000_000_000),
        ("20171026 09:28:20", 1_509_010_100_000_000_000),
        ("2017-10-26", 1_508_976_000_000_000_000),
    ],
)
def test_a_time_is_read_to_the_nanosecond(written: str, at: int) -> None:
    assert instant_of(written) == at


@pytest.mark.parametrize(
    "written", ["", "yesterday", "1509", "09:28", "2017-10-26T25:00:00Z", "2017-13-01", "1e99", "NaN", "-1509010100", "٢٠١٧-10-26"]
)
def test_what_is_no_time_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        instant_of(written)


@given(st.integers(10**8 * 10**9, 2**63 - 1))
def test_a_count_is_the_same_moment_in_every_unit_that_can_write_it(at: int) -> None:
    assert instant_of(str(at)) == at
    assert [instant_of(str(at // unit)) for unit in (10**3, 10**6, 10**9)] == [at // unit * unit for unit in (10**3, 10**6, 10**9)]


# Quotes of one side, and crossed ones


@pytest.mark.parametrize("nothing", ["", "NaN", "nan", "None", "null", "9223372036854775807"])
@pytest.mark.parametrize("side", ["bid", "ask"])
def test_a_side_without_a_price_shows_nothing(side: str, nothing: str) -> None:
    notes: Counter[str] = Counter()
    (quote,) = read_quotes(READERS[recorded].file(quote_row(**{side: nothing, f"{side}_size": ""})), None, notes)
    other = "ask" if side == "bid" else "bid"
    assert (getattr(quote, f"{side}_size"), getattr(quote, side)) == (0, getattr(quote, other))
    assert getattr(quote, f"{other}_size") > 0
    assert notes[recorded.ONE_SIDED] == 1


def test_a_price_of_zero_with_no_size_is_no_price() -> None:
    (quote,) = read_quotes(READERS[recorded].file(quote_row(bid="0", bid_size="0")))
    assert (quote.bid_size, quote.ask) == (0, D("500.01"))


def test_a_crossed_row_is_left_out_and_counted() -> None:
    notes: Counter[str] = Counter()
    first, second = READERS[recorded].good
    file = READERS[recorded].file(first, {**first, "bid": "500.02"}, {**first, "bid": "", "ask": ""}, second)
    assert read_quotes(file, None, notes) == read_quotes(READERS[recorded].file(first, second))
    assert (notes[CROSSED], notes[recorded.EMPTY]) == (1, 1)
