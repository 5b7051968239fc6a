"""Alpaca's crypto feed, v1beta3: order books and trades in arrays. Nothing in it proves that no update is missing."""

from typing import Final

import msgspec

from domain.market.records import FactKind, Flag, Level
from domain.market.venues.decoder import UnknownMessage
from domain.market.venues.live_book import LEVELS_MAX, BookUpdate
from domain.market.venues.session import UNCHANGED, WHILE_INVALID, FeedSession
from domain.market.venues.wire import NumberReader, TimeReader
from domain.values import Side

IGNORED: Final = frozenset({"success", "q", "b", "d", "u"})
"""Known types that are not used: greetings, quotes and bars."""
SIDES: Final = {"B": Side.BUY, "S": Side.SELL}
LIMITS: Final = frozenset({405, 406, 407, 408, 429})
"""Codes of errors that mean too many symbols, connections or requests, or a slow reader."""
HALTS: Final = frozenset({"H", "P"})
UNCHECKED: Final = (Flag.UNCHECKED,)


class _AlpacaHead(msgspec.Struct, gc=False):
    T: str = ""


class _AlpacaLevel(msgspec.Struct, gc=False):
    p: msgspec.Raw
    s: msgspec.Raw


class _AlpacaBook(msgspec.Struct, gc=False):
    S: str
    t: str
    b: list[_AlpacaLevel] = []
    a: list[_AlpacaLevel] = []
    r: bool = False


class _AlpacaTrade(msgspec.Struct, gc=False):
    S: str
    t: str
    p: msgspec.Raw
    s: msgspec.Raw
    i: int
    tks: str = ""


class _AlpacaStatus(msgspec.Struct, gc=False):
    S: str
    sc: str
    sm: str = ""


class _AlpacaError(msgspec.Struct, gc=False):
    code: int
    msg: str = ""


class _AlpacaSubscription(msgspec.Struct, gc=False):
    orderbooks: list[str] = []
    trades: list[str] = []


_Sent = _AlpacaBook | _AlpacaTrade | _AlpacaStatus | _AlpacaError | _AlpacaSubscription

_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])
_HEAD: Final = msgspec.json.Decoder(_AlpacaHead)
_KINDS: Final[dict[str, msgspec.json.Decoder[_Sent]]] = {
    "o": msgspec.json.Decoder(_AlpacaBook),
    "t": msgspec.json.Decoder(_AlpacaTrade),
    "s": msgspec.json.Decoder(_AlpacaStatus),
    "error": msgspec.json.Decoder(_AlpacaError),
    "subscription": msgspec.json.Decoder(_AlpacaSubscription),
}


class AlpacaCryptoDialect:
    """A message with `r: true` is a whole book. Books and quotes are flagged as unchecked."""

    numbered = False

    def __init__(self, session: FeedSession) -> None:
        self._session = session
        self._numbers = NumberReader()
        self._times = TimeReader()

    def message(self, text: str) -> None:
        elements: list[_Sent] = []
        unknown = None
        for raw in _ARRAY.decode(text):
            kind = _HEAD.decode(raw).T
            if (decoder := _KINDS.get(kind)) is not None:
                elements.append(decoder.decode(raw))
            elif kind not in IGNORED:
                unknown = kind or "without a type"
        for element in elements:
            self._take(element)
        if unknown is not None:
            raise UnknownMessage(unknown)

    def reply(self, name: str, status: int, path: str, body: str) -> None:
        raise UnknownMessage(f"reply to {path}")

    def _take(self, element: _Sent) -> None:
        session = self._session
        if isinstance(element, _AlpacaBook):
            self._book(element)
        elif isinstance(element, _AlpacaTrade):
            self._trade(element)
        elif isinstance(element, _AlpacaStatus):
            if (symbol := session.symbol(element.S)) is not None:
                kind = FactKind.HALTED if element.sc in HALTS else FactKind.FRESH
                session.fact(kind, symbol, detail=f"{element.sc} {element.sm}")
        elif isinstance(element, _AlpacaError):
            kind = FactKind.LIMITED if element.code in LIMITS else FactKind.REFUSED
            session.fact(kind, detail=f"{element.code} {element.msg}")
        else:
            session.fact(FactKind.SUBSCRIBED, detail=f"{len(element.orderbooks)} books, {len(element.trades)} trades")

    def _book(self, sent: _AlpacaBook) -> None:
        session = self._session
        book = session.book(sent.S)
        if book is None:
            return
        at, bids, asks = self._times.nanoseconds(sent.t), self._levels(sent.b), self._levels(sent.a)
        if bids is None or asks is None or at is None:
            session.refused(book, f"book at {sent.t}")
        elif sent.r:
            book.replace(bids, asks, LEVELS_MAX)
            session.whole(book, session.n, at, flags=UNCHECKED)
        elif not book.valid:
            session.drop(WHILE_INVALID)
        else:
            changed, gone_bids, gone_asks = book.apply(bids, asks, LEVELS_MAX)
            if changed:
                session.changed(book, BookUpdate([*bids, *gone_bids], [*asks, *gone_asks], session.n, session.n, at), flags=UNCHECKED)
            else:
                session.drop(UNCHANGED)

    def _levels(self, levels: list[_AlpacaLevel]) -> list[Level] | None:
        return self._numbers.levels([(str(level.p, "utf-8"), str(level.s, "utf-8")) for level in levels])

    def _trade(self, trade: _AlpacaTrade) -> None:
        session, numbers = self._session, self._numbers
        if (symbol := session.symbol(trade.S)) is not None:
            price, quantity = numbers.above_zero(str(trade.p, "utf-8")), numbers.above_zero(str(trade.s, "utf-8"))
            session.trade(symbol, price, quantity, SIDES.get(trade.tks), str(trade.i), self._times.nanoseconds(trade.t), session.n)
