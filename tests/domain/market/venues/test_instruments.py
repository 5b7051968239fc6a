"""What each venue's own list says of a symbol, in the venue's words."""

from decimal import Decimal

import pytest

from domain.market.venues.history import VenueRefusal
from domain.market.venues.instruments import ListedSymbol, instrument_list

BINANCE = (
    '{"timezone":"UTC","symbols":[{"symbol":"BTCUSDT","status":"%s","filters":[{"filterType":"PRICE_FILTER","minPrice":"0.01",'
    '"maxPrice":"1000000.00","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","minQty":"0.00001","stepSize":"0.00001000"}]}]}'
)
KRAKEN = '{"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","lot_decimals":8,"tick_size":"0.1","status":"%s"}}}'
COINBASE = '{"product_id":"BTC-USD","price_increment":"0.01","base_increment":"0.00000001","is_disabled":%s,"trading_disabled":%s}'


@pytest.mark.parametrize(
    ("kind", "name", "path", "body", "listed"),
    [
        ("binance_spot", "BTCUSDT", "/api/v3/exchangeInfo?symbol=BTCUSDT", BINANCE % "TRADING", ("0.01", "0.00001", True)),
        ("binance_spot", "BTCUSDT", "/api/v3/exchangeInfo?symbol=BTCUSDT", BINANCE % "BREAK", ("0.01", "0.00001", False)),
        ("kraken", "BTC/USD", "/0/public/AssetPairs?pair=BTC%2FUSD", KRAKEN % "online", ("0.1", "0.00000001", True)),
        ("kraken", "BTC/USD", "/0/public/AssetPairs?pair=BTC%2FUSD", KRAKEN % "cancel_only", ("0.1", "0.00000001", False)),
        ("coinbase", "BTC-USD", "/api/v3/brokerage/market/products/BTC-USD", COINBASE % ("false", "false"), ("0.01", "0.00000001", True)),
        ("coinbase", "BTC-USD", "/api/v3/brokerage/market/products/BTC-USD", COINBASE % ("false", "true"), ("0.01", "0.00000001", False)),
    ],
)
def test_a_listed_symbol_has_its_steps(kind: str, name: str, path: str, body: str, listed: tuple[str, str, bool]) -> None:
    found = instrument_list(kind)
    assert found is not None
    tick, lot, trades = listed
    assert found.path(name) == path
    assert found.read(name, 200, body) == ListedSymbol(Decimal(tick), Decimal(lot), trades)


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        ("binance_spot", 400, '{"code":-1121,"msg":"Invalid symbol."}'),
        ("kraken", 200, '{"error":["EQuery:Unknown asset pair"]}'),
        ("coinbase", 404, '{"error":"NOT_FOUND","error_details":"valid product_id is required","message":"valid product_id is required"}'),
        ("coinbase", 200, COINBASE % ("true", "true")),
    ],
)
def test_only_the_venues_own_word_makes_a_symbol_gone(kind: str, status: int, body: str) -> None:
    found = instrument_list(kind)
    assert found is not None
    assert found.read("X", status, body) is None


@pytest.mark.parametrize("kind", ["binance_spot", "kraken", "coinbase"])
@pytest.mark.parametrize(
    ("status", "body"),
    [(404, '{"msg":"not found"}'), (200, "{}"), (429, "{}"), (500, "{}"), (200, BINANCE.replace("BTC", "ETH") % "TRADING")],
)
def test_a_reply_that_says_nothing_of_the_symbol_is_refused(kind: str, status: int, body: str) -> None:
    found = instrument_list(kind)
    assert found is not None
    with pytest.raises(VenueRefusal):
        found.read("BTCUSDT", status, body)


def test_a_venue_whose_list_is_not_public_has_none() -> None:
    assert instrument_list("alpaca_crypto") is None
