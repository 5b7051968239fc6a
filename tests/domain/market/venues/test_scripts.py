"""What a connection sends to each kind of venue."""

import json

import pytest

from domain.market.venues.feed import KEY_PLACEHOLDER, SECRET_PLACEHOLDER, Fetch, Opening, Send
from domain.market.venues.kinds import decoder, script
from domain.market.venues.names import KINDS
from domain.market.venues.scripts import BATCH_MAX, kraken_depth

PAIRS = {"BTC/USDT": "BTCUSDT", "ETH/USDT": "ETHUSDT"}


def said(actions: object) -> list[object]:
    assert isinstance(actions, (list, tuple))
    return [
        json.loads(action.text) if isinstance(action, Send) else (action.path, action.venue_symbol, action.weight) for action in actions
    ]


def test_binance_names_its_streams_in_an_address_without_a_path() -> None:
    binance = script("binance_spot", "ws://127.0.0.1:9/", PAIRS, 0)
    assert binance.url() == "ws://127.0.0.1:9/stream?streams=btcusdt@depth@100ms/btcusdt@trade/ethusdt@depth@100ms/ethusdt@trade"
    assert said(binance.opening()) == [
        ("/api/v3/depth?symbol=BTCUSDT&limit=1000", "BTCUSDT", 50),
        ("/api/v3/depth?symbol=ETHUSDT&limit=1000", "ETHUSDT", 50),
    ]
    assert said(binance.resync("ETH/USDT")) == [("/api/v3/depth?symbol=ETHUSDT&limit=1000", "ETHUSDT", 50)]


@pytest.mark.parametrize("path", ["/ws", "/stream"])
def test_binance_subscribes_by_message_on_an_address_with_a_path(path: str) -> None:
    binance = script("binance_spot", f"ws://127.0.0.1:9{path}", {"BTC/USDT": "BTCUSDT"}, 0)
    assert binance.url() == f"ws://127.0.0.1:9{path}"
    assert said(binance.opening()) == [
        {"method": "SUBSCRIBE", "params": ["btcusdt@depth@100ms", "btcusdt@trade"], "id": 1},
        ("/api/v3/depth?symbol=BTCUSDT&limit=1000", "BTCUSDT", 50),
    ]


def test_many_symbols_are_subscribed_to_in_bounded_batches() -> None:
    many = {f"S{number}": f"V{number}" for number in range(120)}
    binance = script("binance_spot", "ws://127.0.0.1:9", many, 0)
    assert binance.url() == "ws://127.0.0.1:9/stream"
    batches = [json.loads(action.text)["params"] for action in binance.opening() if isinstance(action, Send)]
    assert [len(batch) for batch in batches] == [50, 50, 50, 50, 40]
    assert sum(isinstance(action, Fetch) for action in binance.opening()) == 120
    for kind in ("kraken", "coinbase"):
        for message in said(script(kind, "ws://127.0.0.1:9", many, 10).opening()):
            assert isinstance(message, dict)
            assert len(message.get("params", {}).get("symbol", message.get("product_ids", []))) <= BATCH_MAX


def test_binance_refuses_more_symbols_than_a_connection_may_have() -> None:
    with pytest.raises(ValueError, match="at most 512 symbols, not 513"):
        script("binance_spot", "ws://127.0.0.1:9", {str(number): str(number) for number in range(513)}, 0)


