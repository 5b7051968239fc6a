"""Session monitor: every venue gets a hello each second. One that misses two and exceeds its deadline gets no new orders."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client

from adapters import bus, subjects
from adapters.codec import decoder, encode
from apps.exeq.ownership import Ownership
from domain.execution.routing import RoutedVenue
from domain.ports import Unavailable

log = structlog.get_logger()

HELLO_TIMEOUT_S: Final = 1.0
MISSED_MIN: Final = 2
"""Consecutive hellos that must stay unanswered before a venue counts as away: a single message may be lost."""


class Greeting(msgspec.Struct):
    """The reply to a hello. `ready`: the venue has read its journal and can report its state. `epoch`: the largest it has met, or 0."""

    ready: bool = True
    epoch: int = 0


_GREETING: Final = decoder(Greeting)


class VenueSessionMonitor:
    """Tracks in `away` the venues that do not answer. While exeq itself is disconnected, the state does not change."""

    def __init__(self, client: Client, venues: Mapping[str, RoutedVenue], ownership: Ownership, shard: int = 0) -> None:
        self._client = client
        self._ownership = ownership
        self._shard = shard
        self._deadlines = {venue.name: venue.answer_deadline_ns / 1e9 for venue in venues.values() if not venue.plain}
        self._answered_at: dict[str, float] = {}
        self._known: set[str] = set()
        self.missed: Counter[str] = Counter()
        """Consecutive unanswered hellos of each venue; no entry for a venue that answered."""
        self.away: set[str] = set()

    async def listen(self) -> tuple[set[str], set[str]]:
        """Send a hello to every venue. Return the venues that went away, and those that came back or answered for the first time."""
        answers = await asyncio.gather(*(self._answers(name) for name in self._deadlines))
        now = asyncio.get_running_loop().time()
        quiet = set[str]()
        for (name, deadline_s), answered in zip(self._deadlines.items(), answers, strict=True):
            if answered or not self._client.is_connected or name not in self._answered_at:
                self._answered_at[name] = now
                del self.missed[name]
                continue
            self.missed[name] += 1
            if now - self._answered_at[name] >= deadline_s and self.missed[name] >= MISSED_MIN:
                quiet.add(name)
        if not self._client.is_connected:
            return set(), set()
        gone, back = quiet - self.away, self.away - quiet
        back = {name for name in back if self._answered_at[name] == now}
        self.away = (self.away | gone) - back
        _log_changes(gone, back)
        present = {name for name, answered in zip(self._deadlines, answers, strict=True) if answered}
        new, self._known = present - self._known, self._known | present
        return gone, back | new

    async def _answers(self, venue: str) -> bool:
        """Send a hello with this exeq's epoch, so that the venue refuses requests of an earlier exeq. Return whether it is ready."""
        owned = self._ownership
        hello = encode({"kind": "hello", "unit": owned.unit, "epoch": owned.epoch or 0})
        try:
            reply = await bus.request(self._client, subjects.session(venue, self._shard), hello, HELLO_TIMEOUT_S)
            greeting: Greeting = _GREETING.decode(reply)
        except Unavailable:
            return False
        except ValueError:
            return True  # the venue is present; an unreadable reply is handled when it is queried about orders
        owned.met(greeting.epoch)
        return greeting.ready


def _log_changes(gone: Iterable[str], back: Iterable[str]) -> None:
    for name in gone:
        log.error("a venue is away: its unanswered requests are in doubt, and it gets no new orders", venue=name)
    for name in back:
        log.warning("a venue is back: it is queried about every order in doubt, and reconciled", venue=name)
