"""Publishing of reports to oms: one list per shard for everything that the venue reported at once."""

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
    """Return the announcements on `fills.<account>` of all venues of the process."""
    return Announcements(interest, send, subjects.FILLS, _messages)


def _messages(reports: Iterable[VenueReport]) -> Iterator[tuple[str, bytes]]:
    return ((subjects.fills(report.account), encode(report)) for report in reports)


class ReportWire:
    """Publishes the reports of one venue. Reports put in one turn of the event loop, those of a commit, are sent together."""

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
        """Send the waiting reports now."""
        waiting, self._waiting = self._waiting, {}
        for shard, reports in waiting.items():
            for payload in lists(reports):
                self._send(subjects.reports(self._venue, shard), payload)
            for report in reports:
                self._announced.announce(report)