def test_kraken_subscribes_to_book_and_trades_and_resubscribes_to_one_book() -> None:
    kraken = script("kraken", "ws://127.0.0.1:9/v2", {"BTC/USD": "BTC/USD"}, 11)
    book = {"channel": "book", "symbol": ["BTC/USD"], "depth": 25}
    trades = {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": False}
    assert kraken.url() == "ws://127.0.0.1:9/v2"
    assert said(kraken.opening()) == [{"method": "subscribe", "params": book}, {"method": "subscribe", "params": trades}]
    assert said(kraken.resync("BTC/USD")) == [{"method": "unsubscribe", "params": book}, {"method": "subscribe", "params": book}]
    assert said([kraken.keepalive()]) == [{"method": "ping"}]


def test_kraken_offers_five_depths() -> None:
    assert [kraken_depth(wanted) for wanted in (0, 10, 11, 25, 26, 101, 501, 5000)] == [10, 10, 25, 25, 100, 500, 1000, 1000]


def test_coinbase_subscribes_to_one_channel_a_message() -> None:
    coinbase = script("coinbase", "ws://127.0.0.1:9", {"BTC/USD": "BTC-USD"}, 0)
    assert said(coinbase.opening()) == [
        {"type": "subscribe", "channel": "heartbeats"},
        {"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "level2"},
        {"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "market_trades"},
    ]
    assert said(coinbase.resync("BTC/USD")) == [
        {"type": "unsubscribe", "product_ids": ["BTC-USD"], "channel": "level2"},
        {"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "level2"},
    ]


def test_alpaca_logs_in_with_placeholders_and_subscribes_once_it_is_authenticated() -> None:
    alpaca = script("alpaca_crypto", "ws://127.0.0.1:9/v1beta3/crypto/us", {"BTC/USD": "BTC/USD"}, 0)
    assert said(alpaca.opening()) == [{"action": "auth", "key": KEY_PLACEHOLDER, "secret": SECRET_PLACEHOLDER}]
    assert said(alpaca.answer('[{"T":"success","msg":"connected"}]')) == []
    assert said(alpaca.answer('[{"T":"success","msg":"authenticated"}]')) == [
        {"action": "subscribe", "orderbooks": ["BTC/USD"], "trades": ["BTC/USD"]}
    ]
    assert said(alpaca.resync("BTC/USD")) == [
        {"action": "unsubscribe", "orderbooks": ["BTC/USD"]},
        {"action": "subscribe", "orderbooks": ["BTC/USD"]},
    ]


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=f"'okx' is no kind of venue; known are {', '.join(KINDS)}"):
        script("okx", "ws://127.0.0.1:9", {}, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_script_and_a_decoder(kind: str) -> None:
    assert script(kind, "ws://127.0.0.1:9", PAIRS, 10).opening()
    assert decoder("V", Opening(kind=kind, url="ws://127.0.0.1:9", symbols=PAIRS, depth=10), 1)


@pytest.mark.parametrize(
    ("kind", "text", "name"),
    [
        ("kraken", '{"error":"Currency pair not supported X/Y","method":"subscribe","success":false,"symbol":"X/Y"}', "X/Y"),
        ("kraken", '{"error": "Method not found", "success": false}', ""),
        ("kraken", '{"channel":"heartbeat"}', None),
        ("kraken", '{"error":', None),
        ("coinbase", '{"type": "error", "message": "X-Y is not a valid product"}', ""),
        ("coinbase", '{"channel":"heartbeats","events":["error"]}', None),
        ("binance_spot", '{"error":{"code":2,"msg":"Invalid request"},"id":1}', None),
        ("alpaca_crypto", '[{"T":"error","code":405,"msg":"symbol limit exceeded"}]', None),
    ],
)
def test_a_message_that_refuses_a_symbol_is_recognised(kind: str, text: str, name: str | None) -> None:
    assert script(kind, "ws://127.0.0.1:9", {"A": "A"}, 10).refused(text) == name


def test_a_symbol_is_added_and_taken_off_by_messages_of_its_own() -> None:
    found = {kind: script(kind, "ws://127.0.0.1:9", {"A": "A", "B": "b"}, 10) for kind in KINDS}
    assert {kind: said(each.subscribe("B")) for kind, each in found.items()} == {
        "binance_spot": [
            {"method": "SUBSCRIBE", "params": ["b@depth@100ms", "b@trade"], "id": 2},
            ("/api/v3/depth?symbol=B&limit=1000", "b", 50),
        ],
        "kraken": [
            {"method": "subscribe", "params": {"channel": "book", "symbol": ["b"], "depth": 10}},
            {"method": "subscribe", "params": {"channel": "trade", "symbol": ["b"], "snapshot": False}},
        ],
        "coinbase": [{"type": "subscribe", "product_ids": ["b"], "channel": channel} for channel in ("level2", "market_trades")],
        "alpaca_crypto": [{"action": "subscribe", "orderbooks": ["b"], "trades": ["b"]}],
    }
    assert {kind: said(each.unsubscribe("B")) for kind, each in found.items()} == {
        "binance_spot": [{"method": "UNSUBSCRIBE", "params": ["b@depth@100ms", "b@trade"], "id": 2}],
        "kraken": [
            {"method": "unsubscribe", "params": {"channel": "book", "symbol": ["b"], "depth": 10}},
            {"method": "unsubscribe", "params": {"channel": "trade", "symbol": ["b"]}},
        ],
        "coinbase": [{"type": "unsubscribe", "product_ids": ["b"], "channel": channel} for channel in ("level2", "market_trades")],
        "alpaca_crypto": [{"action": "unsubscribe", "orderbooks": ["b"], "trades": ["b"]}],
    }
