"""ccxt as it is, sync and async: its own words for what happened decide what its users do next."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.conftest import Facade
from tests.clients.spec import Oracle
from tests.clients.test_alpaca_py import until
from tests.clients.watched import watch

ccxt = pytest.importorskip("ccxt", reason="ccxt is not installed: run make clients-test, which installs it")


def exchange(facade: Facade, oracle: Oracle | None = None, library: Any = ccxt) -> Any:
    found = library.alpaca({"apiKey": facade.key_id, "secret": facade.secret})
    found.urls["api"] = {"trader": facade.base, "market": facade.base, "broker": facade.base}
    if oracle is not None:
        watch(found.session, oracle, facade.base)
    return found


def test_a_day_of_a_trader_fits_alpacas_own_description(facade: Facade) -> None:
    client = exchange(facade, Oracle())
    assert {"BTC/USDT", "ETH/USDT", "SOL/USDT"} <= set(client.load_markets())
    resting = client.create_order("BTC/USDT", "limit", "buy", 0.01, 44_000)
    assert (resting["status"], resting["amount"], resting["price"]) == ("open", 0.01, 44_000)
    until(lambda: client.fetch_order(resting["id"])["info"]["status"] == "new")
    edited = client.edit_order(resting["id"], "BTC/USDT", "limit", "buy", 0.02, 44_100)
    until(lambda: client.fetch_order(edited["id"])["info"]["status"] == "new")
    assert client.fetch_order(resting["id"])["info"]["replaced_by"] == edited["id"]
    assert [order["id"] for order in client.fetch_open_orders("BTC/USDT")] == [edited["id"]]
    client.cancel_order(edited["id"])
    until(lambda: client.fetch_order(edited["id"])["status"] == "canceled")

    bought = client.create_order("ETH/USDT", "market", "buy", 0.1)
    until(lambda: client.fetch_order(bought["id"])["status"] == "closed")
    (trade,) = client.fetch_my_trades("ETH/USDT")
    assert (trade["order"], trade["amount"], trade["side"]) == (bought["id"], 0.1, "buy")
    money = client.create_market_order_with_cost("SOL/USDT", "buy", 50)
    until(lambda: client.fetch_order(money["id"])["status"] == "closed")
    assert client.fetch_order(money["id"])["info"]["notional"] == "50"
    assert len(client.fetch_my_trades(since=trade["timestamp"])) == 2
    balance = client.fetch_balance()
    assert (balance["ETH"]["total"], balance["ETH"]["free"]) == (0.1, 0.1)
    assert balance["USD"]["free"] == pytest.approx(balance["USD"]["total"])
    assert client.fetch_ticker("BTC/USDT")["bid"] > 0
    assert client.fetch_order_book("BTC/USDT")["asks"]
    for timeframe in ("1m", "15m", "1h", "1d", "1w", "1M"):
        assert client.fetch_ohlcv("BTC/USDT", timeframe) == [], "nothing was recorded"
    with pytest.raises(ccxt.BadRequest, match="no market was recorded here"):
        client.fetch_trades("BTC/USDT")


@pytest.mark.parametrize(
    ("order", "error"),
    [
        (("BTC/USDT", "limit", "buy", 0.00001, 44_000), "InvalidOrder"),
        (("ETH/USDT", "market", "sell", 1), "InsufficientFunds"),
        (("BTC/USDT", "limit", "buy", 3, 44_000), "BadRequest"),
    ],
)
def test_an_order_that_is_refused_is_no_trouble_of_the_network(facade: Facade, order: tuple[Any, ...], error: str) -> None:
    client = exchange(facade)
    with pytest.raises(getattr(ccxt, error)):
        client.create_order(*order)


def test_other_refusals_are_no_trouble_of_the_network_either(made: Callable[..., Facade]) -> None:
    facade = made()
    client, reader = exchange(facade), exchange(made("a", "read"))
    with pytest.raises(ccxt.InvalidOrder):
        client.fetch_order("no-such-order")
    with pytest.raises(ccxt.PermissionDenied):
        reader.create_order("BTC/USDT", "limit", "buy", 0.01, 44_000)
    with pytest.raises(ccxt.PermissionDenied):
        exchange(facade._replace(secret="wrong")).load_markets()
    once = {"clientOrderId": "once"}
    client.create_order("BTC/USDT", "limit", "buy", 0.01, 44_000, once)
    with pytest.raises(ccxt.BadRequest):
        client.create_order("BTC/USDT", "limit", "buy", 0.01, 44_000, once)


async def test_the_async_client_trades_too(facade: Facade) -> None:
    library = pytest.importorskip("ccxt.async_support", reason="ccxt is not installed: run make clients-test, which installs it")
    client = exchange(facade, library=library)
    try:
        await client.load_markets()
        order = await client.create_order("BTC/USDT", "limit", "buy", 0.01, 44_000)
        assert (await client.fetch_order(order["id"]))["status"] == "open"
        await client.cancel_all_orders()
    finally:
        await client.close()
