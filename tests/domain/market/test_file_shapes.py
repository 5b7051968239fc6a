"""Columns by other names: hand-made rows in the shapes of docs/files.md."""

from typing import Any

import pytest

from domain.market import close_file, recorded
from domain.market.csv_rows import BadColumns, BadFile, columns_of
from tests.domain.market.test_files_as_people_have_them import READERS, read_closes
from tests.test_tidy import ROOT

SHAPES: dict[str, tuple[Any, str, str, str]] = {
    "bookTicker": (
        recorded,
        "time=transaction_time,symbol=@BTCUSDT,bid=best_bid_price,bid_size=best_bid_qty,ask=best_ask_price,ask_size=best_ask_qty",
        (
            "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n"
            "1,499.99,3,500.01,4,1767607200000,1767607200001\n"
        ),
        "BTCUSDT",
    ),
    "bookTicker of a stream": (
        recorded,
        "time=E,symbol=s,bid=b,bid_size=B,ask=a,ask_size=A",
        "u,E,s,b,B,a,A\n1,1767607200000,BTCUSDT,499.99,3,500.01,4\n",
        "BTCUSDT",
    ),
    "Databento mbp-1": (
        recorded,
        "time=ts_event,bid=bid_px_00/1000000000,bid_size=bid_sz_00,ask=ask_px_00/1000000000,ask_size=ask_sz_00",
        (
            "ts_recv,ts_event,rtype,bid_px_00,ask_px_00,bid_sz_00,ask_sz_00,symbol\n"
            "1767607200000000009,1767607200000000000,1,499990000000,500010000000,3,4,ESH6\n"
        ),
        "ESH6",
    ),
    "klines without a header": (
        close_file,
        "date=1,symbol=@BTCUSDT,close=5",
        "1767571200000,499,501,498,500.1,12,1767657599999,6000,9,6,3000,0\n",
        "BTCUSDT",
    ),
    "klines": (
        close_file,
        "date=open_time,symbol=@BTCUSDT",
        "open_time,open,high,low,close,volume\n1767571200000000,499,501,498,500.1,12\n",
        "BTCUSDT",
    ),
    "LEAN daily": (close_file, "date=1,symbol=@SPY,close=5/10000", "20260105 00:00,4990000,5010000,4980000,5001000,1200\n", "SPY"),
    "yfinance": (
        close_file,
        "date=Date,symbol=@AAPL,close=Close",
        "Date,Open,High,Low,Close,Adj Close,Volume\n2026-01-05 00:00:00-05:00,499,501,498,500.1,498.2,1200\n",
        "AAPL",
    ),
    "stooq": (
        close_file,
        "date=Date,symbol=@SPY,close=Close",
        "Date,Open,High,Low,Close,Volume\n2026-01-05,499,501,498,500.1,1200\n",
        "SPY",
    ),
    "stooq, many": (
        close_file,
        "date=<DATE>,symbol=<TICKER>,close=<CLOSE>",
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\nSPY,D,20260105,000000,499,501,498,500.1,1200,0\n",
        "SPY",
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_file_of_another_shape_is_read_by_naming_its_columns(shape: str) -> None:
    module, columns, text, symbol = SHAPES[shape]
    reader = READERS[module]
    good = {**reader.good[0], "symbol": symbol}
    assert reader.read(text, columns_of(columns, reader.columns)) == reader.read(reader.file(good))


def test_every_shape_is_in_the_documents() -> None:
    page = (ROOT / "docs/files.md").read_text("utf-8")
    assert [name for name, (_, columns, *_) in SHAPES.items() if f"`{columns}`" not in page] == []


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("time", "'time' is not NAME=COLUMN"),
        ("tim=ts", "'tim=ts' is not NAME=COLUMN, where NAME is one of time, symbol"),
        ("time=", "'time=' is not NAME=COLUMN"),
        ("time=a,time=b", "time is mapped twice"),
        ("time=1", "symbol, bid, bid_size, ask, ask_size needs a number"),
    ],
)
def test_columns_that_cannot_be_meant_are_refused(text: str, trouble: str) -> None:
    with pytest.raises(BadColumns, match=trouble):
        columns_of(text, recorded.COLUMNS)


def test_a_number_beyond_the_row_is_named() -> None:
    with pytest.raises(BadFile, match="line 1: there is no column 9: the row has 3"):
        read_closes("2026-01-05,SPY,1\n", columns_of("date=1,symbol=2,close=9", close_file.COLUMNS))


@pytest.mark.parametrize("nothing", ["", "nan", "9223372036854775807"])
def test_what_says_that_there_is_no_price_is_not_divided(nothing: str) -> None:
    columns = columns_of("bid=bid/1000000000", recorded.COLUMNS)
    file = f"time,symbol,bid,bid_size,ask,ask_size\n1767607200,SPY,{nothing},0,500.01,4\n"
    assert READERS[recorded].read(file, columns)[0].bid_size == 0


def test_a_divided_number_with_an_exponent_is_refused() -> None:
    with pytest.raises(BadFile, match="line 2: close"):
        read_closes("date,symbol,close\n2026-01-05,SPY,5e9\n", columns_of("close=close/1000000000", close_file.COLUMNS))
