"""Alpaca's crypto feed, v1beta3: log in within the connection, then order books, trades and quotes in lists. No sequence, no checksum."""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from domain.values import from_rfc3339
from tests.venues.connection import Connection, Reply
from tests.venues.faults import Faults
from tests.venues.market import Move, Print, SimulatedBook

SYMBOLS: Final = ("BTC/USD", "ETH/USD")
CHANNELS: Final = ("orderbooks", "trades", "quotes")
KEY: Final = "PKSIMULATED"
SECRET: Final = "simulated-secret"


class AlpacaSpeech:
    def __init__(self, faults: Faults, seed: int, symbols: Sequence[str]) -> None:
        self.symbols: Sequence[SimulatedBook] = [SimulatedBook(name, seed, size_places=9) for name in symbols or SYMBOLS]
        self._books = {book.name: book for book in self.symbols}
        self._faults = faults

    def greet(self, to: Connection) -> None:
        to.control('[{"T":"success","msg":"connected"}]')

    def take(self, to: Connection, message: Any) -> None:
        action, state = message.get("action"), to.state
        if action == "auth":
            state["known"] = (message.get("key"), message.get("secret")) == (KEY, SECRET)
            good = '[{"T":"success","msg":"authenticated"}]'
            to.control(good if state["known"] else '[{"T":"error","code":402,"msg":"auth failed"}]')
        elif not state.get("known"):
            to.control('[{"T":"error","code":401,"msg":"not authenticated"}]')
        elif action in ("subscribe", "unsubscribe"):
            for channel in CHANNELS:
                names = set(message.get(channel, ())) & set(self._books)
                had = state.setdefault(channel, set())
                state[channel] = had | names if action == "subscribe" else had - names
            to.control(json.dumps([{"T": "subscription", **{channel: sorted(state[channel]) for channel in CHANNELS}}]))
            if action == "subscribe":
                for name in message.get("orderbooks", ()):
                    self._book(to, self._books[name], whole=True)

    def heartbeat(self, to: Connection) -> None:
        """The venue has none: it pings on the transport."""

    def moved(self, to: Connection, book: SimulatedBook, move: Move) -> None:
        if book.name in to.state.get("orderbooks", ()) and move.changes:
            self._book(to, book, move)
        if move.trade is not None:
            self.printed(to, book, book.price(move.trade.tick), book.size(move.trade.lots), move.trade)
        if book.name in to.state.get("quotes", ()):
            ((bid, bid_lots),), ((ask, ask_lots),) = book.top(bids=True, depth=1), book.top(bids=False, depth=1)
            sides = f'"bp":{book.price(bid)},"bs":{book.size(bid_lots)},"ap":{book.price(ask)},"as":{book.size(ask_lots)}'
            to.data(f'[{{"T":"q","S":"{book.name}",{sides},"t":"{self._now()}"{self._new_field()}}}]', "quote")

    def printed(self, to: Connection, book: SimulatedBook, price: str, size: str, print_: Print) -> None:
        if book.name in to.state.get("trades", ()):
            side = "B" if print_.taker_buys else "S"
            row = f'"T":"t","S":"{book.name}","p":{price},"s":{size},"t":"{_time(print_.at)}","i":{print_.number},"tks":"{side}"'
            to.data(f"[{{{row}{self._new_field()}}}]", "trade")

    def rest(self, path: str, query: Mapping[str, str]) -> Reply | None:
        if path != "/v1beta3/crypto/us/trades":
            return None
        name, first, limit = query["symbols"], int(query.get("page_token", "0")), int(query["limit"])
        begin, end = from_rfc3339(query["start"]), from_rfc3339(query["end"])
        rows = [row for row in self._books[name].past if begin <= row.print.at < end]
        trades = [
            f'{{"t":"{_time(row.print.at)}","p":{row.price},"s":{row.size},"i":{row.print.number},'
            f'"tks":"{"B" if row.print.taker_buys else "S"}"}}'
            for row in rows[first : first + limit]
        ]
        token = f'"{first + limit}"' if len(rows) > first + limit else "null"
        return Reply(200, f'{{"trades":{{"{name}":[{",".join(trades)}]}},"next_page_token":{token}}}')

    def _book(self, to: Connection, book: SimulatedBook, move: Move | None = None, *, whole: bool = False) -> None:
        def levels(side: list[tuple[int, int]]) -> str:
            return ",".join(f'{{"p":{book.price(tick)},"s":{book.size(lots) if lots else "0"}}}' for tick, lots in side)

        if move is None:
            sides = [book.top(bids=bids, depth=10_000) for bids in (True, False)]
        else:
            sides = [[(tick, lots) for bid, tick, lots in move.changes if bid is bids] for bids in (True, False)]
        reset = ',"r":true' if whole else ""
        row = f'"T":"o","S":"{book.name}","t":"{self._now()}","b":[{levels(sides[0])}],"a":[{levels(sides[1])}]'
        to.data(f"[{{{row}{reset}{self._new_field()}}}]", "book")

    def _new_field(self) -> str:
        return ',"zz":"new"' if self._faults.new_field else ""

    def _now(self) -> str:
        return _time(time.time_ns() + self._faults.ahead_ns)


def _time(at: int) -> str:
    seconds, rest = divmod(at, 10**9)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:09d}Z"
