"""Historical trades and quotes with alpaca-trade-api as it is, run as a program with the packages of that client.

APCA_API_DATA_URL and BASE are in the environment. Every answer is printed as a line of JSON: method, path below the base, status, text.
"""

from typing import Final

from tests.clients.trade_api_day import client

WINDOW: Final = {"start": "2026-11-23T00:00:00Z", "end": "2026-11-23T23:59:59Z"}


def main() -> None:
    api = client()
    trades = api.get_trades("AAPL", **WINDOW)
    assert [(trade.i, trade.p, trade.x) for trade in trades] == [(number, 250 + number, "ALPHA") for number in range(3)]
    assert len(api.get_trades(["AAPL"], **WINDOW, limit=2)) == 2
    assert [quote.bp for quote in api.get_quotes("AAPL", **WINDOW)] == [250, 251, 252]
    assert [(trade.i, trade.tks) for trade in api.get_crypto_trades("BTC/USDT", **WINDOW, limit=2)] == [(0, "S"), (1, "B")]
    assert [quote.ap for quote in api.get_crypto_quotes("BTC/USDT", **WINDOW, limit=3)] == [45_001, 45_002, 45_003]
    assert api.get_latest_trade("AAPL").p == api.get_latest_trades(["AAPL"])["AAPL"].p == 260
    assert api.get_latest_bar("AAPL").c == 260
    assert api.get_latest_quote("AAPL").bp > 0
    assert api.get_snapshot("AAPL").latest_trade.p == 260


if __name__ == "__main__":
    main()
