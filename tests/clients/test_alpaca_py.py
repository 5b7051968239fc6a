"""alpaca-py as it is."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.conftest import Facade
from tests.clients.spec import ANSWERS, Oracle
from tests.clients.watched import watch

pytest.importorskip("alpaca", reason="alpaca-py is not installed: run make clients-test, which installs it")

from alpaca.common.exceptions import APIError
from alpaca.data.historical import CryptoHistoricalDataClient
from alpaca.data.requests import (
    CryptoBarsRequest,
    CryptoLatestOrderbookRequest,
    CryptoLatestQuoteRequest,
    CryptoLatestTradeRequest,
    CryptoSnapshotRequest,
    CryptoTradesRequest,
)
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetAssetsRequest,
    GetCalendarRequest,
    GetOrderByIdRequest,
    GetOrdersRequest,
    GetPortfolioHistoryRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLossRequest,
    TakeProfitRequest,
    TrailingStopOrderRequest,
)

SETTLES_S = 60.0


def trader(facade: Facade, oracle: Oracle | None = None) -> Any:
    client = TradingClient(facade.key_id, facade.secret, url_override=facade.base)
    if oracle is not None:
        watch(client._session, oracle, facade.base)
    return client


def until(found: Callable[[], Any]) -> Any:
    """What is found as soon as it is something."""
    deadline = time.monotonic() + SETTLES_S
    while not (result := found()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return result


def limit(price: float, quantity: float = 0.1, **rest: Any) -> Any:
    return LimitOrderRequest(symbol="BTC/USDT", qty=quantity, side="buy", time_in_force="gtc", limit_price=price, **rest)


def refused(call: Callable[[], Any]) -> tuple[int, int, str]:
    with pytest.raises(APIError) as found:
        call()
    return found.value.status_code, found.value.code, found.value.message


def test_a_day_of_a_trader_fits_alpacas_own_description(facade: Facade) -> None:
    oracle = Oracle()
    client = trader(facade, oracle)
    assert client.get_clock().is_open
    assert len(client.get_calendar(GetCalendarRequest(start="2026-11-01", end="2026-11-07"))) == 7
    assert {asset.symbol for asset in client.get_all_assets(GetAssetsRequest(asset_class="crypto"))} >= {"BTC/USDT", "ETH/USDT"}
    assert client.get_asset("btcusdt").symbol == "BTC/USDT"

    resting = client.submit_order(limit(44_000.0, 0.1 + 0.2, client_order_id="Mine, #1"))
    assert (resting.qty, resting.status) == ("0.3", "accepted")
    assert client.get_order_by_client_id("Mine, #1").id == resting.id
    until(lambda: client.get_order_by_id(resting.id).status == "new")
    newer = client.replace_order_by_id(resting.id, ReplaceOrderRequest(limit_price=44_100.5))
    until(lambda: client.get_order_by_id(newer.id).status == "new")
    older = client.get_order_by_id(resting.id)
    assert (older.status, older.replaced_by, client.get_order_by_id(newer.id).replaces) == ("replaced", newer.id, resting.id)

    bought = client.submit_order(MarketOrderRequest(symbol="BTCUSDT", qty=0.05, side="buy", time_in_force="gtc"))
    filled = until(lambda: (order := client.get_order_by_id(bought.id)).status == "filled" and order)
    assert (filled.filled_qty, filled.filled_at is not None) == ("0.05", True)
    (fill,) = client.get("/account/activities/FILL")
    assert (fill["order_id"], fill["qty"], fill["price"]) == (str(bought.id), "0.05", filled.filled_avg_price)
    position = client.get_open_position("BTC/USDT")
    assert (position.qty, position.avg_entry_price) == ("0.05", filled.filled_avg_price)
    history = client.get_portfolio_history(GetPortfolioHistoryRequest(period="1D", timeframe="1Min"))
    assert len(history.timestamp) == len(history.equity) == len(history.profit_loss_pct)
    account = client.get_account()
    assert account.account_number.endswith("-a")
    assert float(account.long_market_value) > 0
    configuration = client.get_account_configurations()
    configuration.suspend_trade = True
    assert client.set_account_configurations(configuration).suspend_trade
    assert refused(lambda: client.submit_order(limit(44_000))) == (403, 40310000, "new orders are rejected by user request")
    configuration.suspend_trade = False
    assert not client.set_account_configurations(configuration).suspend_trade

    money = client.submit_order(MarketOrderRequest(symbol="SOL/USDT", notional=250.5, side="buy", time_in_force="gtc"))
    assert (money.notional, money.qty) == ("250.5", None)
    until(lambda: client.get_order_by_id(money.id).status == "filled")
    half = client.close_position("BTCUSDT", ClosePositionRequest(percentage="50"))
    assert half.qty == "0.025"
    until(lambda: client.get_open_position("BTC/USDT").qty == "0.025")
    assert [closing.status for closing in client.close_all_positions(cancel_orders=True)] == [200, 200]
    until(lambda: not client.get_all_positions())
    assert [order.status for order in client.get_orders(GetOrdersRequest(status="all", symbols=["BTC/USDT"], limit=2))] == ["filled"] * 2
    client.submit_order(limit(44_000))
    assert [answer.status for answer in client.cancel_orders()] == [200]
    assert {(method, path) for method, path, _, _ in ANSWERS} == {(method, path) for method, path, _ in oracle.seen}


def test_refusals_have_alpacas_numbers_and_words(made: Callable[..., Facade]) -> None:
    facade = made()
    oracle = Oracle()
    client, reader = trader(facade, oracle), trader(made("a", "read"))
    order = client.submit_order(limit(44_000, client_order_id="once"))
    assert refused(lambda: client.submit_order(limit(44_000, client_order_id="once"))) == (422, 40010001, "client_order_id must be unique")
    client.cancel_order_by_id(order.id)
    until(lambda: client.get_order_by_id(order.id).status == "canceled")
    assert refused(lambda: client.cancel_order_by_id(order.id)) == (422, 42210000, 'order is already in "canceled" state')
    assert refused(lambda: client.submit_order(limit(44_000, 0.00001))) == (
        403,
        40310000,
        "cost basis must be >= minimal amount of order 5",
    )
    sale = MarketOrderRequest(symbol="ETH/USDT", qty=1, side="sell", time_in_force="gtc")
    assert refused(lambda: client.submit_order(sale)) == (403, 40310000, "insufficient balance for ETH (requested: 1, available: 0)")
    assert refused(lambda: client.get_open_position("ETH/USDT")) == (404, 40410000, "position does not exist")
    assert refused(lambda: reader.submit_order(limit(44_000))) == (403, 40310000, "forbidden.")
    assert refused(lambda: reader.get("/nothing")) == (404, 40410000, "GET /v2/nothing is not served here")
    stranger = trader(facade._replace(secret=facade.secret[:-1] + "A"))
    assert refused(stranger.get_account) == (401, 40110000, "request is not authorized")
    other = trader(made("b"))
    assert refused(lambda: other.get_order_by_id(order.id)) == (404, 40410000, f"order not found for {order.id}")


def exits(gain: float, stop: float) -> dict[str, Any]:
    return {"take_profit": TakeProfitRequest(limit_price=gain), "stop_loss": StopLossRequest(stop_price=stop)}


def test_a_bracket_is_entry_and_exits_and_an_oco_is_exits_of_what_is_held(facade: Facade) -> None:
    client = trader(facade, Oracle())
    market = {"symbol": "BTC/USDT", "qty": 0.05, "side": "buy", "time_in_force": "gtc"}
    entry = client.submit_order(MarketOrderRequest(**market, order_class="bracket", **exits(52_000, 38_000)))
    gain, loss = entry.legs
    assert [(leg.order_class, leg.type, leg.side, leg.qty, leg.status) for leg in (gain, loss)] == [
        ("bracket", "limit", "sell", "0.05", "held"),
        ("bracket", "stop", "sell", "0.05", "held"),
    ]
    until(lambda: client.get_order_by_id(gain.id).status == "new")
    nested = client.get_order_by_id(entry.id, GetOrderByIdRequest(nested=True))
    assert (nested.status, [(leg.id, leg.status) for leg in nested.legs]) == ("filled", [(gain.id, "new"), (loss.id, "new")])
    listed = client.get_orders(GetOrdersRequest(status="open", nested=True))
    assert [(order.id, len(order.legs)) for order in listed] == [(entry.id, 2)]
    newer = client.replace_order_by_id(loss.id, ReplaceOrderRequest(stop_price=38_100))
    assert client.get_order_by_id(newer.id).stop_price == "38100"
    assert refused(lambda: client.replace_order_by_id(gain.id, ReplaceOrderRequest(qty=1)))[:2] == (422, 42210000)
    client.cancel_orders()
    until(lambda: not client.get_orders())
    oco = LimitOrderRequest(**market | {"side": "sell"}, order_class="oco", **exits(52_000, 38_000))
    first = client.submit_order(oco)
    assert [(leg.order_class, leg.type, leg.side) for leg in first.legs] == [("oco", "stop", "sell")]
    assert refused(lambda: client.submit_order(oco))[:2] == (403, 40310000)
    client.cancel_orders()
    until(lambda: not client.get_orders())
    oto = client.submit_order(limit(44_000, order_class="oto", stop_loss=StopLossRequest(stop_price=38_000, limit_price=37_900)))
    assert [(leg.type, leg.status) for leg in oto.legs] == [("stop_limit", "held")]
    client.cancel_order_by_id(oto.id)
    until(lambda: client.get_order_by_id(oto.legs[0].id).status == "canceled")


def test_a_trailing_stop_shows_its_mark_and_its_trail_is_replaced(facade: Facade) -> None:
    client = trader(facade, Oracle())
    asked = TrailingStopOrderRequest(symbol="BTC/USDT", qty=0.05, side="buy", time_in_force="gtc", trail_percent=2.5)
    order = client.submit_order(asked)
    assert (order.type, order.trail_percent, order.trail_price) == ("trailing_stop", "2.5", None)
    seen = until(lambda: found if (found := client.get_order_by_id(order.id)).hwm else None)
    assert (seen.status, float(seen.stop_price) > float(seen.hwm) > 0) == ("new", True), "a buy trails above the lowest price"
    newer = client.replace_order_by_id(order.id, ReplaceOrderRequest(trail=5))
    assert (newer.replaces, newer.trail_percent) == (order.id, "5")
    assert float(client.get_order_by_id(newer.id).stop_price) <= float(seen.stop_price), "a wider trail does not loosen"
    by_amount = client.submit_order(TrailingStopOrderRequest(symbol="BTC/USDT", qty=0.05, side="buy", time_in_force="day", trail_price=500))
    assert (by_amount.trail_price, by_amount.trail_percent) == ("500", None)
    client.cancel_orders()
    until(lambda: not client.get_orders())


def test_market_data_needs_no_key(facade: Facade) -> None:
    data = CryptoHistoricalDataClient(url_override=facade.base)
    watch(data._session, Oracle(), facade.base)
    quote = data.get_crypto_latest_quote(CryptoLatestQuoteRequest(symbol_or_symbols="BTC/USDT"))["BTC/USDT"]
    assert 0 < quote.bid_price < quote.ask_price
    book = data.get_crypto_latest_orderbook(CryptoLatestOrderbookRequest(symbol_or_symbols="BTC/USDT"))["BTC/USDT"]
    assert book.bids[0].price < book.asks[0].price
    bars = CryptoBarsRequest(symbol_or_symbols="BTC/USDT", timeframe=TimeFrame.Minute)
    assert data.get_crypto_bars(bars).data == {}, "nothing was recorded"
    assert data.get_crypto_latest_bar(bars) == data.get_crypto_latest_trade(CryptoLatestTradeRequest(symbol_or_symbols="BTC/USDT")) == {}
    trades = CryptoTradesRequest(symbol_or_symbols="BTC/USDT")
    assert refused(lambda: data.get_crypto_trades(trades))[:2] == refused(lambda: data.get_crypto_quotes(trades))[:2] == (422, 42210000)
    assert data.get_crypto_snapshot(CryptoSnapshotRequest(symbol_or_symbols="BTC/USDT"))["BTC/USDT"].latest_quote is not None
