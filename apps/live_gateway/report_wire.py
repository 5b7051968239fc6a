"""Reports on their way to oms: one list a shard for all that the venue reported at once."""

import asyncio
from collections.abc import Iterable, Iterator

from adapters import subjects
from adapters.codec import encode
from apps.connections.announcements import Announcements, Interest, Send
from apps.connections.venue_lists import lists
from domain.order.commands import VenueReport
from domain.paper.events import Reported

Announced = Announcements[VenueReport]


def announced_fills(interest: Interest, send: Send) -> Announced:
    """`fills.<account>` of all venues of the process."""
    return Announcements(interest, send, subjects.FILLS, _messages)


def _messages(reports: Iterable[VenueReport]) -> Iterator[tuple[str, bytes]]:
    return ((subjects.fills(report.account), encode(report)) for report in reports)


class ReportWire:
    """One venue's. What is put in one turn of the loop, which is a commit's, goes together."""

    def __init__(self, venue: str, send: Send, announced: Announced) -> None:
        self._venue = venue
        self._send = send
        self._announced = announced
        self._waiting: dict[int, list[VenueReport]] = {}

    def put(self, reported: Reported) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.setdefault(reported.shard, []).append(reported.report)

    def flush(self) -> None:
        """Send now what was put."""
        waiting, self._waiting = self._waiting, {}
        for shard, reports in waiting.items():
            for payload in lists(reports):
                self._send(subjects.reports(self._venue, shard), payload)
            for report in reports:
                self._announced.announce(report)
