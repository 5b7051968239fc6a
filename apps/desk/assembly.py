"""The fold and the streams of desk, put together over any journal: the service and its tests build the same."""

from collections.abc import Callable
from typing import Any

from adapters.codec import ORDER_COMMITS
from apps.connections import nats
from apps.desk.client_stream import Sources
from apps.desk.events_source import EventsSource
from apps.desk.fold import Commits, DeskFold, OnOrder
from apps.desk.forgotten import remember
from apps.desk.frames import Frames
from apps.desk.marks import BestQuotes
from apps.desk.services import Ask, Services
from apps.desk.stream import StreamEndpoint
from apps.desk.told import Told
from apps.http.authority import Authority
from apps.journal.end import JournalEnd
from apps.journal.subscription import JournalSubscription
from config.sections import StreamSection
from domain.ports import Clock, Head, Journal
from domain.risk.controls import ControlEvent, Controls

Whole = Callable[[Callable[[Commits], None]], Callable[[Commits], None]]
Timed = Callable[[Callable[[Commits], Any]], Callable[[Commits], Any]]


class Assembly:
    """`orders` and `end` have tasks to run: `orders.run`, `end.run`, `services.run` and `streams.look_after`."""

    def __init__(
        self,
        journal: Journal,
        fold: DeskFold,
        after: Head,
        bounds: StreamSection,
        authority: Authority,
        clock: Clock,
        ask: Ask,
        *,
        whole: Whole = lambda apply: apply,
        timed: Timed = lambda apply: apply,
        wait_s: float = 0.0,
    ) -> None:
        """`fold` was restored at `after`. `whole` and `timed` wrap its application, for snapshots and measurements."""
        fold.restored_at(after.seq)
        self._fold = fold
        self._journal = journal
        self._clock = clock
        self._lag_ms = 0
        self._on_order: OnOrder | None = None
        self._whole = whole(self._take)
        self.controls = Controls()
        self.quotes = BestQuotes()
        self.orders = JournalSubscription(journal, ORDER_COMMITS, timed(self._apply), after=after, wait_s=wait_s)
        self.end = JournalEnd(journal, self.orders, clock)
        frames = Frames(fold, lambda: self.orders.head, self.controls, clock, authority.keys.owner_of)
        self.services = Services(ask, lambda: self.end.seq, fold, clock)
        events = EventsSource(frames, journal)
        sources = Sources(frames, self.end, lambda: self._lag_ms, events, self.quotes, self.services, journal, bounds)
        self.told = Told(fold, self.services, lambda: self.orders.head.seq)
        self.streams = StreamEndpoint(sources, authority, bounds)

    def control(self, event: ControlEvent) -> None:
        """Apply a control, and tell it to the streams."""
        self.controls.apply(event)
        self.streams.wake_all()

    async def _apply(self, commits: Commits) -> None:
        await nats.patiently(lambda: remember(self._fold, self._journal, commits))
        self._whole(commits)

    def announce(self, on_order: OnOrder) -> None:
        """Pass each order to `on_order` after each commit from now on."""
        self._on_order = on_order

    def _take(self, commits: Commits) -> None:
        self._fold.on_order = None if self.orders.is_past(commits[-1][0]) else self._on_order
        self.streams.changed(self._fold.apply(commits))
        self._lag_ms = max(0, self._clock.now_ns() - commits[-1][1].events[-1].at) // 1_000_000

    def stats(self) -> dict[str, Any]:
        memory = {"orders_in_memory": self._fold.orders_in_memory(), "events_in_memory": len(self._fold.events)}
        return {"seq": self.orders.head.seq, "lag_ms": self._lag_ms, "streams": self.streams.stats(), **memory}
