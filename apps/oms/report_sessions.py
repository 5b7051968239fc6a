"""Venue sessions: reports are applied in sequence, without gaps and without duplicates.

The gateway numbers its reports per venue and shard without gaps. The journal holds the last number applied. After a gap, a start or a
quiet interval, oms requests a resend from there.
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

YIELD_EVERY: Final = 50
"""Reports applied in one turn of the event loop; submits run in between."""
ASK_EVERY_S: Final = 1.0
ASK_TIMEOUT_S: Final = 1.0

UNREADABLE_MAX: Final = 3
"""Attempts to read a report before it is quarantined in the journal and the session continues with the next one."""
REPORT_CHARACTERS_MAX: Final = 10_000

TRADES: Final = (ReportKind.FILL, ReportKind.BUST, ReportKind.CORRECTION)
"""Reports that are compared when they are repeated: the same id must carry the same content."""

_REPORT: Final = decoder(VenueReport)
_REPORTS: Final = Reader[VenueReport](VenueReport)


class Numbered(msgspec.Struct):
    """The fields that must be readable for a report to be quarantined and skipped."""

    venue: str
    report_seq: int
    order_id: str


_NUMBERED: Final = decoder(Numbered)


class ResendAnswer(msgspec.Struct):
    """The gateway's reply to a resend request. `error`: busy or unavailable; the request is repeated."""

    last: int | None = None
    error: str | None = None


_ANSWER: Final = decoder(ResendAnswer)


class VenueSessions:
    """One shard's side of its sessions with all venues."""

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
        """`venues` have sequenced sessions; `plain` serves the venues without one. `failed` ends the process."""
        self._client = client
        self._host = host
        self._venues = tuple(venues)
        self._plain = plain or UnsequencedVenues(host, ())
        self._shard = shard
        self._applied: dict[str, int] = {}
        self._asking: set[str] = set()
        self._unread: dict[str, tuple[int, int]] = {}
        self._stuck: set[str] = set()
        """Venues whose next report could not be applied. It is requested again at the next check, not on each report behind it."""
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
        """Reset the applied sequence numbers to those in the journal after a recovery of the shard."""
        self._applied = dict(self._host.orders.report_seqs)
        self._plain.recovered()

    async def run(self) -> None:
        """Request a resend from each idle venue every ASK_EVERY_S: a lost last report leaves no gap that would show it."""
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
        """Apply a list of one venue's reports in order."""
        venue = message.subject.split(".")[1]
        for count, report in enumerate(_REPORTS.read(message.data), 1):
            if isinstance(report, Unreadable):
                self._cannot_read(message.subject, report)
                self._unreadable(report.data, venue)
            elif report.venue != venue:
                self._cannot_read(message.subject, Unreadable(encode(report), "the report names another venue"))
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
        if report.venue not in self._venues and self._host.has(report.order_id):
            self._applied_or_failed(report)

    def _cannot_read(self, subject: str, what: Unreadable) -> None:
        self.unreadable += 1
        log.warning("unreadable venue report", subject=subject, error=what.reason, head=what.data[:200].decode(errors="replace"))

    def _applied_or_failed(self, report: VenueReport) -> None:
        if not self._host.ready:
            return
        try:
            self._take(report)
        except Exception as error:  # noqa: BLE001 - the NATS client would swallow it and lose the report: end the process instead
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
        """Compare a repeated trade with the recorded one under its used number. If the order cannot be read, the trade comes again."""
        with contextlib.suppress(Unavailable):
            if self._host.find(report.order_id) is not None:
                self._host.execute(msgspec.structs.replace(report, report_seq=0), lambda outcome: None)

    def _unreadable(self, data: bytes, venue: str) -> None:
        """Request an unreadable next report again; quarantine it after UNREADABLE_MAX attempts. A report without a number is ignored."""
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
        """Apply the report with a venue's next number. Return False when it cannot be applied now."""
        self._refused = False
        self._host.execute(command, self._stored)
        if self._refused:
            self._stuck.add(venue)
            log.warning("a venue report cannot be applied now", venue=venue, report_seq=number)
            return False
        self._applied[venue] = number
        return True

    def _stored(self, outcome: Landed | Unavailable) -> None:
        """Note an immediate refusal (the order is in a store that is down): the report was not applied. A later loss needs no action:
        the shard recovers, the number in its journal did not move, and the report is requested again."""
        if isinstance(outcome, Unavailable):
            self._refused = True

    def _gap(self, venue: str, applied: int, found: int) -> None:
        if venue in self._asking:
            return
        self.gaps += 1
        log.warning("gap in a venue's reports", venue=venue, applied=applied, found=found)
        task = asyncio.create_task(self._ask(venue))
        self._tasks.add(task)
        task.add_done_callback(self._asked)

    def _asked(self, task: asyncio.Task[None]) -> None:
        """Log the error of a failed resend request; `run` repeats the request within two seconds."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("resend request to a venue failed", exc_info=error)

    async def _ask(self, venue: str) -> None:
        """Request a resend of the reports after the last applied one. They arrive in order, on the usual subject."""
        if venue in self._asking:
            return
        self._asking.add(venue)
        applied = self._applied.get(venue, 0)  # kept for the check below: reports that overtake the reply may raise it meanwhile
        body = encode({"kind": "resend", "from": applied + 1})
        try:
            answer: ResendAnswer = _ANSWER.decode(
                await bus.request(self._client, subjects.session(venue, self._shard), body, ASK_TIMEOUT_S)
            )
        except Unavailable:
            return
        except ValueError as error:
            log.warning("unreadable session reply", venue=venue, error=str(error))
            return
        finally:
            self._asking.discard(venue)
        if answer.last is not None and answer.last < applied:
            log.error(
                "a venue's report numbers are below the last one applied: was its state lost?",
                venue=venue,
                last=answer.last,
                applied=applied,
            )
