"""Drives one paper venue: one message after the other, decided at once, journaled in groups, reported after the ack."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

import structlog

from adapters import subjects
from adapters.codec import encode
from apps.connections.announcements import Send
from apps.journal.group_commit import GroupCommit, Outcome, Pace
from apps.journal.watermark import Mark, verify_watermark, watch_foreign
from apps.live_gateway.faulty_wire import FaultyWire
from apps.live_gateway.report_log import VENUE_COMMITS, ReportLog
from apps.live_gateway.report_wire import Announced, ReportWire
from apps.runtime.failpoint import failpoint
from config.catalogue import VenueSettings
from domain.execution.owner import UNIT
from domain.instruments import Instrument
from domain.market.quotes import Quote
from domain.market.simulated import shaped
from domain.order.commands import VenueReport
from domain.order.events import JournalAccepted, ShardHeld
from domain.paper.events import (
    Deed,
    EpochMet,
    Meet,
    Message,
    OrderForgotten,
    Passed,
    QueueAdvanced,
    QueueJoined,
    Reported,
    RequestTaken,
    StopTriggered,
    TradingHalted,
    TradingResumed,
    VenueEvent,
    not_before,
    stamp_of,
)
from domain.paper.venue import PaperVenue
from domain.ports import Clock, Fenced, Journal, Unavailable
from domain.values import subject_token

log = structlog.get_logger()
T = TypeVar("T")

INBOX_MAX: Final = 4096
"""Messages that wait for one venue. When it is full the subscription waits, and behind it the client's own bound."""

GROUP_MAX: Final = 500
"""Events that go into a commit together; one quote may fill thousands of orders."""

UNSETTLED_MAX: Final = 2_000
"""Groups that may wait for the disk before the venue takes no more."""

YIELD_EVERY: Final = 50
TIME_CHECK_S: Final = 0.05
ANSWER_TIMEOUT_S: Final = 10
RECOVER_PAUSE_S: Final = 0.25


