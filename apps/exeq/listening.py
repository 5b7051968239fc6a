"""Is a venue's session there? Asked every second; one that has said nothing for its deadline is away, and gets no new orders."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

import structlog
from nats.aio.client import Client

from adapters import bus
from adapters.codec import encode
from domain.ports import Unavailable
from domain.routing import Venue

log = structlog.get_logger()

HELLO_TIMEOUT_S: Final = 1.0
_HELLO: Final = encode({"kind": "hello"})


class Listening:
    """`away` are venues that do not answer. While we are not connected ourselves, nothing is known of anybody."""

    def __init__(self, client: Client, venues: Mapping[str, Venue], shard: int = 0) -> None:
        self._client = client
        self._shard = shard
        self._deadlines = {venue.name: venue.answer_deadline_ns / 1e9 for venue in venues.values() if not venue.plain}
        self._heard: dict[str, float] = {}
        self._known: set[str] = set()
        self.away: set[str] = set()

    async def listen(self) -> tuple[set[str], set[str]]:
        """Ask everybody once. Who went away since the last time, and who came back or is heard for the first time."""
        answers = await asyncio.gather(*(self._hears(name) for name in self._deadlines))
        now = asyncio.get_running_loop().time()
        quiet = set[str]()
        for (name, deadline_s), answered in zip(self._deadlines.items(), answers, strict=True):
            if answered or not self._client.is_connected or name not in self._heard:
                self._heard[name] = now
            elif now - self._heard[name] >= deadline_s:
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
        try:
            await bus.request(self._client, f"venue.{venue}.session.{self._shard}", _HELLO, HELLO_TIMEOUT_S)
        except Unavailable:
            return False
        return True


def _tell(gone: Iterable[str], back: Iterable[str]) -> None:
    for name in gone:
        log.error("a venue is away: its orders are in doubt, and it gets no new ones", venue=name)
    for name in back:
        log.warning("a venue is back: it is asked about every order in doubt", venue=name)
