"""Is a venue's session there? Asked every second; one that has said nothing for its deadline, asked twice, gets no new orders."""

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
"""So many questions in a row must be left without an answer: one word may be lost on its way."""


class Greeting(msgspec.Struct):
    """`ready`: it has read its journal; one that has not cannot say what it has. `epoch`: the largest it has met, if it knows any."""

    ready: bool = True
    epoch: int = 0


_GREETING: Final = decoder(Greeting)


class VenueSessionMonitor:
    """`away` are venues that do not answer. While we are not connected ourselves, nothing is known of anybody."""

    def __init__(self, client: Client, venues: Mapping[str, RoutedVenue], ownership: Ownership, shard: int = 0) -> None:
        self._client = client
        self._ownership = ownership
        self._shard = shard
        self._deadlines = {venue.name: venue.answer_deadline_ns / 1e9 for venue in venues.values() if not venue.plain}
        self._heard: dict[str, float] = {}
        self._known: set[str] = set()
        self.missed: Counter[str] = Counter()
        """Questions in a row that each venue left without an answer; nothing of one that answered."""
        self.away: set[str] = set()

    async def listen(self) -> tuple[set[str], set[str]]:
        """Ask everybody once. Who went away since the last time, and who came back or is heard for the first time."""
        answers = await asyncio.gather(*(self._hears(name) for name in self._deadlines))
        now = asyncio.get_running_loop().time()
        quiet = set[str]()
        for (name, deadline_s), answered in zip(self._deadlines.items(), answers, strict=True):
            if answered or not self._client.is_connected or name not in self._heard:
                self._heard[name] = now
                del self.missed[name]
                continue
            self.missed[name] += 1
            if now - self._heard[name] >= deadline_s and self.missed[name] >= MISSED_MIN:
                quiet.add(name)
        if not self._client.is_connected:
            return set(), set()
        gone, back = quiet - self.away, self.away - quiet
        back = {name for name in back if self._heard[name] == now}
        self.away = (self.away | gone) - back
        _tell(gone, back)
        heard = {name for name, answered in zip(self._deadlines, answers, strict=True) if answered}
        new, self._known = heard - self._known, self._known | heard
        return gone, back | new

    async def _hears(self, venue: str) -> bool:
        """Our epoch goes along, so that it refuses what an exeq before us may still send."""
        owned = self._ownership
        hello = encode({"kind": "hello", "unit": owned.unit, "epoch": owned.epoch or 0})
        try:
            reply = await bus.request(self._client, subjects.session(venue, self._shard), hello, HELLO_TIMEOUT_S)
            greeting: Greeting = _GREETING.decode(reply)
        except Unavailable:
            return False
        except ValueError:
            return True  # it is there; what it cannot say well shows when it is asked about orders
        owned.met(greeting.epoch)
        return greeting.ready


def _tell(gone: Iterable[str], back: Iterable[str]) -> None:
    for name in gone:
        log.error("a venue is away: what it has not answered is in doubt, and it gets no new orders", venue=name)
    for name in back:
        log.warning("a venue is back: it is asked about every order in doubt, and compared", venue=name)
