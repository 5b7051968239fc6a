"""The leases of a unit that shares the shards with others, as its oms, risk and exeq use them."""

import asyncio
import contextlib
import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from prometheus_client.core import Metric

from adapters.clock import SystemClock
from apps.journal.leased_host import HostSeat, LeasedHost
from apps.journal.shard_keeper import ShardKeeper
from apps.journal.subscription import JournalSubscription
from apps.runtime import metrics
from domain.execution.owner import Owner
from domain.leases import UnitAlive
from domain.order.events import OrderEvent
from domain.ownership import Phase
from domain.ports import Leases

FOLDS: Final = 2
"""Of a shard, beside the host's own: those of risk and of exeq."""
LOOK_S: Final = 0.02
DRAIN_S: Final = 1.5
READS: Final = 1
"""The newest version of commits that this program reads, which is the one that it writes."""
STATES: Final = {Phase.FOLLOWING: "following", Phase.TAKING: "taking", Phase.OWNING: "owned", Phase.RELEASING: "moving"}


class UnitLeases:
    """Port: apps.journal.leased_host.Tenure. The keeper exists once oms has joined the cluster; until then nothing is trusted."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.sender = f"{unit}-{secrets.token_hex(6)}"
        self._clock = SystemClock()
        self._keeper: ShardKeeper | None = None
        self._folds: dict[int, list[JournalSubscription[Any]]] = defaultdict(list)
        self._hosts: Sequence[LeasedHost] = ()

    # Port Tenure

    def now(self) -> int:
        return self._clock.monotonic_ns()

    def trusted(self, shard: int) -> bool:
        return self._keeper is not None and self._keeper.trusted(shard)

    def owner(self, shard: int) -> str:
        return "" if self._keeper is None else self._keeper.holder(shard)

    def recovered(self, shard: int, n: int, owner: Owner) -> None:
        if self._keeper is not None:
            self._keeper.recovered(shard, n, owner)

    def applied(self, shard: int, n: int, events: Sequence[OrderEvent]) -> None:
        if self._keeper is not None:
            self._keeper.applied(shard, n, events)

    def appended(self, shard: int, n: int, sent_at: int) -> None:
        if self._keeper is not None:
            self._keeper.appended(shard, n, sent_at)

    async def read_by_all(self, shard: int, seq: int) -> None:
        while len(self._folds[shard]) < FOLDS:  # noqa: ASYNC110 - risk and exeq are built beside oms
            await asyncio.sleep(LOOK_S)
        for fold in self._folds[shard]:
            await fold.wait_for(seq)

    # What risk and exeq do

    def follows(self, shard: int, fold: JournalSubscription[Any]) -> None:
        """Note a fold that must have read the ShardTaken of this unit before the shard opens."""
        self._folds[shard].append(fold)

    def others(self) -> Sequence[str] | None:
        """Return the other units alive; None while the lease store does not answer."""
        return None if self._keeper is None else self._keeper.others()

    # What oms does

    def joined(self, leases: Leases, hosts: Sequence[LeasedHost]) -> ShardKeeper:
        """Return the keeper of these shards, whose tasks then run."""
        seats = {host.shard: HostSeat(host) for host in hosts}
        self._hosts = hosts
        self._keeper = ShardKeeper(self.unit, self.sender, seats, leases, self._clock, UnitAlive(_version(), READS))
        return self._keeper

    async def drain(self) -> None:
        """Give up all shards before a clean stop, in at most DRAIN_S: the other units take them without a silence."""
        keeper = self._keeper
        if keeper is None:
            return
        keeper.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while not keeper.drained:  # noqa: ASYNC110 - the state of the shards says it
                    await asyncio.sleep(LOOK_S)

    def stats(self) -> list[dict[str, object]]:
        """Return what this unit is to each shard."""
        keeper = self._keeper
        if keeper is None:
            return []
        return [
            {
                "shard": host.shard,
                "state": STATES[keeper.phase(host.shard)],
                "owner": keeper.holder(host.shard),
                "epoch": host.epoch,
                "seq": host.head.seq,
            }
            for host in self._hosts
        ]

    def series(self) -> Iterator[Metric]:
        keeper = self._keeper
        if keeper is None:
            return
        owned = {str(host.shard): float(keeper.phase(host.shard) is Phase.OWNING) for host in self._hosts}
        epochs = {str(host.shard): float(host.epoch) for host in self._hosts}
        yield metrics.gauge("oms_shard_owned", "1 while this unit owns the shard", owned, "shard")
        yield metrics.gauge("oms_shard_epoch", "The shard's epoch, by what this unit has read of its journal", epochs, "shard")
        yield metrics.counter("oms_shard_takes", "Times that this unit took a shard", keeper.takes)


def _version() -> str:
    """Return the version of this program; `unknown` in a checkout that is not installed."""
    try:
        return version("trade2026")
    except PackageNotFoundError:
        return "unknown"
