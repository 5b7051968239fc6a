"""What oms, risk and exeq of one shard share when they run in one process (docs/decisions.md).

Each is a service of its own, with its port, health, metrics and fold. Between processes they ask each other over NATS; here a call does.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from nats.aio.client import Client

from adapters import bus
from apps.connections.announcements import Interest
from apps.http.app import Handler
from apps.journal.commit_feed import CommitFeed
from apps.runtime.loop_share import LoopShare
from apps.stack.topology import UNIT
from domain.order.commands import CommandAnswer, RiskReply, ServiceCommand, Terms

FIRST: Final = "oms"

Decide = Callable[[Terms], RiskReply]
"""Risk's decision, with a reservation when the terms have an order id. Fails closed, never raises."""
Answered = Callable[[Sequence[CommandAnswer]], None]
Perform = Callable[[Sequence[ServiceCommand], Answered], None]
"""oms records what services ask for; the answers, one for each command, come after the ack."""


class Unit:
    """Each service fills in its part while it is built. A part that is still None makes its callers fail closed or retry."""

    def __init__(self, nats_url: str, lost: Callable[[str], None]) -> None:
        """`nats_url`: with the user of a unit, over which all parts speak. `lost` ends the process."""
        self._nats_url = nats_url
        self._lost = lost
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._closing = False
        self.feed = CommitFeed()
        self.share = LoopShare()
        """For requests to risk and exeq. Requests to oms are bounded by its intake."""
        self.interest: Interest | None = None
        self.decide: Decide | None = None
        self.perform: Perform | None = None

    def front(self, service: str, app: Handler) -> Handler:
        """The application behind the door of one of its services."""
        return app if service == FIRST else self.share.around(app)

    async def connected(self, timeout_s: float) -> Client:
        """The shared connection, opened by the first caller. Unavailable."""
        async with self._connecting:
            if self._client is None:
                self._client = await bus.connect(self._nats_url, UNIT, closed=self._closed, timeout_s=timeout_s)
            return self._client

    async def close(self) -> None:
        """After all services have ended."""
        self._closing = True
        if self._client is not None:
            await self._client.close()

    def _closed(self) -> None:
        if not self._closing:
            self._lost("the NATS client gave up its connection")
