"""Replies over HTTP that are no snapshots, folded into the session of a connection: trades of the past, and the venue's instruments."""

from typing import Final

import msgspec

from domain.market.records import FactKind
from domain.market.venues.history import PAGES_MAX, BackfillPage, VenueHistory, VenueRefusal, backfill_page
from domain.market.venues.instruments import LISTING, InstrumentList
from domain.market.venues.session import FeedSession

OK: Final = 200
LIMITED: Final = frozenset({429, 418})
NO_PAGE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What reading raises for a body that is not what it claims to be."""


class Replies:
    """The replies of one connection. A kind of venue without a past or a list gets no such reply."""

    def __init__(self, session: FeedSession, history: VenueHistory | None, instruments: InstrumentList | None) -> None:
        self._session = session
        self._history = history
        self._instruments = instruments
        self._halted: set[str] = set()
        self._trades: dict[str, int] = {}
        """By symbol, the trades that the backfill under way gave."""

    def take(self, name: str, status: int, path: str, reason: str, body: str) -> None:
        """Take a reply. One of a symbol that is not asked for any more means nothing. ValueError for an unknown reason."""
        session = self._session
        key = next((each for each in (name, name.upper()) if each in session.names), None)
        if reason == LISTING:
            if key is not None:
                self._listing(key, status, body)
            return
        page = backfill_page(reason)
        if key is not None:
            self._page(session.names[key], status, path, page, body)

    def _listing(self, name: str, status: int, body: str) -> None:
        session, symbol = self._session, self._session.names[name]
        if self._instruments is None:
            return
        try:
            listed = self._instruments.read(name, status, body)
        except NO_PAGE as error:
            session.fact(FactKind.LIMITED if status in LIMITED else FactKind.REFUSED, symbol, detail=f"list of instruments: {error}")
            return
        if listed is None:
            session.delisted(symbol, f"{name} is not in the venue's list")
            return
        before = session.steps.get(name, listed.steps)
        session.steps[name] = listed.steps
        if before != listed.steps:
            (tick, lot), (new_tick, new_lot) = before, listed.steps
            session.fact(FactKind.PRECISION, symbol, detail=f"tick {tick} to {new_tick}, lot {lot} to {new_lot}")
        if listed.trades == (symbol in self._halted):
            (self._halted.discard if listed.trades else self._halted.add)(symbol)
            session.fact(FactKind.FRESH if listed.trades else FactKind.HALTED, symbol, detail="by the venue's list")

    def _page(self, symbol: str, status: int, path: str, asked: BackfillPage, body: str) -> None:
        session = self._session
        if status != OK:
            session.fact(FactKind.LIMITED if status in LIMITED else FactKind.REFUSED, symbol, detail=f"{status} for {path}: {body}")
            return
        if self._history is None:
            return
        try:
            page = self._history.page(path, asked.span, body)
        except NO_PAGE as error:
            limited = isinstance(error, VenueRefusal) and "rate" in str(error).lower()
            session.fact(FactKind.LIMITED if limited else FactKind.REFUSED, symbol, detail=f"backfill: {error}")
            return
        given = 0 if asked.number == 1 else self._trades.get(symbol, 0)
        for trade in page.trades:
            if trade.at is None or asked.span.has(trade.at):
                seq = trade.seq or session.n
                given += session.trade(
                    symbol, trade.price, trade.quantity, trade.side, trade.trade_id, trade.at, seq, backfilled=True, past=True
                )
        self._trades[symbol] = given
        if page.undivided or (page.next and asked.number >= PAGES_MAX):
            times = [trade.at for trade in page.trades if trade.at is not None]
            session.fact(FactKind.GAP, symbol, detail=f"backfill ended at {max(times, default=0)} ns after {asked.number} pages")
        elif not page.next:
            begin, end = asked.span
            session.fact(FactKind.BACKFILLED, symbol, from_=begin, to=end, detail=f"{given} trades in {asked.number} pages")
