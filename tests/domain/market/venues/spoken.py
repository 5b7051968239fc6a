"""A market in plain dicts, and speakers that say what happens in it as each venue does. Messages are our own, in today's formats."""

import json
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Protocol

from domain.market.venues.feed import Frame, FrameKind, Opening
from domain.values import rfc3339

START_NS: Final = 1_790_000_000_000_000_000
STEP_NS: Final = 50_000_000
DEPTH: Final = 10
View = tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]
Change = tuple[str, int, int]
"""Side, price and size: `bid` or `ask`, in ticks and lots."""


def price_text(ticks: int) -> str:
    return f"{ticks / 10:.1f}"


def size_text(lots: int) -> str:
    return f"{lots / 10**8:.8f}"


@dataclass
class Market:
    """The truth: levels by price, in ticks and lots. It never crosses."""

    seed: int
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.bids = {450_000 - number: self.lots() for number in range(1, 25)}
        self.asks = {450_000 + number: self.lots() for number in range(1, 25)}

    def lots(self) -> int:
        return self.chance.randint(1, 5 * 10**8)

    def step(self, changes_max: int = 4) -> list[Change]:
        """Change some levels near the touch: new sizes, removals, new levels inside the spread or the book."""
        changes: dict[tuple[str, int], int] = {}
        for _ in range(self.chance.randint(1, changes_max)):
            side = self.chance.choice(("bid", "ask"))
            ours = self.bids if side == "bid" else self.asks
            if len(ours) > 15 and self.chance.random() < 0.4:
                price, lots = self.chance.choice(self.best(side, 12)), 0
            else:
                best_bid, best_ask = max(self.bids), min(self.asks)
                price = (
                    self.chance.randint(best_ask - 20, best_ask - 1) if side == "bid" else self.chance.randint(best_bid + 1, best_bid + 20)
                )
                lots = self.lots()
            ours[price] = lots
            if not lots:
                del ours[price]
            changes[side, price] = lots
        return [(side, price, lots) for (side, price), lots in changes.items()]

    def best(self, side: str, depth: int) -> list[int]:
        return sorted(self.bids, reverse=True)[:depth] if side == "bid" else sorted(self.asks)[:depth]

    def view(self, depth: int) -> View:
        """The book as a decoder must show it."""
        bids = [(Decimal(price_text(price)), Decimal(size_text(self.bids[price]))) for price in self.best("bid", depth)]
        return bids, [(Decimal(price_text(price)), Decimal(size_text(self.asks[price]))) for price in self.best("ask", depth)]


class Speaker(Protocol):
    kind: str
    name: str
    symbol: str

    def snapshot(self, market: Market, at: int) -> Frame:
        """The whole book as the venue sends it after a subscription, or as a reply over HTTP."""
        ...

    def update(self, market: Market, changes: list[Change], at: int) -> str: ...

    def trade(self, number: int, at: int) -> str: ...

    def noise(self, at: int) -> str:
        """Something that says the connection lives."""
        ...


def opening_of(speaker: Speaker) -> Opening:
    return Opening(kind=speaker.kind, url="ws://127.0.0.1:9", symbols={speaker.name: speaker.symbol}, depth=DEPTH)


