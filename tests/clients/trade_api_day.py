"""A trader's day with alpaca-trade-api as it is, run as a program with the packages of that client.

ID, SECRET and BASE are in the environment. Every answer is printed as a line of JSON: method, path below the base, status, text.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from alpaca_trade_api import REST, Stream
from alpaca_trade_api.rest import APIError

SETTLES_S: Final = 60.0
BASE: Final = os.environ["BASE"]


def until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SETTLES_S
    while not (result := found()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return result


def refused(call: Callable[[], Any]) -> tuple[int, str]:
    try:
        call()
    except APIError as error:
        return error.status_code, str(error)
    raise AssertionError("it was not refused")


def show(answer: Any, *_: Any, **__: Any) -> None:
    path = unquote(urlsplit(answer.url).path).removeprefix(urlsplit(BASE).path)
    print(json.dumps([answer.request.method, path, answer.status_code, answer.text]))


def client() -> Any:
    made = REST(os.environ["ID"], os.environ["SECRET"], base_url=BASE)
    made._session.hooks["response"].append(show)
    return made


def orders(api: Any) -> None:
    resting = api.submit_order(
        "BTC/USDT", qty=0.1 + 0.2, side="buy", type="limit", time_in_force="gtc", limit_price=44_000.0, client_order_id="Mine, #1"
    )
    assert (resting.qty, resting.status) == ("0.3", "accepted")
    assert api.get_order_by_client_order_id("Mine, #1").id == resting.id
    until(lambda: api.get_order(resting.id).status == "new")
    newer = api.replace_order(resting.id, limit_price=44_100.5)
    until(lambda: api.get_order(newer.id).status == "new")
    assert api.get_order(resting.id).replaced_by == newer.id
    assert [order.id for order in api.list_orders(symbols=["BTC/USDT"])] == [newer.id]
    api.cancel_order(newer.id)
    until(lambda: api.get_order(newer.id).status == "canceled")
    assert refused(lambda: api.cancel_order(newer.id)) == (422, 'order is already in "canceled" state')
    once = {"qty": 0.1, "side": "buy", "type": "limit", "time_in_force": "gtc", "limit_price": 44_000, "client_order_id": "Mine, #1"}
    assert refused(lambda: api.submit_order("BTC/USDT", **once)) == (422, "client_order_id must be unique")
    entry = api.submit_order(
        "BTC/USDT",
        qty=0.01,
        side="buy",
        type="limit",
        time_in_force="gtc",
        limit_price=44_000,
        order_class="bracket",
        take_profit={"limit_price": 52_000},
        stop_loss={"stop_price": 38_000, "limit_price": 37_900},
    )
    assert [api.get_order(leg.id).status for leg in entry.legs] == ["held", "held"]
    api.cancel_all_orders()
    until(lambda: not api.list_orders())


def reads(api: Any) -> None:
    account = api.get_account()
    assert float(account.cash) == float(account.equity) - float(account.long_market_value) - float(account.short_market_value)
    assert api.get_clock().is_open
    assert len(api.get_calendar("2026-11-02", "2026-11-03")) == 2
    assert api.get_asset("btcusdt").symbol == "BTC/USDT"
    assert {asset.symbol for asset in api.list_assets(asset_class="us_equity")} >= {"AAPL"}
    assert not api.get_account_configurations().suspend_trade
    history = api.get_portfolio_history(period="1D", timeframe="1Min")
    assert len(history.timestamp) == len(history.equity) == len(history.profit_loss_pct)
    assert api.get_latest_crypto_quotes(["BTC/USDT"])["BTC/USDT"].bp > 0
    assert api.get_latest_crypto_orderbooks(["BTC/USDT"])["BTC/USDT"].asks


def trades(api: Any) -> None:
    """A fill by the stream, in the positions and in the activities; then the position is closed."""
    stream = Stream(os.environ["ID"], os.environ["SECRET"], base_url=BASE)
    received: list[Any] = []

    async def receive(update: Any) -> None:
        received.append(update)
        if update.event == "fill":
            await stream.stop_ws()

    async def buy() -> None:
        while not stream._trading_ws._running:
            await asyncio.sleep(0.02)
        for _ in range(2):  # the client shows when it has asked to listen, not when that was answered: only the first order may be missed
            await asyncio.sleep(1)
            await asyncio.to_thread(
                api.submit_order, "BTC/USDT", qty=0.01, side="buy", type="limit", time_in_force="gtc", limit_price=46_000
            )

    async def both() -> None:
        await asyncio.gather(stream._run_forever(), buy())

    stream.subscribe_trade_updates(receive)
    asyncio.run(both())
    fill = received[-1]
    assert (fill.event, fill.order["status"], fill.qty) == ("fill", "filled", "0.01")
    until(lambda: api.get_position("BTCUSDT").qty == "0.02")
    assert [position.symbol for position in api.list_positions()] == ["BTC/USDT"]
    newest, oldest = api.get_activities("FILL")
    assert [each.id for each in api.get_activities("FILL", page_size=1, page_token=newest.id)] == [oldest.id]
    assert api.close_position("BTCUSDT", qty=0.01).qty == "0.01"
    until(lambda: api.get_position("BTCUSDT").qty == "0.01")
    api.close_all_positions()
    until(lambda: not api.list_positions())


def main() -> None:
    api = client()
    orders(api)
    reads(api)
    trades(api)


if __name__ == "__main__":
    main()
