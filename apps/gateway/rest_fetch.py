"""Requests to one venue over REST: limited by its weights, held off as long as it asks, tried a bounded number of times."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple, Protocol

import structlog

from domain.execution.token_bucket import SECOND_NS, TokenBucket
from domain.market.back_off import pause_ns
from domain.market.venues.feed import Fetch
from domain.market.venues.names import BINANCE_SPOT
from domain.ports import Clock, Unavailable

log = structlog.get_logger()

TRIES_MAX: Final = 5
AT_ONCE: Final = 2
WHOLE_TIMEOUT_S: Final = 30.0
LOOK_EVERY_S: Final = 0.05
OK: Final = 200
SERVER_TROUBLE: Final = 500
LIMITED: Final = (418, 429)
"""Banned, and too many requests."""
HOLD_DEFAULT_S: Final = 60
HOLD_MAX_S: Final = 3 * 86_400
"""The longest ban that a venue imposes."""
NO_REPLY: Final = 0
"""The status of a `rest` frame without a reply; its body is the reason."""


class Weights(NamedTuple):
    per_sec: int
    burst: int


WEIGHTS: Final[Mapping[str, Weights]] = {BINANCE_SPOT: Weights(90, 1000)}
"""The venue's limit is 6000 a minute; other clients of this address may use the rest."""
WEIGHTS_DEFAULT: Final = Weights(1, 5)


class Fetched(NamedTuple):
    """The last reply to a request; status NO_REPLY if there was none."""

    status: int
    body: str

    @property
    def is_good(self) -> bool:
        return self.status == OK


class VenueReply(Protocol):
    """A reply over HTTP."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


Get = Callable[[str], Awaitable[VenueReply]]
"""Raises Unavailable."""


class RestFetcher:
    """Fetches for one venue. Each reply is passed on as the text of a `rest` frame, also one that refuses."""

    def __init__(self, venue: str, kind: str, get: Get | None, clock: Clock) -> None:
        weights = WEIGHTS.get(kind, WEIGHTS_DEFAULT)
        self._venue = venue
        self._get = get
        self._clock = clock
        self._bucket, self._burst = TokenBucket(*weights), weights.burst
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._held_until = 0
        self.statuses: dict[str, int] = {}

    @property
    def held_ns(self) -> int:
        """How long the venue wants no requests; 0 or less if it takes them."""
        return self._held_until - self._clock.monotonic_ns()

    @property
    def has_address(self) -> bool:
        return self._get is not None

    async def fetch(self, fetch: Fetch, reply: Callable[[str], None]) -> Fetched:
        """Fetch, and call `reply` with each reply; return the last one."""
        reason = f" {fetch.reason}" if fetch.reason else ""
        for failures in range(1, TRIES_MAX + 1):
            async with self._at_once:
                await self._turn(fetch.weight)
                status, body, headers = await self._once(fetch.path)
            self.statuses[str(status)] = self.statuses.get(str(status), 0) + 1
            reply(f"{fetch.venue_symbol} {status} {fetch.path}{reason}\n{body}")
            if status in LIMITED:
                self._hold(status, headers)
            elif status != NO_REPLY and status < SERVER_TROUBLE:
                break
            else:
                await asyncio.sleep(pause_ns(failures, f"{self._venue} {fetch.path}") / SECOND_NS)
        else:
            log.warning("a request failed for good", venue=self._venue, path=fetch.path, tries=TRIES_MAX, status=status)
        return Fetched(status, body)

    async def _once(self, path: str) -> tuple[int, str, Mapping[str, str]]:
        if self._get is None:
            return NO_REPLY, "no rest_url is configured", {}
        try:
            async with asyncio.timeout(WHOLE_TIMEOUT_S):
                found = await self._get(path)
        except TimeoutError:
            return NO_REPLY, f"no reply within {WHOLE_TIMEOUT_S:g} s", {}
        except Unavailable as trouble:
            return NO_REPLY, str(trouble), {}
        return found.status, found.body, found.headers

    async def _turn(self, weight: int) -> None:
        """Wait while the venue wants no requests, and until the weight has its tokens."""
        while self.held_ns > 0 or self._bucket.tokens(self._clock.monotonic_ns()) < min(weight, self._burst):  # noqa: ASYNC110 - time passes
            await asyncio.sleep(LOOK_EVERY_S)
        for _ in range(weight):
            self._bucket.take(self._clock.monotonic_ns())

    def _hold(self, status: int, headers: Mapping[str, str]) -> None:
        seconds = retry_after_s(headers.get("Retry-After", ""), self._clock.now_ns())
        self._held_until = max(self._held_until, self._clock.monotonic_ns() + seconds * SECOND_NS)
        log.warning("the venue wants fewer requests", venue=self._venue, status=status, for_s=seconds)


def retry_after_s(text: str, now_ns: int) -> int:
    """Return the seconds of a Retry-After, which is a number or an HTTP date; HOLD_DEFAULT_S if it is neither, at most HOLD_MAX_S."""
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), HOLD_MAX_S)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return HOLD_DEFAULT_S
    now = datetime.fromtimestamp(now_ns // SECOND_NS, UTC)
    return min(max(int((until.astimezone(UTC) - now).total_seconds()) + 1, 1), HOLD_MAX_S)
