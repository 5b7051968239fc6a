"""Trades of the past, as each venue's REST interface writes them, and the page that follows."""

from decimal import Decimal

import pytest

from domain.market.venues import history
from domain.market.venues.history import (
    BackfillPage,
    BinanceHistory,
    CoinbaseHistory,
    KrakenHistory,
    PastSpan,
    PastTrade,
    VenueRefusal,
    backfill_page,
)
from domain.market.venues.names import KINDS
from domain.values import Side
from tests.domain.market.venues.folds import Told

S = 1_000_000_000
SPAN = PastSpan(1_688_669_597 * S, 1_688_669_700 * S)
KRAKEN_PAGE = (
    '{"error":[],"result":{"XXBTZUSD":[["30243.40000","0.34507674",1688669597.8277369,"b","m","",61044952],'
    '["30243.30000","0.00376960",1688669598.2804112,"s","l","",61044953]],"last":"1688669598280411200"}}'
)


def test_binance_finds_the_first_trade_by_time_and_continues_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PAGE_TRADES", 2)
    binance, span = BinanceHistory(), PastSpan(1_700_000_000_000_000_001, 1_700_000_009 * S)
    first = binance.first("btcusdt", span)
    assert first == "/api/v3/aggTrades?symbol=BTCUSDT&startTime=1700000000001&limit=1"
    by_number = "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=100&limit=2"
    assert binance.page(first, span, '[{"a":7,"p":"1","q":"1","f":100,"l":105,"T":1700000000004,"m":true,"M":true}]') == (
        [],
        by_number,
        False,
    )
    assert binance.page(first, span, "[]").next == ""
    assert binance.page(first, span, '[{"a":7,"p":"1","q":"1","f":100,"l":105,"T":1700000009000,"m":true}]').next == ""
    row = '{"id":%d,"price":"4.5","qty":"12.0","quoteQty":"54","time":%d,"isBuyerMaker":true,"isBestMatch":true}'
    page = binance.page(by_number, span, f"[{row % (100, 1_700_000_000_004)},{row % (101, 1_700_000_000_005)}]")
    assert page.trades[0] == PastTrade(Decimal("4.5"), Decimal(12), Side.SELL, "100", 1_700_000_000_004_000_000, 100)
    assert page.next == "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=102&limit=2"
    assert binance.page(by_number, span, f"[{row % (100, 1_700_000_000_004)}]").next == "", "a page that is not full is the last one"
    assert binance.page(by_number, span, f"[{row % (100, 1)},{row % (101, 1_700_000_009_000)}]").next == "", "the range ends here"


def test_kraken_continues_from_its_last_moment_and_its_times_are_those_of_the_websocket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PAGE_TRADES", 2)
    kraken = KrakenHistory()
    first = kraken.first("BTC/USD", SPAN)
    assert first == "/0/public/Trades?pair=BTC%2FUSD&since=1688669596999999999&count=2"
    page = kraken.page(first, SPAN, KRAKEN_PAGE)
    assert page.trades[0] == PastTrade(
        Decimal("30243.40000"), Decimal("0.34507674"), Side.BUY, "61044952", 1_688_669_597_827_736_000, 61044952
    )
    assert page.trades[1].side is Side.SELL
    assert page.next == "/0/public/Trades?pair=BTC%2FUSD&since=1688669598280411200&count=2"
    assert kraken.page(page.next, SPAN, KRAKEN_PAGE).next == "", "a page that leads to itself is the last one"
    with pytest.raises(VenueRefusal, match="EAPI:Rate limit exceeded"):
        kraken.page(first, SPAN, '{"error":["EAPI:Rate limit exceeded"]}')


def test_coinbase_goes_backwards_by_seconds_and_says_if_a_second_has_more_than_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PAGE_TRADES", 1)
    coinbase = CoinbaseHistory()
    first = coinbase.first("BTC-USD", SPAN)
    assert first == "/api/v3/brokerage/market/products/BTC-USD/ticker?limit=1&start=1688669597&end=1688669700"
    row = '{"trades":[{"trade_id":"7","product_id":"BTC-USD","price":"2.5","size":"1","time":"%s","side":"BUY","exchange":"X"}]}'
    page = coinbase.page(first, SPAN, row % "2023-07-06T18:54:10.25Z")
    assert page.trades == [PastTrade(Decimal("2.5"), Decimal(1), Side.SELL, "7", 1_688_669_650_250_000_000)]
    assert page.next == "/api/v3/brokerage/market/products/BTC-USD/ticker?limit=1&start=1688669597&end=1688669651"
    again = coinbase.page(page.next, SPAN, row % "2023-07-06T18:54:10.25Z")
    assert (again.next, again.undivided) == ("", True)
    assert coinbase.page(first, SPAN, row % "2023-07-06T18:53:16Z").next == "", "older than the range"


def test_a_page_says_in_its_frame_which_range_it_is_of() -> None:
    page = BackfillPage(SPAN, 3)
    assert backfill_page(page.text()) == page
    for text in ("backfill 1 2", "backfill a b c", "weather 1 2 3", ""):
        with pytest.raises(ValueError, match=r".+"):
            backfill_page(text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("head", "body", "fact"),
    [
        ("200 /x?a=1 backfill 1 2 1", "{", "refused"),
        ("429 /x backfill 1 2 1", "", "limited"),
        ("403 /x backfill 1 2 1", "", "refused"),
        ("200 /x weather", "", "rejected_frame"),
        ("200 /x backfill 1 2", "", "rejected_frame"),
    ],
)
def test_a_reply_that_is_no_page_is_a_fact_and_breaks_no_book(kind: str, head: str, body: str, fact: str) -> None:
    told = Told(kind, {"BTC": "BTC"})
    assert [each.fact for each in told.rest(f"BTC {head}\n{body}", 1)] == [fact]  # type: ignore[union-attr]
    assert told.rest(f"OTHER {head}\n{body}", 1) == [] or fact == "rejected_frame", "it was no longer requested"
