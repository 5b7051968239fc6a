"""The updates of accounts that have listeners, from the journal: live ones as commits become durable, and earlier ones on request.

Without a listener nothing is read. Updates are encoded once for all listeners of an account.
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final

import structlog

from adapters.codec import ORDER_COMMITS
from apps.journal.shard_host import ShardHost
from apps.oms.alpaca.order_past import OrderPast
from apps.oms.alpaca.update_fold import FoldedAccount, UpdateFold
from apps.oms.alpaca.update_frames import Shown
from apps.runtime.chassis import cancelled
from domain.order import events as e
from domain.order.holdings import Holdings
from domain.ports import Head, Journal, JournalEntry, Unavailable

WAITING_MAX: Final = 1024
"""Updates that wait for one listener. With more it is closed; it may continue from the last sequence that it has seen."""
NEAR_COMMITS: Final = 64
"""How near the end of the journal a listener must have read earlier updates before live ones begin to wait for it."""
READERS_MAX: Final = 4
"""Listeners that read earlier updates at once; others wait."""
READERS_OF_AN_ACCOUNT_MAX: Final = 1
"""Of these: a client that reads slowly keeps only others of its own account waiting."""
READY_EVERY_S: Final = 0.01
AGAIN_S: Final = 0.25
"""Pause before the journal is read again after it did not answer."""

log = structlog.get_logger()


class NoSuchSequence(Exception):
    """The journal has no commit at the sequence behind which a listener wants the updates."""


class UpdateListener:
    """One connection that listens: the updates that wait for it. `since` is the sequence behind which they begin."""

    def __init__(self, account: str, on_overrun: Callable[[], None], on_lost: Callable[[], None]) -> None:
        """`on_overrun`: too many updates wait. `on_lost`: an update could not be made. Nothing more will come then."""
        self.account = account
        self.since = 0
        self.waiting: deque[str] = deque()
        self.on_overrun = on_overrun
        self.on_lost = on_lost
        self._woken = asyncio.Event()

    def put(self, frame: str) -> None:
        if len(self.waiting) >= WAITING_MAX:
            self.on_overrun()
            return
        self.waiting.append(frame)
        self._woken.set()

    async def next(self) -> str:
        """Return the next update, when there is one."""
        while not self.waiting:
            self._woken.clear()
            await self._woken.wait()
        return self.waiting.popleft()


class _Listened(FoldedAccount):
    def __init__(self, holdings: Holdings, since: int) -> None:
        super().__init__(holdings, since)
        self.listeners: set[UpdateListener] = set()


class UpdateSource:
    """All listeners of this process, and the one fold that serves them."""

    def __init__(self, host: ShardHost, journal: Journal, shown: Shown) -> None:
        """`journal` is read only; it must be the host's."""
        self._host = host
        self._journal = journal
        self._shown = shown
        self._past = OrderPast(host, journal)
        self.accounts: dict[str, _Listened] = {}
        """Accounts with listeners."""
        self._fold = UpdateFold(self.accounts, self._past, shown)
        self._at = Head()
        """The last commit whose updates were sent."""
        self._begun = 0
        """The sequence of the commit whose updates are being made, or were made last."""
        self._wanted = asyncio.Event()
        self._unwanted = asyncio.Event()
        self._readers = asyncio.Semaphore(READERS_MAX)
        self._reading: Counter[str] = Counter()
        """How many read earlier updates, or wait for a place, by account."""
        self.made = 0
        """Updates made."""

    async def run(self) -> None:
        """Make updates while there are listeners, until cancelled. Corrupt."""
        while True:
            await self._wanted.wait()
            following, unwanted = asyncio.ensure_future(self._follow()), asyncio.ensure_future(self._unwanted.wait())
            try:
                await asyncio.wait({following, unwanted}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (following, unwanted):
                    await cancelled(task)
            trouble = None if following.cancelled() else following.exception()
            if isinstance(trouble, Unavailable):
                log.warning("updates of orders are late", after=self._at.seq, reason=str(trouble))
                await asyncio.sleep(AGAIN_S)
            elif trouble is not None:
                self._lose_all()
                raise trouble

    async def _follow(self) -> None:
        async with contextlib.aclosing(self._journal.follow(self._at)) as batches:
            async for batch in batches:
                for entry in batch:
                    await self._pass_on(entry)

    async def _pass_on(self, entry: JournalEntry) -> None:
        self._begun = entry.head.seq
        frames = await self._fold.updates(entry)
        self._at = entry.head
        for account, frame in frames:
            if (listened := self.accounts.get(account)) is not None:
                for listener in listened.listeners:
                    if entry.head.seq > listener.since:
                        listener.put(frame)
        self.made += len(frames)

    async def attach(self, listener: UpdateListener) -> None:
        """Give a listener everything that becomes durable from now on. Waits while the shard recovers."""
        while not self._attached(listener):  # noqa: ASYNC110 - the host and the follower do not signal it
            await asyncio.sleep(READY_EVERY_S)

    def _attached(self, listener: UpdateListener) -> bool:
        """Attach now, if the host has noted every commit whose updates were made. What it has noted is where the listener begins."""
        head = self._host.head
        if not self._host.ready or (self.accounts and head.seq < self._begun):
            return False
        if not self.accounts:
            self._at, self._begun = head, head.seq
        listened = self.accounts.get(listener.account)
        if listened is None:
            listened = self.accounts[listener.account] = _Listened(self._held(listener.account), head.seq)
            self._fold.forget()
        listened.listeners.add(listener)
        listener.since = head.seq
        self._unwanted.clear()
        self._wanted.set()
        return True

    def detach(self, listener: UpdateListener) -> None:
        """Forget a listener. After the last one nothing is read any more."""
        listened = self.accounts.get(listener.account)
        if listened is None or listener not in listened.listeners:
            return
        listened.listeners.discard(listener)
        if not listened.listeners:
            del self.accounts[listener.account]
            self._fold.forget()
        if not self.accounts:
            self._wanted.clear()
            self._unwanted.set()

    def _lose_all(self) -> None:
        """End all listeners: an update could not be made, and what comes after it must not look as if nothing were missing."""
        for listener in [each for listened in self.accounts.values() for each in listened.listeners]:
            self.detach(listener)
            listener.on_lost()

    def _held(self, account: str) -> Holdings:
        """Return what the account holds as of the host's head."""
        return Holdings(self._host.book.recorded_of(account))

    async def earlier(self, listener: UpdateListener, since: int) -> AsyncGenerator[str]:
        """Yield the updates behind `since`, and attach the listener on the way, so that nothing is missing in between or sent twice.

        NoSuchSequence, Unavailable.
        """
        while not self._host.ready:  # noqa: ASYNC110 - it recovers from the journal meanwhile
            await asyncio.sleep(READY_EVERY_S)
        async with self._place_of(listener.account), self._readers:
            at = await self._head_at(since)
            held, until = self._held(listener.account), self._host.head
            await self._take_back(held, listener.account, at, until.seq)
            fold = UpdateFold({listener.account: FoldedAccount(held, since)}, self._past, self._shown)
            attached = False
            while True:
                async with contextlib.aclosing(self._entries(at, until.seq)) as entries:
                    async for entry in entries:
                        for _, frame in await fold.updates(entry):
                            yield frame
                if attached:
                    return
                at, until = until, self._host.head
                attached = until.n - at.n <= NEAR_COMMITS
                if attached:
                    await self.attach(listener)
                    until = await self._head_at(listener.since)

    @contextlib.asynccontextmanager
    async def _place_of(self, account: str) -> AsyncIterator[None]:
        """Wait until the account may have one more reader."""
        while self._reading[account] >= READERS_OF_AN_ACCOUNT_MAX:  # noqa: ASYNC110 - a reader does not signal its end
            await asyncio.sleep(READY_EVERY_S)
        self._reading[account] += 1
        try:
            yield
        finally:
            self._reading[account] -= 1
            self._reading += Counter()  # forgets accounts without a reader

    async def _head_at(self, seq: int) -> Head:
        """Return the head at a sequence. NoSuchSequence, Unavailable."""
        if seq == 0:
            return Head()
        if seq == self._host.head.seq:
            return self._host.head
        entry = await self._journal.read(seq) if 0 < seq <= self._host.head.seq else None
        if entry is None:
            raise NoSuchSequence(f"sequence {seq} is not a commit of this journal")
        return entry.head

    async def _entries(self, after: Head, until: int) -> AsyncGenerator[JournalEntry]:
        """Yield the commits behind `after`, up to and including `until`. Other work of the process runs between them."""
        if after.seq >= until:
            return
        async with contextlib.aclosing(self._journal.follow(after, until=until)) as batches:
            async for batch in batches:
                for entry in batch:
                    yield entry
                    await asyncio.sleep(0)

    async def _take_back(self, held: Holdings, account: str, after: Head, until: int) -> None:
        """Undo the trades of an account behind `after`: its holdings are known as of `until`."""
        async with contextlib.aclosing(self._entries(after, until)) as entries:
            async for entry in entries:
                for event in ORDER_COMMITS.read(entry).events:
                    if isinstance(event, e.OrderFilled | e.TradeBusted) and event.account == account:
                        held.take_back(event)