class BinanceSpeaker:
    kind, name, symbol = "binance_spot", "BTCUSDT", "BTC/USDT"

    def __init__(self) -> None:
        self.last = 1000

    def snapshot(self, market: Market, at: int) -> Frame:
        sides = {
            "bids": [[price_text(price), size_text(market.bids[price])] for price in market.best("bid", 1000)],
            "asks": [[price_text(price), size_text(market.asks[price])] for price in market.best("ask", 1000)],
        }
        body = json.dumps({"lastUpdateId": self.last, **sides})
        return Frame(at, FrameKind.REST, f"{self.name} 200 /api/v3/depth?symbol={self.name}&limit=1000\n{body}")

    def update(self, market: Market, changes: list[Change], at: int) -> str:
        first, self.last = self.last + 1, self.last + len(changes)
        bids = [[price_text(price), size_text(lots)] for side, price, lots in changes if side == "bid"]
        asks = [[price_text(price), size_text(lots)] for side, price, lots in changes if side == "ask"]
        data = {"e": "depthUpdate", "E": at // 10**6, "s": self.name, "U": first, "u": self.last, "b": bids, "a": asks}
        return json.dumps({"stream": "btcusdt@depth@100ms", "data": data}, separators=(",", ":"))

    def trade(self, number: int, at: int) -> str:
        data = {"e": "trade", "E": at // 10**6, "s": self.name, "t": number, "p": "45000.0", "q": "0.00150000", "T": at // 10**6}
        return json.dumps({"stream": "btcusdt@trade", "data": {**data, "m": False, "M": True}}, separators=(",", ":"))

    def noise(self, at: int) -> str:
        return '{"result":null,"id":1}'


class KrakenSpeaker:
    kind, name, symbol = "kraken", "BTC/USD", "BTC/USD"

    def __init__(self) -> None:
        self.shown: dict[str, dict[int, int]] = {"bid": {}, "ask": {}}

    def snapshot(self, market: Market, at: int) -> Frame:
        self._show(market)
        levels = {"bids": self._levels(self.shown["bid"]), "asks": self._levels(self.shown["ask"])}
        return Frame(at, FrameKind.FRAME, self._book("snapshot", levels, market, at))

    def update(self, market: Market, changes: list[Change], at: int) -> str:
        """What entered the ten best levels, changed there, or was removed. What only fell out of them is not said."""
        before = self.shown
        self._show(market)
        levels = {}
        for side, real in (("bid", market.bids), ("ask", market.asks)):
            said = {price: lots for price, lots in self.shown[side].items() if before[side].get(price) != lots}
            levels[f"{side}s"] = self._levels({**{price: 0 for price in before[side] if price not in real}, **said})
        return self._book("update", levels, market, at)

    def trade(self, number: int, at: int) -> str:
        return (
            f'{{"channel":"trade","type":"update","data":[{{"symbol":"{self.name}","side":"buy","price":45000.0,"qty":0.00150000,'
            f'"ord_type":"market","trade_id":{number},"timestamp":"{rfc3339(at)}"}}]}}'
        )

    def noise(self, at: int) -> str:
        return '{"channel":"heartbeat"}'

    def _show(self, market: Market) -> None:
        self.shown = {
            "bid": {price: market.bids[price] for price in market.best("bid", DEPTH)},
            "ask": {price: market.asks[price] for price in market.best("ask", DEPTH)},
        }

    def _levels(self, levels: dict[int, int]) -> str:
        return ",".join(f'{{"price":{price_text(price)},"qty":{size_text(lots)}}}' for price, lots in levels.items())

    def _book(self, kind: str, levels: dict[str, str], market: Market, at: int) -> str:
        digits = "".join(
            str(number)
            for price, lots in (*sorted(self.shown["ask"].items()), *sorted(self.shown["bid"].items(), reverse=True))
            for number in (price, lots)
        )
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{self.name}","bids":[{levels["bids"]}],"asks":[{levels["asks"]}],'
            f'"checksum":{zlib.crc32(digits.encode())},"timestamp":"{rfc3339(at)}"}}]}}'
        )


class CoinbaseSpeaker:
    kind, name, symbol = "coinbase", "BTC-USD", "BTC/USD"

    def __init__(self) -> None:
        self.sequence = -1

    def snapshot(self, market: Market, at: int) -> Frame:
        changes = [("bid", price, lots) for price, lots in market.bids.items()] + [
            ("ask", price, lots) for price, lots in market.asks.items()
        ]
        return Frame(at, FrameKind.FRAME, self._book("snapshot", changes, at))

    def update(self, market: Market, changes: list[Change], at: int) -> str:
        return self._book("update", changes, at)

    def trade(self, number: int, at: int) -> str:
        trade = {
            "trade_id": str(number),
            "product_id": self.name,
            "price": "45000.0",
            "size": "0.0015",
            "side": "SELL",
            "time": rfc3339(at),
        }
        return self._message("market_trades", [{"type": "update", "trades": [trade]}], at)

    def noise(self, at: int) -> str:
        return self._message("heartbeats", [{"current_time": rfc3339(at), "heartbeat_counter": 7}], at)

    def _book(self, kind: str, changes: list[Change], at: int) -> str:
        updates = [
            {
                "side": "bid" if side == "bid" else "offer",
                "event_time": rfc3339(at),
                "price_level": price_text(price),
                "new_quantity": size_text(lots),
            }
            for side, price, lots in changes
        ]
        return self._message("l2_data", [{"type": kind, "product_id": self.name, "updates": updates}], at)

    def _message(self, channel: str, events: list[dict[str, object]], at: int) -> str:
        self.sequence += 1
        envelope = {"channel": channel, "client_id": "", "timestamp": rfc3339(at), "sequence_num": self.sequence, "events": events}
        return json.dumps(envelope, separators=(",", ":"))


class AlpacaSpeaker:
    kind, name, symbol = "alpaca_crypto", "BTC/USD", "BTC/USD"

    def snapshot(self, market: Market, at: int) -> Frame:
        changes = [("bid", price, lots) for price, lots in market.bids.items()] + [
            ("ask", price, lots) for price, lots in market.asks.items()
        ]
        return Frame(at, FrameKind.FRAME, self._book(changes, at, ',"r":true'))

    def update(self, market: Market, changes: list[Change], at: int) -> str:
        return self._book(changes, at, "")

    def trade(self, number: int, at: int) -> str:
        return f'[{{"T":"t","S":"{self.name}","p":45000.0,"s":0.0015,"t":"{rfc3339(at)}","i":{number},"tks":"B"}}]'

    def noise(self, at: int) -> str:
        return f'[{{"T":"q","S":"{self.name}","bp":1.5,"bs":2,"ap":1.6,"as":3,"t":"{rfc3339(at)}"}}]'

    def _book(self, changes: list[Change], at: int, reset: str) -> str:
        sides = {
            each: ",".join(f'{{"p":{price_text(price)},"s":{size_text(lots)}}}' for side, price, lots in changes if side == each)
            for each in ("bid", "ask")
        }
        return f'[{{"T":"o","S":"{self.name}","t":"{rfc3339(at)}","b":[{sides["bid"]}],"a":[{sides["ask"]}]{reset}}}]'


SPEAKERS: Final[dict[str, type[Speaker]]] = {
    speaker.kind: speaker for speaker in (BinanceSpeaker, KrakenSpeaker, CoinbaseSpeaker, AlpacaSpeaker)
}


def clock() -> Iterator[int]:
    """Times of receipt, 50 ms apart."""
    at = START_NS
    while True:
        yield at
        at += STEP_NS
