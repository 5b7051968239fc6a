"""The shared parts of oms, risk and exeq when they run in one process (docs/decisions.md).

Each is a separate service with its port, health, metrics and fold. In separate processes they use requests over NATS, here plain calls.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from nats.aio.client import Client

from adapters import bus
from apps.connections.announcements import Interest
from apps.connections.unit_leases import UnitLeases
from apps.http.app import Handler
from apps.journal.commit_feed import CommitFeed
from apps.runtime.loop_share import LoopShare
from apps.stack.topology import UNIT
from domain.order.commands import CommandAnswer, RiskDecision, ServiceCommand, Terms

FIRST: Final = "oms"

Decide = Callable[[Terms], RiskDecision]
"""Risk's decision, with a reservation if the terms have an order id. Fails closed, never raises."""
DecideList = Callable[[Sequence[Terms]], Sequence[RiskDecision]]
"""Risk's decisions on the orders of one list, with reservations for all or none. Fails closed, never raises."""
Answered = Callable[[Sequence[CommandAnswer]], None]
Perform = Callable[[Sequence[ServiceCommand], Answered], None]
"""oms records the commands of services; the answers, one for each command, follow the ack."""


class Unit:
    """The shared parts of a unit. Each service sets its part while it is built; while a part is missing, callers fail closed or retry."""

    def __init__(self, nats_url: str, lost: Callable[[str], None], shards: int = 1, name: str = "") -> None:
        """`nats_url`: the shared connection, with the user of a unit. `lost` ends the process. `name`: of a unit that shares the shards."""
        self._nats_url = nats_url
        self._lost = lost
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._closing = False
        self.feeds = tuple(CommitFeed() for _ in range(shards))
        """The new commits of each shard."""
        self.share = LoopShare()
        """For requests to risk and exeq. Requests to oms are bounded by its intake."""
        self.interest: Interest | None = None
        self.decide: Decide | None = None
        self.decide_list: DecideList | None = None
        self.performs: dict[int, Perform] = {}
        """By shard."""
        self.leases = UnitLeases(name) if name else None
        """Of a unit that shares the shards with others."""

    def front(self, service: str, app: Handler) -> Handler:
        """Return the application of one of the unit's services, limited in its share of the loop unless it is oms."""
        return app if service == FIRST else self.share.around(app)

    async def connected(self, timeout_s: float) -> Client:
        """Return the shared connection, opened by the first caller. Unavailable."""
        async with self._connecting:
            if self._client is None:
                self._client = await bus.connect(self._nats_url, UNIT, closed=self._closed, timeout_s=timeout_s)
            return self._client

    async def close(self) -> None:
        """Close the connection, after all services have ended."""
        self._closing = True
        if self._client is not None:
            await self._client.close()

    def _closed(self) -> None:
        if not self._closing:
            self._lost("the NATS client gave up its connection")
