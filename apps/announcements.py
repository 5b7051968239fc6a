"""Messages for whoever listens, and for nobody else: what nobody subscribed to is neither encoded nor sent.

Whether somebody listens is asked of the servers' monitoring, at most every INTEREST_EVERY_S and only while there is something to
tell. What is told meanwhile is kept: who subscribed before an order was sent hears of it, at most so much later.
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
"""Messages of one kind kept for an answer of the monitoring. What is more is sent as if somebody listened."""

Send = Callable[[str, bytes], None]
Look = Callable[[str], Awaitable[Subscriptions]]


class Interest:
    """Who listens at all servers of a NATS cluster. One question serves every kind of message that a process announces."""

    def __init__(self, client: Client, monitor_urls: Sequence[str], look: Look = subscriptions) -> None:
        """`monitor_urls` are of every server of the cluster, else everything is published."""
        self._client = client
        self._monitor_urls = monitor_urls
        self._look = look
        self._families: list[Announcements[Any]] = []
        self._something = asyncio.Event()
        self._trouble = ""

    def add(self, family: "Announcements[Any]") -> None:
        self._families.append(family)

    def wanted(self) -> None:
        """There is something to tell: ask, now or when INTEREST_EVERY_S is over."""
        self._something.set()

    async def run(self) -> None:
        """Ask for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._something.wait()
            self._something.clear()
            began = loop.time()
            for family in self._families:
                family.asked()
            found = await self._subjects()
            for family in self._families:
                family.answered(found)
            await asyncio.sleep(max(0.0, began + INTEREST_EVERY_S - loop.time()))

    async def _subjects(self) -> Collection[str] | None:
        """Every subject that is subscribed to. None: it is not known."""
        try:
            found = await asyncio.gather(*(self._look(url) for url in self._monitor_urls))
            if bus.server_id(self._client) not in {each.server_id for each in found}:  # another cluster's would say that nobody listens
                raise Unavailable("the server that we are connected to is not among those of nats.monitor_urls")
            if any(each.total > SUBSCRIPTIONS_MAX for each in found):
                raise Unavailable(f"a server has more than {SUBSCRIPTIONS_MAX} subscriptions, too many to look at")
        except Unavailable as trouble:
            if str(trouble) != self._trouble:
                log.warning("it is not known who listens: everything is announced", reason=str(trouble))
            self._trouble = str(trouble)
            return None
        self._trouble = ""
        return {subscription.subject for each in found for subscription in each.subscriptions_list}


class Announcements(Generic[T]):
    """What is announced on the subjects of one pattern."""

    def __init__(
        self, interest: Interest, send: Send, pattern: str, messages: Callable[[Sequence[T]], Iterable[tuple[str, bytes]]]
    ) -> None:
        """`messages` makes subjects and payloads of what was told, in its order."""
        self._interest = interest
        self._send = send
        self._pattern = pattern
        self._messages = messages
        self._kept: deque[T] = deque()
        self._old = 0
        """So many of those kept were there when the question under way was asked: nobody wants them if nobody listens."""
        self._sending = False
        self.heard = False
        self.published = 0
        self.unheard = 0
        interest.add(self)

    def tell(self, what: T) -> None:
        """Publish it soon, if somebody listens."""
        self._kept.append(what)
        if (self.heard or len(self._kept) > KEPT_MAX) and not self._sending:
            self._sending = True
            asyncio.get_running_loop().call_soon(self._publish)  # behind what this turn of the loop still has to do
        self._interest.wanted()

    def asked(self) -> None:
        """The servers are asked now."""
        self._old = len(self._kept)

    def answered(self, subjects: Collection[str] | None) -> None:
        """These are subscribed to; None when it is not known, and then somebody may be listening."""
        self.heard = subjects is None or any(overlap(self._pattern, subject) for subject in subjects)
        if self.heard:
            self._publish()
            return
        for _ in range(self._old):
            self._kept.popleft()
        self.unheard += self._old
        self._old = 0

    def stats(self) -> dict[str, object]:
        return {"listened_to": self.heard, "published": self.published, "unheard": self.unheard}

    def _publish(self) -> None:
        self._sending, self._old = False, 0
        told, self._kept = self._kept, deque()
        for subject, payload in self._messages(told):
            self._send(subject, payload)
        self.published += len(told)


def overlap(pattern: str, other: str) -> bool:
    """Is there a subject that both match? `*` is one token, `>` one or more at the end."""
    ours, theirs = pattern.split("."), other.split(".")
    for one, another in zip(ours, theirs, strict=False):
        if ">" in (one, another):
            return True
        if one != another and "*" not in (one, another):
            return False
    return len(ours) == len(theirs)
