"""Interest in announcements where a test needs no monitoring: every subject has a subscriber, or none has."""

from typing import Any

from nats.aio.client import Client

from apps.connections.announcements import Announcements, Interest


class AlwaysSubscribed(Interest):
    """Every announcement is published at once."""

    def __init__(self) -> None:
        super().__init__(Client(), ())

    def add(self, family: Announcements[Any]) -> None:
        family.poll_ended(None)


class NeverSubscribed(Interest):
    """No announcement is published, and none is kept."""

    def __init__(self) -> None:
        super().__init__(Client(), ())

    def request_poll(self) -> None:
        for family in self._families:
            family.poll_started()
            family.poll_ended(())
