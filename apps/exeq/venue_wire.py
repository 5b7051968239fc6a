"""Requests on their way to the venues: one list a venue and commit to a full session, and a message each to a plain one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from adapters import subjects
from adapters.codec import encode
from apps.connections.announcements import Announcements, Interest, Send
from apps.connections.venue_lists import SentRequest, lists
from domain.execution.routing import RoutedVenue


class VenueWire:
    """Sends requests. On `orders.<account>.<verb>` a plain venue gets its requests; those to other venues are announced there."""

    def __init__(self, send: Send, interest: Interest, venues: Mapping[str, RoutedVenue]) -> None:
        self._send = send
        self._plain = {name for name, venue in venues.items() if venue.plain}
        self.announced: Announcements[SentRequest] = Announcements(interest, send, subjects.NEW_ORDERS, _announcements)

    def send(self, requests: Sequence[SentRequest]) -> None:
        """In their order. With the outbox before this returns: what a kill switch waits for."""
        to: dict[tuple[str, int], list[SentRequest]] = {}
        for sent in requests:
            request = sent.request
            if request.venue in self._plain:
                self._send(*_announcement(sent))
            else:
                to.setdefault((request.venue, request.shard), []).append(sent)
                self.announced.announce(sent)
        for (venue, shard), found in to.items():
            for payload in lists(found):
                self._send(subjects.requests(venue, shard), payload)


def _announcement(sent: SentRequest) -> tuple[str, bytes]:
    return subjects.orders(sent.request.account, sent.verb), encode(sent.request)


def _announcements(sent: Iterable[SentRequest]) -> Iterator[tuple[str, bytes]]:
    return map(_announcement, sent)
