"""Injected faults between a paper venue and the wire. They are not journaled and do not survive a restart."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal

from domain.order.commands import VenueRequest
from domain.paper.events import Message, Refuse, Reported

WireFault = Literal["drop", "delay", "duplicate", "reorder"]
RequestFault = Literal["forget", "reject"]

DELAY_S: Final = 1.0
REORDER_WAIT_S: Final = 1.0
"""Maximum wait of a reordered report for the next one."""


class FaultyWire:
    """Counts how often each fault is still to happen. `publish` sends a report."""

    def __init__(self, publish: Callable[[Reported], None]) -> None:
        self._publish = publish
        self._left: Counter[str] = Counter()
        self._delay_s = DELAY_S
        self._reason = "fault"
        self._held: Reported | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._thaw: asyncio.TimerHandle | None = None

    def wire(self, fault: WireFault, count: int, delay_s: float) -> None:
        """Drop, delay, duplicate or reorder the next `count` reports."""
        self._left[fault] += count
        self._delay_s = delay_s

    def requests(self, fault: RequestFault, count: int, reason: str) -> None:
        """Lose or reject the next `count` new orders."""
        self._left[fault] += count
        self._reason = reason

    def freeze(self, seconds: float) -> None:
        """Make the venue receive requests without answering for `seconds`."""
        self._flows.clear()
        if self._thaw is not None:
            self._thaw.cancel()
        self._thaw = asyncio.get_running_loop().call_later(seconds, self._flows.set)

    @property
    def frozen(self) -> bool:
        return not self._flows.is_set()

    async def thawed(self) -> None:
        await self._flows.wait()

    def clear(self) -> None:
        self._left.clear()
        self._flows.set()
        self._let_go()

    def view(self) -> dict[str, object]:
        return {"pending": {name: count for name, count in self._left.items() if count}, "frozen": self.frozen}

    def report(self, report: Reported) -> None:
        """Publish a report, or apply the next pending fault to it."""
        if self._happens("drop"):
            return
        if self._happens("delay"):
            asyncio.get_running_loop().call_later(self._delay_s, self._publish, report)
            return
        if self._held is None and self._happens("reorder"):
            self._held = report
            asyncio.get_running_loop().call_later(REORDER_WAIT_S, self._let_go)
            return
        self._publish(report)
        if self._happens("duplicate"):
            self._publish(report)
        self._let_go()

    def heard(self, message: Message) -> Message | None:
        """Return a request as it reaches the venue; None when it is lost."""
        if isinstance(message, VenueRequest) and self._happens("forget"):
            return None
        if isinstance(message, VenueRequest) and self._happens("reject"):
            return Refuse(message, self._reason)
        return message

    def _happens(self, fault: str) -> bool:
        if not self._left[fault]:
            return False
        self._left[fault] -= 1
        return True

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._publish(held)
