"""Publishing of venue requests: one list per venue and commit to a sequenced session, one message each to an unsequenced one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from adapters import subjects
from adapters.codec import encode
from apps.connections.announcements import Announcements, Interest, Send
from apps.connections.venue_lists import SentRequest, lists
from domain.execution.routing import RoutedVenue


class VenueWire:
    """Sends requests. An unsequenced venue gets them on `orders.<account>.<verb>`; requests to other venues are announced there."""

    def __init__(self, send: Send, interest: Interest, venues: Mapping[str, RoutedVenue]) -> None:
        self._send = send
        self._plain = {name for name, venue in venues.items() if venue.plain}
        self.announced: Announcements[SentRequest] = Announcements(interest, send, subjects.NEW_ORDERS, _announcements)

    def send(self, requests: Sequence[SentRequest]) -> None:
        """Send requests in order. They are with the publisher on return; the kill switch relies on that."""
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
