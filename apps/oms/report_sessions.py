"""The venue sessions: reports applied in their order, none missed, none applied twice.

The gateway numbers its reports per venue and shard without holes. The last number applied is in the journal; a hole, a start or a quiet
moment asks the gateway to send again from there.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus, subjects
from adapters.codec import decoder, encode
from apps.connections.venue_lists import Reader, Unreadable
from apps.journal.shard_host import Landed, ShardHost
from apps.oms.unsequenced_reports import UnsequencedVenues
from domain.order.commands import ReportKind, SetReportAside, VenueReport
from domain.ports import Unavailable

log = structlog.get_logger()

"""Where plain venues report. Of the others' reports these are announcements, which their sessions need not."""
YIELD_EVERY: Final = 50
"""Reports of a list that are applied in one turn of the loop: submits have theirs between."""
ASK_EVERY_S: Final = 1.0
ASK_TIMEOUT_S: Final = 1.0

UNREADABLE_MAX: Final = 3
"""So often a report may come that cannot be read; then it is set aside in the journal, and those behind it have their turn."""
REPORT_CHARACTERS_MAX: Final = 10_000

TRADES: Final = (ReportKind.FILL, ReportKind.BUST, ReportKind.CORRECTION)
"""Facts that are looked at again when they come again: the same id must say the same."""

_REPORT: Final = decoder(VenueReport)
_REPORTS: Final = Reader[VenueReport](VenueReport)


class Numbered(msgspec.Struct):
    """What must be readable of a report to go past it."""

    venue: str
    report_seq: int
    order_id: str


_NUMBERED: Final = decoder(Numbered)


class ResendAnswer(msgspec.Struct):
    """`error`: busy or unavailable for now; it is asked again."""

    last: int | None = None
    error: str | None = None


_ANSWER: Final = decoder(ResendAnswer)


