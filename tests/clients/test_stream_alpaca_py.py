"""The stream with alpaca-py as it is."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.clients.conftest import Facade
from tests.clients.spec import ORDER, Oracle
from tests.clients.test_alpaca_py import limit, trader, until

pytest.importorskip("alpaca", reason="alpaca-py is not installed: run make clients-test, which installs it")

from alpaca.trading.requests import MarketOrderRequest, ReplaceOrderRequest
from alpaca.trading.stream import TradingStream

STOPS_S = 60.0


class Received:
    """What a client's handler was given."""

    def __init__(self) -> None:
        self.updates: list[Any] = []

    async def handler(self, update: Any) -> None:
        self.updates.append(update)

    def events(self) -> list[str]:
        return [
            update["data"]["event"] if isinstance(update, dict) else str(getattr(update.event, "value", update.event))
            for update in self.updates
        ]


@contextmanager
def streaming(facade: Facade, *, raw: bool = False, path: str = "/stream") -> Iterator[Received]:
    """A stream that runs in a thread of its own and listens to its account: it yields after the updates of a first order."""
    received = Received()
    stream = TradingStream(facade.key_id, facade.secret, raw_data=raw, url_override=facade.base.replace("http", "ws") + path)
    stream.subscribe_trade_updates(received.handler)
    running = threading.Thread(target=stream.run, daemon=True)
    running.start()
    until(lambda: stream._running)
    client = trader(facade)
    first = client.submit_order(limit(44_000))
    client.cancel_order_by_id(first.id)
    until(lambda: "canceled" in received.events())
    received.updates.clear()
    yield received
    stream.stop()
    running.join(STOPS_S)
    assert not running.is_alive()


@pytest.mark.parametrize("path", ["/stream", "/stream/"])
def test_the_life_of_an_order_is_sent(facade: Facade, path: str) -> None:
    with streaming(facade, path=path) as received:
        order = trader(facade).submit_order(MarketOrderRequest(symbol="BTC/USDT", qty=0.05, side="buy", time_in_force="gtc"))
        until(lambda: "fill" in received.events())
        assert received.events()[:2] == ["accepted", "pending_new"]
        assert received.events().count("new") == 1
        fill = received.updates[-1]
        assert (fill.order.id, str(fill.order.status.value)) == (order.id, "filled")
        held = until(lambda: trader(facade).get_open_position("BTC/USDT").qty)
        assert fill.position_qty == float(held)
        assert len({update.execution_id for update in received.updates}) == len(received.updates)


def test_a_replace_is_sent_with_both_ids_and_every_order_fits_alpacas_own_description(facade: Facade) -> None:
    with streaming(facade, raw=True) as received:
        client = trader(facade)
        old = client.submit_order(limit(44_000))
        until(lambda: "new" in received.events())
        new = client.replace_order_by_id(old.id, ReplaceOrderRequest(limit_price=44_100))
        until(lambda: received.events().count("new") == 2)
        client.cancel_order_by_id(new.id)
        until(lambda: "canceled" in received.events())
    sent = [(update["data"]["event"], update["data"]["order"]["id"]) for update in received.updates]
    names = ["accepted", "pending_new", "new", "pending_replace", "replaced"]
    assert sent == [*((name, str(old.id)) for name in names), *((name, str(new.id)) for name in ("new", "pending_cancel", "canceled"))]
    for update in received.updates:
        Oracle._fits(ORDER, update["data"]["order"], update["data"]["event"])
    replaced = received.updates[4]["data"]["order"]
    assert (replaced["status"], replaced["replaced_by"]) == ("replaced", str(new.id))


def test_nothing_of_another_account_is_sent(made: Callable[..., Facade]) -> None:
    with streaming(made("a")) as received, streaming(made("b")) as other:
        trader(made("b")).submit_order(MarketOrderRequest(symbol="BTC/USDT", qty=0.05, side="buy", time_in_force="gtc"))
        until(lambda: "fill" in other.events())
        assert received.updates == []
