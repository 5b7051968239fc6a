"""Samples of equity: what each account that ever traded is worth at each interval, as risk publishes it, written to `account_equity`.

The projector writes them because it knows which accounts traded, and is the service that writes to QuestDB: risk only reads there, and has
nothing more to do. Marks are live, so an interval that was missed cannot be computed later. It stays a gap.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from decimal import Decimal
from itertools import islice
from typing import Final, Protocol

import structlog
from prometheus_client.core import Metric

from apps.runtime.metrics import counter, gauge
from domain.ports import Clock, EquitySamples, Unavailable
from domain.position.equity import EQUITY_PLACES, STEPS, EquitySample, Worth
from domain.values import divide

log = structlog.get_logger()

ACCOUNTS_MAX: Final = 20_000
"""Accounts in one round, in the order of their names. risk publishes 200 a second: of more, many are older than AGE_MAX_NS."""
AGE_MAX_NS: Final = 60 * 10**9
"""How old a published portfolio may be. An older one is of a time when risk or Valkey was away, and is left out."""
READ_MANY: Final = 200
WRITE_MANY: Final = 10_000
WAITING_MAX: Final = 100_000
"""Samples held in memory while the store is away; beyond that the oldest are dropped. Those that wait are lost with the process."""
WAIT_LEAST_S: Final = 0.001
DAY_NS: Final = STEPS["1d"]
ONE: Final = Decimal(1)


class Portfolios(Protocol):
    """What risk published. Port: adapters.risk_snapshot.ValkeySnapshots."""

    async def read(self, accounts: Sequence[str]) -> list[Worth | None]: ...


class EquitySampler:
    """Takes a sample of every account at each full interval, and writes it. A store that is away delays nothing else."""

    def __init__(
        self,
        portfolios: Portfolios,
        accounts: Callable[[], Collection[str]],
        store: EquitySamples,
        clock: Clock,
        every_s: int,
        keep_days: int,
    ) -> None:
        """`accounts` returns those that ever traded. Samples older than `keep_days` are removed."""
        self.rows = 0
        self.dropped = 0
        self.left_out = 0
        self._portfolios = portfolios
        self._accounts = accounts
        self._store = store
        self._clock = clock
        self._every_ns = every_s * 10**9
        self._keep_days = keep_days
        self._tidied_on = 0
        self._waiting: deque[EquitySample] = deque()
        self._prepared = False
        self._trouble: str | None = None

    async def run(self) -> None:
        """Take a round at every full interval, until cancelled. The first one begins after the start, so that none is taken twice."""
        try:
            await self._prepare()  # so that readers find an empty table before the first sample
        except Unavailable as trouble:
            self._log_trouble(str(trouble))
        due = self._next()
        while True:
            await asyncio.sleep(max((due - self._clock.now_ns()) / 1e9, WAIT_LEAST_S))
            if self._clock.now_ns() >= due:  # uvloop's timers may end a millisecond early
                await self.round()
                due = self._next()

    def _next(self) -> int:
        """Return the begin of the next interval."""
        return (self._clock.now_ns() // self._every_ns + 1) * self._every_ns

    async def round(self) -> None:
        """Sample all accounts as of the interval that began last, and write what waits."""
        at = self._clock.now_ns() // self._every_ns * self._every_ns
        try:
            async for sample in self._samples(at):
                self._waiting.append(sample)
            await self._write()
            await self._drop_old(at // DAY_NS)
        except Unavailable as trouble:
            self._log_trouble(str(trouble))
        else:
            self._log_trouble(None)
        finally:
            while len(self._waiting) > WAITING_MAX:
                self._waiting.popleft()
                self.dropped += 1

    async def _samples(self, at: int) -> AsyncIterator[EquitySample]:
        """Yield the samples. Accounts are read in small parts, so that positions are not delayed."""
        names = sorted(self._accounts())
        self.left_out += max(len(names) - ACCOUNTS_MAX, 0)
        del names[ACCOUNTS_MAX:]
        for first in range(0, len(names), READ_MANY):
            some = names[first : first + READ_MANY]
            for account, worth in zip(some, await self._portfolios.read(some), strict=True):
                if worth is None or worth.updated_at < at - AGE_MAX_NS:
                    self.left_out += 1
                else:
                    yield sample_of(at, account, worth)

    async def _write(self) -> None:
        await self._prepare()
        while self._waiting:
            some = list(islice(self._waiting, WRITE_MANY))
            try:
                await self._store.write(some)
            except Unavailable:
                self._prepared = False  # the table may have been dropped
                raise
            for _ in some:
                self._waiting.popleft()
            self.rows += len(some)

    async def _drop_old(self, today: int) -> None:
        """Remove what is too old, once a day."""
        if today != self._tidied_on:
            await self._store.drop_before(max(today - self._keep_days, 0) * DAY_NS)
            self._tidied_on = today

    async def _prepare(self) -> None:
        if not self._prepared:
            await self._store.prepare()
            self._prepared = True

    def _log_trouble(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self._trouble:
            log.warning("samples of equity wait", waiting=len(self._waiting), reason=trouble)
        elif trouble is None and self._trouble is not None:
            log.info("samples of equity are written again", rows=self.rows)
        self._trouble = trouble

    def stats(self) -> dict[str, int]:
        return {"rows": self.rows, "waiting": len(self._waiting), "dropped": self.dropped, "left_out": self.left_out}

    def series(self) -> Iterable[Metric]:
        yield counter("equity_samples_written", "Samples of equity written to account_equity", self.rows)
        yield gauge("equity_samples_waiting", "Samples of equity that wait for the store", len(self._waiting))
        yield counter("equity_samples_dropped", "Samples of equity dropped because the store was away for too long", self.dropped)
        yield counter("equity_samples_left_out", "Accounts left out of a round because risk had published nothing recent", self.left_out)


def sample_of(at: int, account: str, worth: Worth) -> EquitySample:
    """Return the sample with amounts that the store can hold. The sum stays exact: cash takes what rounding would leave."""
    equity, long, short = (divide(amount, ONE, EQUITY_PLACES) for amount in (worth.equity, worth.long, worth.short))
    return EquitySample(at, account, equity, equity - long - short, long, short)
