"""Runs one paper venue: messages are decided one by one, journaled in groups, and reported after the acknowledgement."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

import msgspec
import structlog

from adapters import subjects
from adapters.codec import encode
from apps.connections.announcements import Send
from apps.journal.group_commit import GroupCommit, Outcome, Pace
from apps.journal.watermark import Mark, verify_watermark, watch_foreign
from apps.live_gateway.commit_groups import groups
from apps.live_gateway.faulty_wire import FaultyWire
from apps.live_gateway.inbox import Inbox
from apps.live_gateway.report_log import VENUE_COMMITS, ReportLog
from apps.live_gateway.report_wire import Announced, ReportWire
from apps.runtime.failpoint import failpoint
from config.catalogue import VenueSettings
from domain.execution.owner import UNIT
from domain.instruments import Instrument
from domain.market.depth import Depth
from domain.market.prints import Print
from domain.market.quotes import STALE, Quote
from domain.market.simulated import shaped, shaped_depth, shaped_print
from domain.order.commands import VenueReport
from domain.order.events import ShardHeld
from domain.paper.events import (
    Deed,
    DeepQuote,
    Meet,
    Message,
    Passed,
    Reported,
    TradePrint,
    VenueEvent,
    not_before,
    stamp_of,
)
from domain.paper.venue import PaperVenue
from domain.ports import Clock, Fenced, Journal, Unavailable
from domain.values import ZERO, subject_token

log = structlog.get_logger()
T = TypeVar("T")

UNSETTLED_MAX: Final = 2_000
"""Groups that may wait for the disk before the venue takes no further message."""

YIELD_EVERY: Final = 50
TIME_CHECK_S: Final = 0.05
ANSWER_TIMEOUT_S: Final = 10
RECOVER_PAUSE_S: Final = 0.25


class Query(Generic[T]):
    """A query about journaled state, in sequence with the messages."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self.ask = ask
        self.answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()


Work = Message | Query[object]