class Query(Generic[T]):
    """A question about what is journaled, in its turn among the messages."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self.ask = ask
        self.answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()


Work = Message | Query[object]


class VenueHost:
    """`venue` and `reports` are what the journal holds plus what is on the way to it; `quotes` what the venue shows."""

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
        self.quoted_at: dict[str, float] = {}
        self.ready = asyncio.Event()
        self.on_ready: Callable[[bool], None] = lambda ready: None
        self.recoveries = 0
        self.forgotten = 0
        self.stale_epochs = 0
        """Requests of an exeq that another one has followed: refused, and never reported on."""
        self._inbox: asyncio.Queue[tuple[float, Work]] = asyncio.Queue(INBOX_MAX)
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

    async def put(self, message: Message) -> None:
        """A request of the wire: it is looked at when the venue's latency has passed, and those before it have been."""
        heard = self.faults.heard(message)
        if heard is not None:
            await self._inbox.put((asyncio.get_running_loop().time() + self._latency_s(), heard))

    def _latency_s(self) -> float:
        """The usual time and now and then a longer one: what is added is spread as waiting times are."""
        jitter_ms = self.settings.jitter_ms
        return (self.settings.latency_ms + (self._chance.expovariate(1 / jitter_ms) if jitter_ms else 0.0)) / 1000

    async def meet(self, shard: int, epoch: int, unit: str) -> int:
        """An exeq says its epoch; the largest one met for the shard. What is answered behind this stands behind it in the journal."""
        if epoch > self.venue.epochs.get(shard, 0):
            await self._inbox.put((0, Meet(shard, epoch, unit)))
        return max(epoch, self.venue.epochs.get(shard, 0))

    async def do(self, deed: Deed) -> None:
        """What the venue's staff does, or a fault; returns when it is journaled. Unavailable."""
        await self._inbox.put((0, deed))
        await self.ask(lambda: None)

    async def show(self, base: Quote, at: int) -> None:
        """A quote of the common market, in this venue's shape; nothing when the symbol is not traded here."""
        instrument = self.instruments.get(base.symbol)
        if instrument is not None:
            quote = shaped(base, self.name, instrument, self.settings.spread_ticks, self.settings.depth_scale, at)
            self.quotes[quote.symbol] = quote
            await self._inbox.put((0, quote))

    async def ask(self, question: Callable[[], T]) -> T:
        """The answer as of the journal, after every message that came before. Unavailable."""
        query = Query(question)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._inbox.put((0, query))  # type: ignore[arg-type]  # nobody looks at the answer's type on the way
                return await query.answer
        except TimeoutError as error:
            raise Unavailable(f"venue {self.name} does not answer in {ANSWER_TIMEOUT_S} s") from error

    async def run(self) -> None:
        """Recover, work, and when the memory can no longer be trusted, throw it away and begin again."""
        while True:
            try:
                self._commits = await self._recovered()
                await self._work_all(self._commits)
            except* (Fenced, Unavailable) as trouble:
                log.warning("a venue recovers from its journal", venue=self.name, reason=str(trouble.exceptions[0]))
            self._forget()
            await asyncio.sleep(RECOVER_PAUSE_S)

    async def watch(self) -> None:
        """For ever: Corrupt when something else than this venue wrote behind its last commit."""
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
            self._take(quote)
        self.ready.set()
        self.on_ready(True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(commits.run())
            tasks.create_task(self._work(commits))
            tasks.create_task(self._watch_time())

    def _forget(self) -> None:
        """What was decided but not journaled never happened. What still waited to be decided is as lost as a message on the wire."""
        self.ready.clear()
        self.on_ready(False)
        self._commits = None
        self.recoveries += 1
        while not self._inbox.empty():
            _, work = self._inbox.get_nowait()
            if isinstance(work, Query):
                _fail(work, Unavailable("the venue recovers from its journal"))
            else:
                self.forgotten += 1

    async def _work(self, commits: GroupCommit[VenueEvent]) -> None:
        loop = asyncio.get_running_loop()
        done = 0
        while True:
            due, work = await self._inbox.get()
            if (wait_s := due - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            if self.faults.frozen:
                await self.faults.thawed()
            if isinstance(work, Query):
                await self._answer(work, commits)
            else:
                self._take(work)
            if self._ticket - commits.durable > UNSETTLED_MAX:
                await commits.settled(self._ticket)
            done += 1
            if done % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    async def _answer(self, query: Query[object], commits: GroupCommit[VenueEvent]) -> None:
        """Nobody reads what is not on disk, nor from a memory that another writer may have overtaken: nothing else is decided meanwhile."""
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
                await self._inbox.put((0, Passed()))

    def _take(self, message: Message) -> None:
        assert self._commits is not None, "only a recovered venue takes messages"
        if self.venue.is_stale(message):
            self.stale_epochs += 1
            log.warning("a request of an older epoch is refused", venue=self.name, met=self.venue.epochs)
            return
        now = self._clock.now_ns()
        events = self.venue.take(message, now)
        if now < self._latest:  # the wall clock was set back: what is due goes by it, stamps do not go back
            events = tuple(not_before(event, self._latest) for event in events)
        self._latest = max(self._latest, now)
        if isinstance(message, Quote):
            self.publish_quote(message)
        for group in groups(events):
            self._ticket = self._commits.add(group, partial(self._landed, self._commits, group))

    def publish_quote(self, quote: Quote) -> None:
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
        """With the outbox before this returns."""
        for report in reports:
            self._wire.put(Reported(report=report, shard=shard))
        self._wire.flush()


def _fail(query: Query[object], trouble: Unavailable) -> None:
    if not query.answer.done():
        query.answer.set_exception(trouble)


def groups(events: Sequence[VenueEvent], size_max: int = GROUP_MAX) -> Iterator[Sequence[VenueEvent]]:
    """Cut a long decision into commits, but never between the events of one order: a crash must not leave half of its answer."""
    begin = 0
    while len(events) - begin > size_max:
        end = begin + size_max
        while end < len(events) and route_of(events[end]) == route_of(events[end - 1]):
            end += 1
        yield events[begin:end]
        begin = end
    if begin < len(events):
        yield events[begin:]


def route_of(event: VenueEvent) -> str:
    match event:
        case RequestTaken():
            return event.request.route_id
        case StopTriggered() | QueueJoined() | OrderForgotten():
            return event.route_id
        case Reported():
            return event.report.route_id
        case QueueAdvanced() | TradingHalted() | TradingResumed() | EpochMet() | JournalAccepted() | ShardHeld():
            return ""
