"""A venue with one level a side, whose messages a person can write: the smallest decoder that keeps the promises of the port."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from domain.market.quotes import Quote
from domain.market.records import Book, BookKind, Fact, FactKind, Flag, Level, MarketTrade, Record
from domain.market.venues.feed import BookView, Frame, FrameKind, Opening, RawFrames, Wish, WishKind
from domain.values import Side

VENUE = "PLAIN"
SYMBOLS = {"btc": "BTCUSDT", "eth": "ETHUSDT"}
S = 1_000_000_000
START = 1_800_000_000 * S


class PlainDecoder:
    """`snapshot btc 7 100 1 101 1`, `update btc 8 100 2 101 1`, `trade btc t1 100 1 buy <at>`, `beat`; another text is rejected."""

    def __init__(self, venue: str, opening: Opening, epoch: int) -> None:
        if opening.kind != "plain":
            raise ValueError(f"{opening.kind!r} is no kind of venue")
        self.venue, self.epoch = venue, epoch
        self.names = dict(opening.symbols)
        self.seqs: dict[str, int] = {}
        self.tops: dict[str, tuple[Level, Level]] = {}
        self.received: dict[str, int] = {}
        self.dropped: dict[str, int] = {}

    def take(self, frame: Frame, n: int) -> Sequence[Record | Wish]:
        if frame.kind is FrameKind.OPEN:
            return [self.fact(FactKind.CONNECTED, frame.received, n)]
        if frame.kind is FrameKind.CLOSE:
            self.seqs.clear()
            return [self.fact(FactKind.DISCONNECTED, frame.received, n, detail=frame.text)]
        verb, *rest = frame.text.split()
        if verb == "beat":
            return []
        if verb == "trade" and len(rest) == 6:
            return [self.trade(rest, frame.received)]
        if verb in ("snapshot", "update") and len(rest) == 6:
            return self.level(verb, self.names[rest[0]], int(rest[1]), [Decimal(text) for text in rest[2:]], frame.received, n)
        return [self.fact(FactKind.REJECTED_FRAME, frame.received, n, detail=frame.text)]

    def trade(self, rest: Sequence[str], received: int) -> MarketTrade:
        name, trade_id, price, quantity, side, at = rest
        return MarketTrade(
            symbol=self.names[name],
            venue=self.venue,
            price=Decimal(price),
            quantity=Decimal(quantity),
            side=Side(side),
            trade_id=trade_id,
            at=int(at),
            received=received,
        )

    def level(self, verb: str, symbol: str, seq: int, found: Sequence[Decimal], received: int, n: int) -> Sequence[Record | Wish]:
        prev = self.seqs.get(symbol)
        if verb == "update" and prev is None:
            return []
        if verb == "update" and prev is not None and seq != prev + 1:
            gap = self.fact(FactKind.GAP, received, n, symbol=symbol, from_=prev + 1, to=seq - 1)
            return [gap, *self.invalidate(symbol, "a gap", received, n)]
        bid, ask = (found[0], found[1]), (found[2], found[3])
        self.seqs[symbol], self.tops[symbol], self.received[symbol] = seq, (bid, ask), received
        kind = BookKind.SNAPSHOT if verb == "snapshot" else BookKind.DELTA
        book = Book(
            symbol=symbol, venue=self.venue, kind=kind, bids=[bid], asks=[ask], seq=seq, prev=prev or 0, at=received, received=received
        )
        quote = Quote(
            symbol=symbol,
            venue=self.venue,
            bid=bid[0],
            bid_size=bid[1],
            ask=ask[0],
            ask_size=ask[1],
            at=received,
            received=received,
            seq=seq,
            flags=(Flag.NO_VENUE_TIME,),
        )
        return [book, quote]

    def book(self, symbol: str, depth: int) -> BookView | None:
        if symbol not in self.names.values():
            return None
        seq = self.seqs.get(symbol, 0)
        bid, ask = self.tops.get(symbol, (None, None))
        shown = bool(seq and depth)
        return BookView(
            valid=bool(seq),
            checked=None,
            seq=seq,
            bids=[bid] if shown and bid else [],
            asks=[ask] if shown and ask else [],
            at=self.received.get(symbol, 0),
            received=self.received.get(symbol, 0),
        )

    def invalidate(self, symbol: str, reason: str, received: int, n: int) -> Sequence[Record | Wish]:
        self.seqs.pop(symbol, None)
        return [
            self.fact(FactKind(reason) if reason == FactKind.STALE else FactKind.RESYNC, received, n, symbol=symbol, detail=reason),
            Wish(kind=WishKind.RESYNC, symbol=symbol, reason=reason),
        ]

    def fact(self, kind: FactKind, at: int, n: int, *, symbol: str = "", from_: int = 0, to: int = 0, detail: str = "") -> Fact:
        return Fact(fact=kind, venue=self.venue, at=at, symbol=symbol, from_=from_, to=to, detail=detail, epoch=self.epoch, n=n)


def opening(kind: str = "plain", symbols: dict[str, str] | None = None) -> str:
    return msgspec.json.encode(Opening(kind=kind, url="ws://127.0.0.1:1", symbols=SYMBOLS if symbols is None else symbols)).decode()


def raw(n: int, *texts: str, epoch: int = 1, at: int = START, replayed: bool = False) -> RawFrames:
    """Frames from number `n` on, a millisecond apart; `open` and `close` are frames of these kinds."""
    frames = []
    for number, text in enumerate(texts):
        kind = FrameKind(text) if text in ("open", "close") else FrameKind.FRAME
        frames.append(Frame(at + number * 1_000_000, kind, opening() if text == "open" else text))
    return RawFrames(venue=VENUE, epoch=epoch, n=n, frames=frames, replayed=replayed)
