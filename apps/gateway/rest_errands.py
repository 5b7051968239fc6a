"""Requests of a connection that may wait: the venue's list of instruments, and trades of the past.

They run one at a time, and list requests go first, so that a snapshot never waits for more than one of them.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Final

import msgspec

from apps.gateway.rest_fetch import Fetched, RestFetcher
from domain.market.venues.feed import Fetch
from domain.market.venues.history import PAGES_MAX, BackfillPage, Page, PastSpan, VenueHistory
from domain.market.venues.instruments import LISTING, InstrumentList, ListedSymbol

REASON_MAX: Final = 200
UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)


class BackfillState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    INCOMPLETE = "incomplete"
    """Pages are missing: too many, or the venue has more trades in a second than a page."""
    FAILED = "failed"


class Backfill(msgspec.Struct):
    """Trades of one symbol in a range of time, and how far they were fetched. `trades`: of that range, before duplicates are dropped."""

    symbol: str
    name: str
    span: PastSpan
    pages: int = 0
    trades: int = 0
    state: BackfillState = BackfillState.RUNNING
    detail: str = ""

    def end(self, state: BackfillState, detail: str = "") -> None:
        if self.state is BackfillState.RUNNING:
            self.state, self.detail = state, detail[:REASON_MAX]


class RestErrands:
    """The errands of one connection. `put` writes a reply as a frame."""

    def __init__(
        self,
        fetcher: RestFetcher,
        history: VenueHistory | None,
        instruments: InstrumentList | None,
        put: Callable[[str], None],
        on_listed: Callable[[str, ListedSymbol | None], None],
    ) -> None:
        """`on_listed` gets the venue's name of a symbol, and None if the venue says that it does not list it."""
        self._fetcher = fetcher
        self._history = history
        self._instruments = instruments
        self._put = put
        self._on_listed = on_listed
        self._checks: deque[str] = deque()
        self._backfill: tuple[Backfill, str] | None = None
        """What is fetched, and the path of its next page."""
        self._due = asyncio.Event()

    def check(self, name: str) -> None:
        """Look a symbol up in the venue's list, soon."""
        if self._instruments is not None and name not in self._checks:
            self._checks.append(name)
            self._due.set()

    def backfill(self, job: Backfill) -> None:
        """Fetch trades of the past. The caller runs one at a time, and only where the venue has a history."""
        if self._history is not None:
            self._backfill = job, self._history.first(job.name, job.span)
            self._due.set()

    async def run(self) -> str:
        """Work until cancelled."""
        try:
            while True:
                await self._due.wait()
                if self._checks:
                    await self._look_up(self._checks.popleft())
                elif self._backfill is not None:
                    await self._fetch_page(*self._backfill)
                else:
                    self._due.clear()
        finally:
            if self._backfill is not None:
                self._backfill[0].end(BackfillState.FAILED, "the connection ended")

    async def _look_up(self, name: str) -> None:
        instruments = self._instruments
        assert instruments is not None
        fetch = Fetch(path=instruments.path(name), venue_symbol=name, weight=instruments.weight, reason=LISTING)
        found = await self._fetcher.fetch(fetch, self._put)
        try:
            listed = instruments.read(name, found.status, found.body)
        except UNREADABLE:
            return  # the reply is a frame, and its decoder states the fact
        self._on_listed(name, listed)

    async def _fetch_page(self, job: Backfill, path: str) -> None:
        history = self._history
        assert history is not None
        job.pages += 1
        reason = BackfillPage(job.span, job.pages).text()
        found = await self._fetcher.fetch(Fetch(path=path, venue_symbol=job.name, weight=history.weight, reason=reason), self._put)
        page = _read(history, path, job, found)
        self._backfill = (job, page.next) if page is not None and page.next and job.pages < PAGES_MAX else None
        if page is None:
            return
        job.trades += sum(trade.at is not None and job.span.has(trade.at) for trade in page.trades)
        if page.undivided or (page.next and job.pages >= PAGES_MAX):
            job.end(BackfillState.INCOMPLETE, "more trades than the pages hold: ask for a shorter time")
        elif not page.next:
            job.end(BackfillState.DONE)


def _read(history: VenueHistory, path: str, job: Backfill, found: Fetched) -> Page | None:
    """Return the page; None if the reply is none, which ends the backfill."""
    if not found.is_good:
        job.end(BackfillState.FAILED, f"{found.status}: {found.body}")
        return None
    try:
        return history.page(path, job.span, found.body)
    except UNREADABLE as error:
        job.end(BackfillState.FAILED, str(error))
        return None