class VenueHost:
    """Hosts one venue. `venue` and `reports` hold journaled state plus what is being journaled; `quotes` are the quotes it shows."""

    def __init__(
        self,
        settings: VenueSettings,
        instruments: dict[str, Instrument],
        journal: Journal,
        clock: Clock,
        send: Send,
        announced: Announced,
        pace: Pace,
        mark: Mark | None = None,
        replicas: int = 1,
    ) -> None:
        self._replicas = replicas
        self.settings = settings
        self.instruments = instruments
        self._journal = journal
        self._clock = clock
        self._send = send
        self._pace = pace
        self._mark = mark
        self.venue = self._new_venue()
        self.reports = ReportLog(journal)
        self.quotes: dict[str, Quote] = {}
        self._books: dict[str, Depth] = {}
        """Of the quotes that came with a book, as shown."""
        self._quoted: dict[str, Quote] = {}
        self.quoted_at: dict[str, float] = {}
        self.ready = asyncio.Event()
        self.on_ready: Callable[[bool], None] = lambda ready: None
        self.recoveries = 0
        self.forgotten = 0
        self.stale_epochs = 0
        """Requests of an exeq that was replaced by another one: refused without a report."""
        self.inbox: Inbox[Work] = Inbox()
        self._commits: GroupCommit[VenueEvent] | None = None
        self._ticket = 0
        self._latest = 0
        self._chance = random.Random(settings.name)
        self._wire = ReportWire(settings.name, send, announced)
        self.faults = FaultyWire(self._wire.put)

    @property
    def name(self) -> str:
        return self.settings.name

    def _new_venue(self) -> PaperVenue:
        return PaperVenue(self.name, self.instruments, self.settings.maker_bps, self.settings.taker_bps, self.settings.rules)

    async def put(self, message: Message, arrived: float | None = None) -> None:
        """Take a request from the wire. It is processed after the venue's latency, and after the requests before it.

        `arrived`: the event loop's time when its list came, by default now. Requests of one list share it, so that one commit holds them.
        """
        received = self.faults.heard(message)
        if received is not None:
            since = asyncio.get_running_loop().time() if arrived is None else arrived
            await self.inbox.put(received, since + self._latency_s())

    def _latency_s(self) -> float:
        """Return the configured latency plus exponentially distributed jitter."""
        jitter_ms = self.settings.jitter_ms
        return (self.settings.latency_ms + (self._chance.expovariate(1 / jitter_ms) if jitter_ms else 0.0)) / 1000

    async def meet(self, shard: int, epoch: int, unit: str) -> int:
        """Note an exeq's epoch and return the largest one met for the shard. Later answers follow it in the journal."""
        if epoch > self.venue.epochs.get(shard, 0):
            await self.inbox.put(Meet(shard, epoch, unit))
        return max(epoch, self.venue.epochs.get(shard, 0))

    async def do(self, deed: Deed) -> None:
        """Perform a manual action or a fault; return when it is journaled. Raises Unavailable."""
        await self.inbox.put(deed)
        await self.ask(lambda: None)

    def show(self, base: Quote, at: int, book: Depth | None = None) -> None:
        """Show a quote of the common market with this venue's spread and depth, if it trades the symbol; `book`: with these levels."""
        instrument = self.instruments.get(base.symbol)
        if instrument is not None:
            quote = shaped(base, self.name, instrument, self.settings.spread_ticks, self.settings.depth_scale, at)
            self.quotes[quote.symbol] = quote
            self._show(quote, book, instrument)

    def show_book(self, book: Depth) -> None:
        """Show other levels behind the same touch."""
        instrument, quote = self.instruments.get(book.symbol), self.quotes.get(book.symbol)
        if instrument is not None and quote is not None:
            self._show(quote, book, instrument)

    def trade(self, symbol: str, prints: Iterable[Print]) -> None:
        """Take trades of the market that this venue shows, in its own shape. Only a venue that estimates queues needs them."""
        instrument, own = self.instruments.get(symbol), self.settings
        if instrument is None or not own.rules.estimated:
            return
        for each in prints:
            price, quantity, side = msgspec.structs.astuple(shaped_print(each, instrument, own.spread_ticks, own.depth_scale))
            self.inbox.tell(TradePrint(symbol, side, price, quantity))

    def _show(self, quote: Quote, book: Depth | None, instrument: Instrument) -> None:
        if book is None:
            self._books.pop(quote.symbol, None)
        else:
            own = self.settings
            self._books[quote.symbol] = shaped_depth(book, self.name, instrument, own.spread_ticks, own.depth_scale)
        self.inbox.tell(self._shown(quote))

    def _shown(self, quote: Quote) -> Quote | DeepQuote:
        book = self._books.get(quote.symbol)
        return quote if book is None else DeepQuote(quote, book)

    def repeat(self, symbol: str) -> None:
        """Publish the last quote of a symbol again, with its book. For the venue this is not a new quote."""
        if (quote := self.quotes.get(symbol)) is not None:
            if (book := self._books.get(symbol)) is not None:
                self._publish_book(book)
            self.publish_quote(quote)

    def end(self, symbol: str) -> None:
        """Stop showing a symbol: its last quote leaves with the flag `stale` and without sizes, so nothing trades with it."""
        shown = self.quotes.pop(symbol, None)
        self._books.pop(symbol, None)
        if shown is not None:
            self.inbox.tell(msgspec.structs.replace(shown, bid_size=ZERO, ask_size=ZERO, flags=(*shown.flags, STALE)))

    async def ask(self, question: Callable[[], T]) -> T:
        """Return the answer from journaled state, after every message that came before. Raises Unavailable."""
        query = Query(question)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self.inbox.put(query)  # type: ignore[arg-type]  # Query is invariant in its answer's type
                return await query.answer
        except TimeoutError as error:
            raise Unavailable(f"venue {self.name} does not answer in {ANSWER_TIMEOUT_S} s") from error

    async def run(self) -> None:
        """Recover and work; when memory can no longer be trusted, discard it and recover again."""
        while True:
            try:
                self._commits = await self._recovered()
                await self._work_all(self._commits)
            except* (Fenced, Unavailable) as trouble:
                log.warning("a venue recovers from its journal", venue=self.name, reason=str(trouble.exceptions[0]))
            self._forget()
            await asyncio.sleep(RECOVER_PAUSE_S)

    async def watch(self) -> None:
        """Watch the journal. Raises Corrupt when another writer wrote behind this venue's last commit."""
        await watch_foreign(self._journal, lambda: self._commits.head if self._commits else None, f"the journal of {self.name}")

    async def _recovered(self) -> GroupCommit[VenueEvent]:
        if self._mark is not None:
            await verify_watermark(self._journal, self._mark)
        venue, reports, last = self._new_venue(), ReportLog(self._journal), await self._journal.head()
        head = reports.head
        async with contextlib.aclosing(self._journal.follow(head, until=last.seq)) as batches:
            async for batch in batches:
                for recorded in batch:
                    events = VENUE_COMMITS.read(recorded).events
                    for event in events:
                        venue.evolve(event)
                        self._latest = max(self._latest, stamp_of(event))
                    head = recorded.head
                    reports.add([e for e in events if isinstance(e, Reported)], head)
                await asyncio.sleep(0)
        self.venue, self.reports = venue, reports
        log.info("a venue is open", venue=self.name, sequence=head.seq, orders=venue.taken, open=len(venue.open))
        held = self._held if self._replicas > 1 else None
        commits = GroupCommit(self._journal, VENUE_COMMITS, head, pace=self._pace, held=held)
        if self._mark is not None:
            self._mark.note(head)
            commits.on_head = self._mark.note
        return commits

    def _held(self) -> VenueEvent:
        return ShardHeld(at=self._clock.now_ns(), unit=UNIT)

    async def _work_all(self, commits: GroupCommit[VenueEvent]) -> None:
        self._ticket = 0
        for quote in self.quotes.values():
            self._take(self._shown(quote))
        self.ready.set()
        self.on_ready(True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(commits.run())
            tasks.create_task(self._work(commits))
            tasks.create_task(self._watch_time())

    def _forget(self) -> None:
        """Discard decisions that were not journaled, and messages that were not decided: they are lost like messages on the wire."""
        self.ready.clear()
        self.on_ready(False)
        self._commits = None
        self.recoveries += 1
        while len(self.inbox):
            _, work = self.inbox.take()
            if isinstance(work, Query):
                _fail(work, Unavailable("the venue recovers from its journal"))
            else:
                self.forgotten += 1

    async def _work(self, commits: GroupCommit[VenueEvent]) -> None:
        loop = asyncio.get_running_loop()
        waited_until, in_a_row = 0.0, 0
        while True:
            if not len(self.inbox):
                in_a_row = 0
            due, work = await self.inbox.get()
            if due > waited_until and (wait_s := due - loop.time()) > 0:
                await asyncio.sleep(wait_s)
                waited_until = due  # the clock may be a rounding error behind it
            if self.faults.frozen:
                await self.faults.thawed()
            if isinstance(work, Query):
                await self._answer(work, commits)
            else:
                self._take(work)
            if self._ticket - commits.durable > UNSETTLED_MAX:
                await commits.settled(self._ticket)
            in_a_row += 1
            if in_a_row % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    async def _answer(self, query: Query[object], commits: GroupCommit[VenueEvent]) -> None:
        """Answer a query from durable state, after proving that no other writer is ahead. No message is decided meanwhile."""
        try:
            await commits.settled(self._ticket)
            await commits.prove()
        except Unavailable as trouble:
            _fail(query, trouble)
            raise
        if not query.answer.done():
            query.answer.set_result(query.ask())

    async def _watch_time(self) -> None:
        while True:
            await asyncio.sleep(TIME_CHECK_S)
            if next(self.venue.due(self._clock.now_ns()), None) is not None:
                await self.inbox.put(Passed())

    def _take(self, message: Message) -> None:
        assert self._commits is not None, "only a recovered venue takes messages"
        if self.venue.is_stale(message):
            self.stale_epochs += 1
            log.warning("a request of an older epoch is refused", venue=self.name, met=self.venue.epochs)
            return
        now = self._clock.now_ns()
        events = self.venue.take(message, now)
        if now < self._latest:  # the wall clock was set back: due times follow it, timestamps stay monotonic
            events = tuple(not_before(event, self._latest) for event in events)
        self._latest = max(self._latest, now)
        if isinstance(message, Quote):
            self.publish_quote(message)
        elif isinstance(message, DeepQuote):
            self._publish(message)
        for group in groups(events):
            self._ticket = self._commits.add(group, partial(self._landed, self._commits, group))

    def _publish(self, message: DeepQuote) -> None:
        """Publish a book, and then its quote if that is another one than the last: levels behind a touch concern few readers."""
        self._publish_book(message.depth)
        if self._quoted.get(message.quote.symbol) is not message.quote:
            self.publish_quote(message.quote)

    def _publish_book(self, book: Depth) -> None:
        self._send(subjects.depth(self.name, subject_token(book.symbol)), encode(book))

    def publish_quote(self, quote: Quote) -> None:
        self._quoted[quote.symbol] = quote
        self.quoted_at[quote.symbol] = asyncio.get_running_loop().time()
        self._send(subjects.ticks(subject_token(quote.symbol)), encode(quote))

    def _landed(self, commits: GroupCommit[VenueEvent], group: Sequence[VenueEvent], outcome: Outcome) -> None:
        if isinstance(outcome, Unavailable):
            return
        failpoint("before_report")
        reported = [event for event in group if isinstance(event, Reported)]
        self.reports.add(reported, commits.head)
        for event in reported:
            self.faults.report(event)

    def resend(self, shard: int, reports: Sequence[VenueReport]) -> None:
        """Publish reports again. They are with the publisher on return."""
        for report in reports:
            self._wire.put(Reported(report=report, shard=shard))
        self._wire.flush()


def _fail(query: Query[object], trouble: Unavailable) -> None:
    if not query.answer.done():
        query.answer.set_exception(trouble)
