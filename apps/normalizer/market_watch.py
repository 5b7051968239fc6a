"""All venues: found in the stream of frames, read one by one, their silence noticed, their wishes sent to the gateway."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog
from nats.aio.client import Client

from adapters import bus, subjects
from adapters.codec import encode
from adapters.market_lookup import MarketLookup
from apps.normalizer.venue_reader import VenueReader
from apps.normalizer.venue_run import VenueRun
from apps.runtime.log_limit import LogLimit
from domain.market.across_venues import AcrossVenues
from domain.market.records import FactKind
from domain.market.venues.feed import Wish, WishKind
from domain.ports import Unavailable

log = structlog.get_logger()

VENUES_MAX: Final = 64
FIND_EVERY_S: Final = 1.0
TICK_EVERY_S: Final = 0.005
BARS_EVERY_S: Final = 1.0
LOOK_EVERY_S: Final = 0.1
ASKED_AT_ONCE_MAX: Final = 16
"""Requests to the gateway at a time. Further wishes wait for their answers."""


class MarketWatch:
    """The venues by name, and what is done for all of them now and then."""

    def __init__(
        self,
        client: Client,
        raw: MarketLookup,
        make: Callable[[str], VenueReader],
        control_timeout_s: float,
    ) -> None:
        """`client` is connected to the market's server."""
        self.readers: dict[str, VenueReader] = {}
        self.across = AcrossVenues()
        self.asked: Counter[str] = Counter(dict.fromkeys((*(kind.value for kind in WishKind), "unanswered"), 0))
        self._client = client
        self._raw = raw
        self._make = make
        self._timeout_s = control_timeout_s
        self._seldom = LogLimit()
        self._trouble = ""

    @property
    def runs(self) -> Mapping[str, VenueRun]:
        """The venues that are being read."""
        return {name: reader.current for name, reader in sorted(self.readers.items()) if reader.current is not None}

    async def read(self) -> None:
        """Read every venue of the stream of frames until cancelled, new ones as they come."""
        prefix = subjects.market("raw", "")
        self.readers = {}
        async with asyncio.TaskGroup() as reading:
            while True:
                for name in [subject.removeprefix(prefix) for subject in await self._subjects()]:
                    if name not in self.readers and len(self.readers) < VENUES_MAX:
                        self.readers[name] = self._make(name)
                        reading.create_task(self.readers[name].run(), name=f"venue {name}")
                await asyncio.sleep(FIND_EVERY_S)

    async def _subjects(self) -> Sequence[str]:
        try:
            found = await self._raw.subjects()
        except Unavailable as trouble:
            self._trouble = str(trouble)
            return ()
        self._trouble = ""
        return found

    async def tick(self) -> None:
        """Send quotes that waited, and bars, until cancelled."""
        loop = asyncio.get_running_loop()
        bars_at = loop.time()
        while True:
            await asyncio.sleep(TICK_EVERY_S)
            is_time = loop.time() >= bars_at
            bars_at = loop.time() + BARS_EVERY_S if is_time else bars_at
            for run in self.runs.values():
                run.due_ticks()
                if is_time:
                    run.due_bars()

    async def look(self) -> None:
        """Look for silent symbols, open wishes and markets that cross, until cancelled.

        A gateway that does not answer delays the wishes only: marks end in time.
        """
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._ask_all(), name="wishes")
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                for run in self.runs.values():
                    run.silence()
                self.compare(int(asyncio.get_running_loop().time() * 1e9))

    async def _ask_all(self) -> None:
        """Send the wishes that are due until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            wanted = [(name, wish) for name, run in self.runs.items() for wish in run.due_wishes()]
            for first in range(0, len(wanted), ASKED_AT_ONCE_MAX):
                await asyncio.gather(*(self._ask(name, wish) for name, wish in wanted[first : first + ASKED_AT_ONCE_MAX]))

    def compare(self, now: int) -> None:
        """Note where the bid of one venue reaches the ask of another. `now`: of a steady clock, nanoseconds."""
        runs = self.runs
        for crossing in self.across.look((quote for run in runs.values() for quote in run.live_quotes()), now):
            if (run := runs.get(crossing.venue)) is not None:
                kind = FactKind.CROSSED_VENUES if crossing.begins else FactKind.UNCROSSED_VENUES
                run.note(kind, crossing.symbol, crossing.detail)

    async def trouble(self, lag_max_s: float) -> str | None:
        """Return why the reading is not as it should be; None if it is."""
        if self._trouble:
            return self._trouble
        behind = {name: run.lag_ns() / 1e9 for name, run in self.runs.items()}
        late = [f"{name} is {lag:.1f} s behind" for name, lag in behind.items() if lag > lag_max_s]
        return "; ".join(late) or None

    async def _ask(self, venue: str, wish: Wish) -> None:
        """Send one wish to the gateway. Without an answer it is repeated with its next turn."""
        self.asked[wish.kind.value] += 1
        body = {"do": wish.kind.value, "symbol": wish.symbol, "reason": wish.reason}
        try:
            await bus.request(self._client, subjects.market("control", venue), encode(body), self._timeout_s)
        except Unavailable as trouble:
            self.asked["unanswered"] += 1
            if (held := self._seldom.now()) is not None:
                log.warning("the gateway does not answer", venue=venue, wish=wish.kind.value, reason=str(trouble), not_logged=held)