class VenueSessions:
    """One shard's side of the sessions with every venue."""

    def __init__(
        self,
        client: Client,
        host: ShardHost,
        venues: Iterable[str],
        shard: int,
        plain: UnsequencedVenues | None = None,
        *,
        failed: Callable[[str], None],
    ) -> None:
        """`venues` have the whole session; `plain` looks after those that have none. `failed` ends the process."""
        self._client = client
        self._host = host
        self._venues = tuple(venues)
        self._plain = plain or UnsequencedVenues(host, ())
        self._shard = shard
        self._applied: dict[str, int] = {}
        self._asking: set[str] = set()
        self._unread: dict[str, tuple[int, int]] = {}
        self._stuck: set[str] = set()
        """Venues whose next report could not be taken just now; it is asked for again at the next look, not at each report behind it."""
        self._refused = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.reports = 0
        self.duplicates = 0
        self.gaps = 0
        self.unreadable = 0
        self._failed = failed

    async def start(self) -> None:
        for venue in self._venues:
            await self._client.subscribe(subjects.reports(venue, self._shard), cb=self._on_reports)
        if self._plain.any:
            await self._client.subscribe(subjects.FILLS, cb=self._on_plain)

    def restart(self) -> None:
        """The shard recovered: what was applied is what its journal says."""
        self._applied = dict(self._host.orders.report_seqs)
        self._plain.recovered()

    async def run(self) -> None:
        """Ask every venue now and then whether we missed its last reports: a lost last report leaves no hole to see."""
        seen: dict[str, int] = {}
        while True:
            for venue in self._venues:
                self._stuck.discard(venue)
                if self._host.ready and seen.get(venue) == self._applied.get(venue, 0):
                    await self._ask(venue)
                seen[venue] = self._applied.get(venue, 0)
            await asyncio.sleep(ASK_EVERY_S)

    def stats(self) -> dict[str, int]:
        return {"applied": self.reports, "duplicates": self.duplicates, "gaps": self.gaps, "unreadable": self.unreadable}

    async def _on_reports(self, message: Msg) -> None:
        """A list of one venue's reports, in their order."""
        venue = message.subject.split(".")[1]
        for count, report in enumerate(_REPORTS.read(message.data), 1):
            if isinstance(report, Unreadable):
                self._cannot_read(message.subject, report)
                self._unreadable(report.data, venue)
            elif report.venue != venue:
                self._cannot_read(message.subject, Unreadable(encode(report), "it is of another venue"))
            else:
                self._applied_or_failed(report)
            if not count % YIELD_EVERY:
                await asyncio.sleep(0)

    async def _on_plain(self, message: Msg) -> None:
        try:
            report: VenueReport = _REPORT.decode(message.data)
        except ValueError as error:
            if not self._plain.take(message.data):
                self._cannot_read(message.subject, Unreadable(message.data, str(error)))
            return
        if report.venue not in self._venues:
            self._applied_or_failed(report)

    def _cannot_read(self, subject: str, what: Unreadable) -> None:
        self.unreadable += 1
        log.warning("unreadable venue report", subject=subject, error=what.reason, head=what.data[:200].decode(errors="replace"))

    def _applied_or_failed(self, report: VenueReport) -> None:
        if not self._host.ready:
            return
        try:
            self._take(report)
        except Exception as error:  # noqa: BLE001 - the client would swallow it, and the report with it: stop and say where
            self._failed(f"report {report.report_seq} of {report.venue} cannot be applied: {error!r}")

    def _take(self, report: VenueReport) -> None:
        applied = self._applied.get(report.venue, 0)
        if report.report_seq > applied + 1:
            if report.venue not in self._stuck:
                self._gap(report.venue, applied, report.report_seq)
            return
        if report.report_seq <= applied:
            self.duplicates += 1
            if report.report in TRADES:
                self._look_again(report)
            return
        if self._apply(report, report.venue, report.report_seq):
            self.reports += 1

    def _look_again(self, report: VenueReport) -> None:
        """A trade that came before must say what it said; its number was used already. What cannot be looked at now comes again."""
        with contextlib.suppress(Unavailable):
            if self._host.find(report.order_id) is not None:
                self._host.execute(msgspec.structs.replace(report, report_seq=0), lambda outcome: None)

    def _unreadable(self, data: bytes, venue: str) -> None:
        """The next report of a venue cannot be read: asked for again, and in the end set aside. What has no number has no place either."""
        try:
            found: Numbered = _NUMBERED.decode(data)
        except ValueError:
            return
        applied = self._applied.get(found.venue, 0)
        if not self._host.ready or found.venue != venue or found.report_seq != applied + 1:
            return
        seq, times = self._unread.get(found.venue, (0, 0))
        times = times + 1 if seq == found.report_seq else 1
        self._unread[found.venue] = found.report_seq, times
        if times < UNREADABLE_MAX:
            self._gap(found.venue, applied, found.report_seq)
            return
        text = data.decode(errors="replace")[:REPORT_CHARACTERS_MAX]
        aside = SetReportAside(order_id=found.order_id, venue=found.venue, report_seq=found.report_seq, report=text)
        self._apply(aside, found.venue, found.report_seq)

    def _apply(self, command: VenueReport | SetReportAside, venue: str, number: int) -> bool:
        """The next of a venue's numbers. False when it cannot be taken just now."""
        self._refused = False
        self._host.execute(command, self._stored)
        if self._refused:
            self._stuck.add(venue)
            log.warning("a venue's report cannot be taken now", venue=venue, report_seq=number)
            return False
        self._applied[venue] = number
        return True

    def _stored(self, outcome: Landed | Unavailable) -> None:
        """Refused at once (its order is in a store that is down), it was not applied. Lost later it comes again by itself: the shard
        recovers, and the number in its journal did not move."""
        if isinstance(outcome, Unavailable):
            self._refused = True

    def _gap(self, venue: str, applied: int, found: int) -> None:
        if venue in self._asking:
            return
        self.gaps += 1
        log.warning("a venue's reports have a hole", venue=venue, applied=applied, found=found)
        task = asyncio.create_task(self._ask(venue))
        self._tasks.add(task)
        task.add_done_callback(self._asked)

    def _asked(self, task: asyncio.Task[None]) -> None:
        """Whatever kept one from asking: `run` asks again within a second or two."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a venue could not be asked for its reports", exc_info=error)

    async def _ask(self, venue: str) -> None:
        """Have the reports behind the last applied one sent again, in order, where reports always come."""
        if venue in self._asking:
            return
        self._asking.add(venue)
        applied = self._applied.get(venue, 0)  # by the time of the answer it may be more: reports overtake an answer that waits its turn
        body = encode({"kind": "resend", "from": applied + 1})
        try:
            answer: ResendAnswer = _ANSWER.decode(
                await bus.request(self._client, subjects.session(venue, self._shard), body, ASK_TIMEOUT_S)
            )
        except Unavailable:
            return
        except ValueError as error:
            log.warning("unreadable session answer", venue=venue, error=str(error))
            return
        finally:
            self._asking.discard(venue)
        if answer.last is not None and answer.last < applied:
            log.error(
                "a venue numbers its reports below what was applied: was its state lost?", venue=venue, last=answer.last, applied=applied
            )
