"""Coinbase Advanced Trade, public channels: level2, market_trades, heartbeats. `sequence_num` counts all messages of a connection."""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from tests.venues.connection import Connection, Reply
from tests.venues.faults import Faults
from tests.venues.market import Move, Print, SimulatedBook

SYMBOLS: Final = ("BTC-USD", "ETH-USD")
PRODUCTS: Final = "/api/v3/brokerage/market/products/"
CHANNELS: Final = ("level2", "market_trades", "heartbeats")


class CoinbaseSpeech:
    def __init__(self, faults: Faults, seed: int, symbols: Sequence[str]) -> None:
        self.symbols: Sequence[SimulatedBook] = [SimulatedBook(name, seed, size_places=8) for name in symbols or SYMBOLS]
        self._books = {book.name: book for book in self.symbols}
        self._faults = faults
        self._beats = 3000

    def greet(self, to: Connection) -> None:
        """The venue waits for a subscription."""

    def take(self, to: Connection, message: Any) -> None:
        channel, names = message.get("channel"), message.get("product_ids", [])
        unknown = [name for name in names if name not in self._books or name in self._faults.delisted]
        if message.get("type") not in ("subscribe", "unsubscribe") or channel not in CHANNELS or unknown:
            to.control(json.dumps({"type": "error", "message": f"{', '.join(unknown) or channel} is not a valid subscription"}))
            return
        keys = [(channel, name) for name in names] or [(channel, "")]
        if message["type"] == "unsubscribe":
            for key in keys:
                to.state.pop(key, None)
        else:
            for _, name in keys:
                if channel == "level2":
                    self._send(to, "l2_data", "snapshot", {"product_id": name, "updates": self._whole(self._books[name])})
                elif channel == "market_trades":
                    self._send(to, channel, "snapshot", {"trades": []})
            to.state.update(dict.fromkeys(keys, True))
        subscribed: dict[str, list[str]] = {}
        for key in to.state:
            if isinstance(key, tuple):
                subscribed.setdefault(key[0], []).append(key[1])
        self._send(to, "subscriptions", None, {"subscriptions": subscribed}, data=False)

    def heartbeat(self, to: Connection) -> None:
        if ("heartbeats", "") in to.state:
            self._beats += 1
            event = {"current_time": f"{self._now()} +0000 UTC m=+1.0", "heartbeat_counter": self._beats}
            self._send(to, "heartbeats", None, event, data=False)

    def moved(self, to: Connection, book: SimulatedBook, move: Move) -> None:
        if ("level2", book.name) in to.state and move.changes:
            updates = [self._update(book, bid, tick, lots) for bid, tick, lots in move.changes]
            self._send(to, "l2_data", "update", {"product_id": book.name, "updates": updates})
        if move.trade is not None:
            self.printed(to, book, book.price(move.trade.tick), book.size(move.trade.lots), move.trade)

    def printed(self, to: Connection, book: SimulatedBook, price: str, size: str, print_: Print) -> None:
        """The venue's `side` is the maker's."""
        if ("market_trades", book.name) in to.state:
            side = "SELL" if print_.taker_buys else "BUY"
            trade = {
                "trade_id": str(print_.number),
                "product_id": book.name,
                "price": price,
                "size": size,
                "side": side,
                "time": _time(print_.at),
            }
            self._send(to, "market_trades", "update", {"trades": [trade]})

    def rest(self, path: str, query: Mapping[str, str]) -> Reply | None:
        if path == "/api/v3/brokerage/time":
            return Reply(200, json.dumps({"iso": self._now(), "epochSeconds": str(self._ns() // 10**9)}))
        if not path.startswith(PRODUCTS):
            return None
        name, _, what = path.removeprefix(PRODUCTS).partition("/")
        book = self._books.get(name)
        if book is None or name in self._faults.delisted:
            return Reply(
                404, '{"error":"NOT_FOUND","error_details":"valid product_id is required","message":"valid product_id is required"}'
            )
        if not what:
            steps = {"price_increment": self._faults.ticks.get(name, book.price(1)), "base_increment": book.size(1)}
            state = {"is_disabled": False, "trading_disabled": name in self._faults.not_trading}
            return Reply(200, json.dumps({"product_id": name, "status": "online", **steps, **state}))
        begin, end = int(query["start"]) * 10**9, int(query["end"]) * 10**9
        rows = [row for row in reversed(book.past) if begin <= row.print.at < end][: int(query["limit"])]
        trades = [
            {
                "trade_id": str(row.print.number),
                "product_id": name,
                "price": row.price,
                "size": row.size,
                "time": _time(row.print.at),
                "side": "SELL" if row.print.taker_buys else "BUY",
            }
            for row in rows
        ]
        return Reply(200, json.dumps({"trades": trades, "best_bid": "1", "best_ask": "2"}))

    def _whole(self, book: SimulatedBook) -> list[dict[str, str]]:
        return [self._update(book, bids, tick, lots) for bids in (True, False) for tick, lots in book.top(bids=bids, depth=10_000)]

    def _update(self, book: SimulatedBook, bid: bool, tick: int, lots: int) -> dict[str, str]:
        size = book.size(lots) if lots else "0"
        return {"side": "bid" if bid else "offer", "event_time": self._now(), "price_level": book.price(tick), "new_quantity": size}

    def _send(self, to: Connection, channel: str, kind: str | None, event: dict[str, Any], *, data: bool = True) -> None:
        number = to.state.get("sequence", 0)
        to.state["sequence"] = number + 1
        if self._faults.new_field:
            event["zz"] = "new"
        events = [event if kind is None else {"type": kind, **event}]
        message = {"channel": channel, "client_id": "", "timestamp": self._now(), "sequence_num": number, "events": events}
        text = json.dumps(message, separators=(",", ":"))
        if data:
            to.data(text, "book" if channel == "l2_data" else "trade")
        else:
            to.control(text)

    def _ns(self) -> int:
        return time.time_ns() + self._faults.ahead_ns

    def _now(self) -> str:
        return _time(self._ns())


def _time(at: int) -> str:
    seconds, rest = divmod(at, 10**9)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:09d}Z"
