"""Publish messages only while a program subscribes to their subject. Without a subscriber they are neither encoded nor sent.

The monitoring of the nats-servers names the subscriptions. It is polled at most every INTEREST_EVERY_S, and only while there are messages
to publish. Until the poll returns the messages are kept, so a program that subscribed before an order was sent misses none; the first
message may be late by one interval.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

import structlog
from nats.aio.client import Client

from adapters import bus
from adapters.natsmonitor import SUBSCRIPTIONS_MAX, Subscriptions, subscriptions
from domain.ports import Unavailable

log = structlog.get_logger()
T = TypeVar("T")

INTEREST_EVERY_S: Final = 0.25
KEPT_MAX: Final = 10_000
"""Messages of one kind that are kept until the poll returns. With more than this, all of them are published."""

Send = Callable[[str, bytes], None]
Look = Callable[[str], Awaitable[Subscriptions]]


class Interest:
    """The subscriptions at all servers of a NATS cluster. One poll serves every kind of message that a process announces."""

    def __init__(self, client: Client, monitor_urls: Sequence[str], look: Look = subscriptions) -> None:
        """`monitor_urls` must name every server of the cluster. Without them everything is published."""
        self._client = client
        self._monitor_urls = monitor_urls
        self._look = look
        self._families: list[Announcements[Any]] = []
        self._something = asyncio.Event()
        self._trouble = ""

    def add(self, family: "Announcements[Any]") -> None:
        self._families.append(family)

    def request_poll(self) -> None:
        """Poll now, or when INTEREST_EVERY_S has passed since the last poll."""
        self._something.set()

    async def run(self) -> None:
        """Poll until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._something.wait()
            self._something.clear()
            began = loop.time()
            for family in self._families:
                family.poll_started()
            found = await self._subjects()
            for family in self._families:
                family.poll_ended(found)
            await asyncio.sleep(max(0.0, began + INTEREST_EVERY_S - loop.time()))

    async def _subjects(self) -> Collection[str] | None:
        """Return every subject that has a subscription; None if that is not known."""
        try:
            found = await asyncio.gather(*(self._look(url) for url in self._monitor_urls))
            if bus.server_id(self._client) not in {each.server_id for each in found}:  # another cluster has other subscribers
                raise Unavailable("the connected server is not among those of nats.monitor_urls")
            if any(each.total > SUBSCRIPTIONS_MAX for each in found):
                raise Unavailable(f"a server has more than {SUBSCRIPTIONS_MAX} subscriptions, too many to look at")
        except Unavailable as trouble:
            if str(trouble) != self._trouble:
                log.warning("the subscriptions are not known: every announcement is published", reason=str(trouble))
            self._trouble = str(trouble)
            return None
        self._trouble = ""
        return {subscription.subject for each in found for subscription in each.subscriptions_list}


class Announcements(Generic[T]):
    """The messages announced on the subjects of one pattern."""

    def __init__(
        self, interest: Interest, send: Send, pattern: str, messages: Callable[[Sequence[T]], Iterable[tuple[str, bytes]]]
    ) -> None:
        """`messages` returns the subjects and payloads of what was announced, in the same order."""
        self._interest = interest
        self._send = send
        self._pattern = pattern
        self._messages = messages
        self._kept: deque[T] = deque()
        self._old = 0
        """How many of those kept are older than the current poll. They are dropped if it finds no subscription."""
        self._sending = False
        self.subscribed = False
        self.published = 0
        self.skipped = 0
        interest.add(self)

    def announce(self, what: T) -> None:
        """Publish `what` after this turn of the loop, or once a poll has found a subscription."""
        self._kept.append(what)
        if (self.subscribed or len(self._kept) > KEPT_MAX) and not self._sending:
            self._sending = True
            asyncio.get_running_loop().call_soon(self._publish)  # orders that this turn of the loop still handles come first
        self._interest.request_poll()

    def poll_started(self) -> None:
        """Note that messages announced from now on are newer than the poll."""
        self._old = len(self._kept)

    def poll_ended(self, subjects: Collection[str] | None) -> None:
        """Publish or drop by the result: `subjects` have subscriptions. None means not known: publish everything."""
        self.subscribed = subjects is None or any(overlap(self._pattern, subject) for subject in subjects)
        if self.subscribed:
            self._publish()
            return
        for _ in range(self._old):
            self._kept.popleft()
        self.skipped += self._old
        self._old = 0

    def stats(self) -> dict[str, object]:
        return {"subscribed": self.subscribed, "published": self.published, "skipped": self.skipped}

    def _publish(self) -> None:
        self._sending, self._old = False, 0
        announced, self._kept = self._kept, deque()
        for subject, payload in self._messages(announced):
            self._send(subject, payload)
        self.published += len(announced)


def overlap(pattern: str, other: str) -> bool:
    """Return whether any subject matches both. `*` is one token, `>` one or more at the end."""
    ours, theirs = pattern.split("."), other.split(".")
    for one, another in zip(ours, theirs, strict=False):
        if ">" in (one, another):
            return True
        if one != another and "*" not in (one, another):
            return False
    return len(ours) == len(theirs)
