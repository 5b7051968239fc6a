"""Binance spot as its manual describes it: depth differences, trades, book tickers; snapshots and instruments over REST, with weights."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.venues.connection import Connection, Reply
from tests.venues.faults import Faults
from tests.venues.market import Move, PastPrint, Print, SimulatedBook, Truth

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
WEIGHT_MAX: Final = 6000
"""Request weight a minute."""
WINDOW_S: Final = 60.0
RETRY_AFTER_S: Final = "5"
SNAPSHOT_WEIGHTS: Final = ((100, 5), (500, 25), (1000, 50), (5000, 250))
TRADE_IDS_FROM: Final = 10_000_000
INVALID_SYMBOL: Final = '{"code":-1121,"msg":"Invalid symbol."}'


class BinanceSpeech:
    def __init__(self, faults: Faults, seed: int, symbols: Sequence[str]) -> None:
        self.symbols: Sequence[SimulatedBook] = [SimulatedBook(name, seed) for name in symbols or SYMBOLS]
        self.weight_max = WEIGHT_MAX
        self._faults = faults
        self._used: list[tuple[float, int]] = []

    def greet(self, to: Connection) -> None:
        """`/stream?streams=a/b` and `/ws/a` name streams in the address; `/stream` and `/ws` take SUBSCRIBE."""
        path, _, query = to.path.partition("?")
        to.state["combined"] = path.startswith("/stream")
        named = query.removeprefix("streams=") if query else path.removeprefix("/ws").strip("/")
        to.state["streams"] = set(filter(None, named.split("/"))) - {"stream"}

    def take(self, to: Connection, message: Any) -> None:
        streams: set[str] = to.state["streams"]
        match message.get("method"):
            case "SUBSCRIBE":
                streams.update(message["params"])
            case "UNSUBSCRIBE":
                streams.difference_update(message["params"])
            case _:
                to.control(json.dumps({"error": {"code": 2, "msg": "Invalid request: unknown method"}, "id": message.get("id")}))
                return
        to.control(json.dumps({"result": None, "id": message.get("id")}))

    def heartbeat(self, to: Connection) -> None:
        """The venue has none: it pings on the transport."""

    def moved(self, to: Connection, book: SimulatedBook, move: Move) -> None:
        name, wanted = book.name.lower(), to.state["streams"]
        if move.trade is not None:
            self.printed(to, book, book.price(move.trade.tick), book.size(move.trade.lots), move.trade)
        for stream in (f"{name}@depth@100ms", f"{name}@depth"):
            if stream in wanted:
                sides = {
                    key: [[book.price(tick), book.size(lots)] for bid, tick, lots in move.changes if bid is is_bid]
                    for key, is_bid in (("b", True), ("a", False))
                }
                update = {"e": "depthUpdate", "E": self._now_ms(), "s": book.name, "U": move.first, "u": move.last, **sides}
                self._send(to, stream, update)
        if (stream := f"{name}@bookTicker") in wanted:
            self._send(to, stream, _ticker(book, move.last))

    def printed(self, to: Connection, book: SimulatedBook, price: str, size: str, print_: Print) -> None:
        now = self._now_ms()
        common = {"E": now, "s": book.name, "p": price, "q": size, "T": print_.at // 1_000_000, "m": not print_.taker_buys, "M": True}
        number = TRADE_IDS_FROM + print_.number
        for kind, ids in (("trade", {"t": number}), ("aggTrade", {"a": number, "f": number, "l": number})):
            if (stream := f"{book.name.lower()}@{kind}") in to.state["streams"]:
                self._send(to, stream, {"e": kind, **ids, **common}, "trade")

    def rest(self, path: str, query: Mapping[str, str]) -> Reply | None:
        books = {book.name: book for book in self.symbols if book.name not in self._faults.delisted}
        match path:
            case "/api/v3/ping":
                return Reply(200, "{}")
            case "/api/v3/time":
                return Reply(200, json.dumps({"serverTime": self._now_ms()}))
            case "/api/v3/exchangeInfo":
                wanted = [query["symbol"]] if "symbol" in query else list(books)
                if not set(wanted) <= books.keys():
                    return Reply(400, INVALID_SYMBOL)
                return self._weighed(20, json.dumps({"timezone": "UTC", "symbols": [self._listing(books[name]) for name in wanted]}))
            case "/api/v3/aggTrades":
                found = [row for row in books[query["symbol"]].past if row.print.at // 1_000_000 >= int(query["startTime"])]
                rows = [
                    {"a": number, "f": number, "l": number, "p": row.price, "q": row.size, "T": row.print.at // 1_000_000}
                    for row in found[: int(query["limit"])]
                    for number in (TRADE_IDS_FROM + row.print.number,)
                ]
                return self._weighed(4, json.dumps(rows))
            case "/api/v3/historicalTrades":
                past = [row for row in books[query["symbol"]].past if TRADE_IDS_FROM + row.print.number >= int(query["fromId"])]
                return self._weighed(25, json.dumps([_past(row) for row in past[: int(query["limit"])]]))
            case "/api/v3/depth":
                book, limit = books.get(query.get("symbol", "")), int(query.get("limit", "100"))
                if book is None:
                    return Reply(400, INVALID_SYMBOL)
                weight = next(weight for most, weight in SNAPSHOT_WEIGHTS if limit <= most)
                return self._weighed(weight, self._snapshot(book, limit))
        return None

    def _snapshot(self, book: SimulatedBook, limit: int) -> str:
        number, truth = book.update_number, book.truth(limit)
        if self._faults.old_snapshots:
            self._faults.old_snapshots -= 1
            number, truth = book.old()
        return json.dumps({"lastUpdateId": number, **_sides(truth)}, separators=(",", ":"))

    def _weighed(self, weight: int, body: str) -> Reply:
        now = time.monotonic()
        self._used = [(at, used) for at, used in self._used if at > now - WINDOW_S]
        total = sum(used for _, used in self._used) + weight
        if total > self.weight_max:
            return Reply(429, '{"code":-1003,"msg":"Too much request weight used."}', {"Retry-After": RETRY_AFTER_S})
        self._used.append((now, weight))
        return Reply(200, body, {"X-MBX-USED-WEIGHT-1M": str(total)})

    def _send(self, to: Connection, stream: str, event: dict[str, object], of: str = "book") -> None:
        if self._faults.new_field:
            event["zz"] = "new"
        to.data(json.dumps({"stream": stream, "data": event} if to.state["combined"] else event, separators=(",", ":")), of)

    def _listing(self, book: SimulatedBook) -> dict[str, object]:
        tick = self._faults.ticks.get(book.name, book.price(1))
        filters = [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": book.size(1), "maxQty": "9000.00", "stepSize": book.size(1)},
        ]
        status = "BREAK" if book.name in self._faults.not_trading else "TRADING"
        return {"symbol": book.name, "status": status, "baseAsset": book.name[:3], "quoteAsset": book.name[3:], "filters": filters}

    def _now_ms(self) -> int:
        return (time.time_ns() + self._faults.ahead_ns) // 1_000_000


def _sides(truth: Truth) -> dict[str, list[list[str]]]:
    return {
        key: [[format(price, "f"), format(size, "f")] for price, size in side] for key, side in (("bids", truth.bids), ("asks", truth.asks))
    }


def _ticker(book: SimulatedBook, number: int) -> dict[str, object]:
    ((bid, bid_lots),), ((ask, ask_lots),) = book.top(bids=True, depth=1), book.top(bids=False, depth=1)
    return {
        "u": number,
        "s": book.name,
        "b": book.price(bid),
        "B": book.size(bid_lots),
        "a": book.price(ask),
        "A": book.size(ask_lots),
    }


def _past(row: PastPrint) -> dict[str, object]:
    at, buys = row.print.at // 1_000_000, row.print.taker_buys
    number = TRADE_IDS_FROM + row.print.number
    return {"id": number, "price": row.price, "qty": row.size, "quoteQty": "1", "time": at, "isBuyerMaker": not buys, "isBestMatch": True}
