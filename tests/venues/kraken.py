"""Kraken's websocket API v2 as its manual describes it: books of a fixed depth with a CRC32, trades, a heartbeat each second.

The checksum is computed here from the texts that are sent, by the manual's own steps.
"""

import json
import time
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from tests.venues.connection import Connection, Reply
from tests.venues.faults import Faults
from tests.venues.market import Move, Print, SimulatedBook

SYMBOLS: Final = ("BTC/USD", "ETH/USD")
DEPTHS: Final = (10, 25, 100, 500, 1000)
CHECKED_LEVELS: Final = 10
CHANNELS: Final = ("book", "trade", "ticker", "instrument", "heartbeat")

Shown = tuple[dict[int, int], dict[int, int]]
"""What a client sees of a book, as `SimulatedBook.sides`."""


class KrakenSpeech:
    def __init__(self, faults: Faults, seed: int, symbols: Sequence[str]) -> None:
        self.symbols: Sequence[SimulatedBook] = [
            SimulatedBook(name, seed, start=500_000, price_places=1, size_places=8) for name in symbols or SYMBOLS
        ]
        self._books = {book.name: book for book in self.symbols}
        self._faults = faults

    def greet(self, to: Connection) -> None:
        status = {"version": "2.0.9", "system": "online", "api_version": "v2", "connection_id": 12393906104898154338}
        to.control(json.dumps({"channel": "status", "type": "update", "data": [status]}))

    def take(self, to: Connection, message: Any) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "ping":
            now = self._now()
            to.control(json.dumps({"method": "pong", "req_id": message.get("req_id", 0), "time_in": now, "time_out": now}))
        elif method not in ("subscribe", "unsubscribe") or params.get("channel") not in CHANNELS:
            to.control(json.dumps({"error": "Method not found", "method": method, "success": False, "time_in": self._now()}))
        else:
            for symbol in params.get("symbol", ()):
                self._subscribe(to, method, params, symbol)

    def heartbeat(self, to: Connection) -> None:
        if to.state:
            to.control('{"channel":"heartbeat"}')

    def moved(self, to: Connection, book: SimulatedBook, move: Move) -> None:
        depth = to.state.get(("depth", book.name))
        if depth is not None:
            before: Shown = to.state["book", book.name]
            after = to.state["book", book.name] = _shown(book, depth)
            changes = {bids: _changes(before[bids], after[bids], falling=bids) for bids in (True, False)}
            if changes[True] or changes[False]:
                to.data(self._book("update", book, changes[True], changes[False], after), "book")
        if move.trade is not None:
            self.printed(to, book, book.price(move.trade.tick), book.size(move.trade.lots), move.trade)

    def printed(self, to: Connection, book: SimulatedBook, price: str, size: str, print_: Print) -> None:
        if ("trade", book.name) not in to.state:
            return
        side = "buy" if print_.taker_buys else "sell"
        row = f'{{"symbol":"{book.name}","side":"{side}","price":{price},"qty":{size},"ord_type":"market","trade_id":{print_.number}'
        to.data(f'{{"channel":"trade","type":"update","data":[{row},"timestamp":"{_time(print_.at)}"{self._new_field()}}}]}}', "trade")

    def rest(self, path: str, query: Mapping[str, str]) -> Reply | None:
        if path == "/0/public/Time":
            return Reply(200, json.dumps({"error": [], "result": {"unixtime": self._ns() // 10**9}}))
        if path == "/0/public/Assets":
            names = sorted({part for book in self.symbols for part in book.name.split("/")})
            assets = {name: {"aclass": "currency", "altname": name, "decimals": 10, "display_decimals": 5} for name in names}
            return Reply(200, json.dumps({"error": [], "result": assets}))
        if path == "/0/public/AssetPairs" and "pair" not in query:
            pairs = {book.name: self._pair(book) for book in self.symbols if book.name not in self._faults.delisted}
            return Reply(200, json.dumps({"error": [], "result": pairs}))
        if path not in ("/0/public/AssetPairs", "/0/public/Trades", "/0/public/Depth"):
            return None
        book = self._books.get(query["pair"])
        if book is None or book.name in self._faults.delisted:
            return Reply(200, '{"error":["EQuery:Unknown asset pair"]}')
        if path == "/0/public/AssetPairs":
            return Reply(200, json.dumps({"error": [], "result": {book.name: self._pair(book)}}))
        if path == "/0/public/Depth":
            sides = [[[book.price(tick), book.size(lots), 1] for tick, lots in book.top(bids=bids, depth=100)] for bids in (True, False)]
            return Reply(200, json.dumps({"error": [], "result": {book.name: {"bids": sides[0], "asks": sides[1]}}}))
        since = int(query["since"])
        rows = [row for row in book.past if row.print.at > since][: int(query["count"])]
        past = [
            f'["{row.price}","{row.size}",{row.print.at // 10**9}.{row.print.at % 10**9 // 100:07d},'
            f'"{"b" if row.print.taker_buys else "s"}","m","",{row.print.number}]'
            for row in rows
        ]
        last = rows[-1].print.at if rows else since
        return Reply(200, f'{{"error":[],"result":{{"{book.name}":[{",".join(past)}],"last":"{last}"}}}}')

    def _pair(self, book: SimulatedBook) -> dict[str, object]:
        tick = self._faults.ticks.get(book.name, book.price(1))
        status = "cancel_only" if book.name in self._faults.not_trading else "online"
        base, _, quote = book.name.partition("/")
        return {
            "altname": f"{base}{quote}",
            "wsname": book.name,
            "base": base,
            "quote": quote,
            "ordermin": "0.0001",
            "pair_decimals": book.price_places,
            "lot_decimals": book.size_places,
            "tick_size": tick,
            "status": status,
        }

    def _subscribe(self, to: Connection, method: str, params: Mapping[str, Any], symbol: str) -> None:
        channel, book = params["channel"], self._books.get(symbol) if symbol not in self._faults.delisted else None
        depth = params.get("depth", 10)
        refusal = "" if book else f"Currency pair not supported {symbol}"
        if channel == "book" and depth not in DEPTHS:
            refusal = "Depth not supported"
        shown = {"channel": channel, "symbol": symbol} | ({"depth": depth} if channel == "book" else {})
        now = self._now()
        if refusal or book is None:
            to.control(json.dumps({"error": refusal, "method": method, "success": False, "symbol": symbol, "time_in": now}))
            return
        if method == "subscribe":
            shown["snapshot"] = params.get("snapshot", True)
        to.control(json.dumps({"method": method, "result": shown, "success": True, "time_in": now, "time_out": now}))
        if method == "unsubscribe":
            for key in ((channel, symbol), ("depth", symbol)) if channel == "book" else ((channel, symbol),):
                to.state.pop(key, None)
        elif channel == "book":
            to.state["depth", symbol], to.state["book", symbol] = depth, _shown(book, depth)
            sides = [sorted(to.state["book", symbol][bids].items(), reverse=bids) for bids in (True, False)]
            to.data(self._book("snapshot", book, sides[0], sides[1], to.state["book", symbol]), "book")
        else:
            to.state[channel, symbol] = True

    def _book(self, kind: str, book: SimulatedBook, bids: list[tuple[int, int]], asks: list[tuple[int, int]], shown: Shown) -> str:
        def levels(side: list[tuple[int, int]]) -> str:
            return ",".join(f'{{"price":{book.price(tick)},"qty":{book.size(lots)}}}' for tick, lots in side)

        number = checksum(book, shown)
        if self._faults.bad_checksum_next:
            self._faults.bad_checksum_next -= 1
            number ^= 1
        row = f'{{"symbol":"{book.name}","bids":[{levels(bids)}],"asks":[{levels(asks)}],"checksum":{number}'
        return f'{{"channel":"book","type":"{kind}","data":[{row},"timestamp":"{self._now()}"{self._new_field()}}}]}}'

    def _new_field(self) -> str:
        return ',"zz":"new"' if self._faults.new_field else ""

    def _ns(self) -> int:
        return time.time_ns() + self._faults.ahead_ns

    def _now(self) -> str:
        return _time(self._ns())


def _time(at: int) -> str:
    seconds, rest = divmod(at, 10**9)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest // 1000:06d}Z"


def checksum(book: SimulatedBook, shown: Shown) -> int:
    """Ten asks from the lowest, then ten bids from the highest: price and quantity without the point and leading zeros, as one text."""
    text = ""
    for bids in (False, True):
        for tick, lots in sorted(shown[bids].items(), reverse=bids)[:CHECKED_LEVELS]:
            for number in (book.price(tick), book.size(lots)):
                text += number.replace(".", "").lstrip("0")
    return zlib.crc32(text.encode())


def _shown(book: SimulatedBook, depth: int) -> Shown:
    return dict(book.top(bids=False, depth=depth)), dict(book.top(bids=True, depth=depth))


def _changes(before: Mapping[int, int], after: Mapping[int, int], *, falling: bool) -> list[tuple[int, int]]:
    """Levels that are new or changed, and those that are gone. One that only fell behind the depth is left to the client."""
    worst = (min if falling else max)(after)
    gone = [(tick, 0) for tick in before if tick not in after and (tick > worst if falling else tick < worst)]
    return [*gone, *((tick, lots) for tick, lots in after.items() if before.get(tick) != lots)]
