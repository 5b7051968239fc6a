"""Snapshots of a fold: a restart loads the newest one that verifies, then the tail of the journal. A forked child writes them."""

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

import structlog

from adapters.chain import GENESIS
from adapters.codec import decoder, encode
from apps.journal.subscription import Applied, JournalSubscription
from apps.runtime.fork_snapshot import NotDone, in_child
from domain.audit.state_hash import shape_of
from domain.ports import Head, Journal, Snapshots

log = structlog.get_logger()
S = TypeVar("S")
E = TypeVar("E")

CHECK_EVERY_S: Final = 0.1
CHILD_MAX_S: Final = 60.0
LAST_ONE_MAX_S: Final = 2.0
"""Seconds that a clean stop may spend on a snapshot."""


class SnapshotFold(Protocol[S]):
    """A fold that can be saved: `state` is pure and exact, `restore` loads it. ValueError, and nothing changed, if it does not fit."""

    def state(self) -> S: ...

    def restore(self, state: S) -> None: ...


class Snapshotter(Generic[S]):
    """The snapshots of one fold: restored once, then saved periodically; `whole` notes when the fold is between two commits."""

    def __init__(
        self,
        store: Snapshots | None,
        name: str,
        fold: SnapshotFold[S],
        kind: type[S],
        version: int,
        *,
        every_commits: int,
        every_s: float,
        older: Sequence[str] = (),
    ) -> None:
        """`older` are schemas of earlier releases whose states `kind` can read: fields added since have defaults."""
        self._older = older
        self._store = store
        self._name = name
        self._fold = fold
        self._decoder = decoder(kind)
        self._schema = shape_of(kind, version)
        self._every_commits = every_commits
        self._every_s = every_s
        self._began = self._tried_at = time.monotonic()
        self._tried = self._stored = GENESIS
        self._whole = True
        self._one_at_a_time = asyncio.Lock()
        self.taken = 0
        self.failed = 0
        self.restored_from = 0
        self.stood_still_ms = 0.0

    async def recover(self, journal: Journal) -> Head:
        """Restore the newest snapshot that verifies and belongs to this journal; return the head to read on from. Unavailable."""
        self._began = time.monotonic()
        if self._store is None:
            log.info("no snapshots: service.data_dir is not set; every start reads the whole journal")
            return GENESIS
        kept = self._store.kept(self._name, self._schema, *self._older)
        while (found := await asyncio.to_thread(next, kept, None)) is not None:
            head, body = found
            reason = await _not_of(journal, head) or self._misfit(body)
            if reason is None:
                self._stored = self._tried = head
                self.restored_from = head.seq
                return head
            log.warning("a snapshot is ignored", seq=head.seq, reason=reason)
        return GENESIS

    def _misfit(self, body: bytes) -> str | None:
        """Return why the fold cannot restore it; None if it did."""
        try:
            with _no_collection():
                self._fold.restore(self._decoder.decode(body))
        except ValueError as error:
            return str(error)
        return None

    def whole(self, apply: Callable[[Applied[E]], None]) -> Callable[[Applied[E]], None]:
        """Wrap `apply`: after a batch that was not applied to its end the state is inconsistent, and is never saved."""

        def watched(commits: Applied[E]) -> None:
            self._whole = False
            apply(commits)
            self._whole = True

        return watched

    async def run(self, follower: JournalSubscription[Any]) -> None:
        """Save until cancelled: once caught up, every `every_commits`, or every `every_s` if there are new commits."""
        logged = False
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            if not follower.caught_up:
                continue
            if not logged:
                self._log_recovery(follower.head)
                logged = True
            if self._due(follower.head):
                await self.take(follower)

    def _log_recovery(self, head: Head) -> None:
        seconds = round(time.monotonic() - self._began, 3)
        log.info("recovered", snapshot=self.restored_from, seq=head.seq, tail_commits=head.n - self._stored.n, seconds=seconds)

    def _due(self, head: Head) -> bool:
        """Return whether a snapshot is due. A failed attempt is repeated after the same time, even without new commits."""
        waited = time.monotonic() - self._tried_at
        return head.n - self._tried.n >= self._every_commits or (head.n > self._stored.n and waited >= self._every_s)

    async def take(self, follower: JournalSubscription[Any]) -> bool:
        """Save a snapshot now; return whether it was saved. A failure is logged, and the previous snapshot stays."""
        async with self._one_at_a_time:
            head, store = follower.head, self._store
            if store is None or not self._whole or head.n <= self._stored.n:
                return False
            self._tried, self._tried_at = head, time.monotonic()
            try:
                kept_bytes = int(await in_child(lambda: self._keep(store, head), CHILD_MAX_S, self._stood_still))
            except NotDone as trouble:
                self.failed += 1
                log.warning("the snapshot could not be saved, the service continues", seq=head.seq, reason=str(trouble))
                return False
            self._stored = head
            self.taken += 1
            seconds = round(time.monotonic() - self._tried_at, 3)
            log.info("snapshot", seq=head.seq, kept_bytes=kept_bytes, seconds=seconds, stood_still_ms=self.stood_still_ms)
            return True

    def _stood_still(self, seconds: float) -> None:
        self.stood_still_ms = round(seconds * 1000, 2)

    def _keep(self, store: Snapshots, head: Head) -> str:
        """Save the state, in the child. Return its size in bytes."""
        body = encode(self._fold.state())
        store.store(self._name, self._schema, head, body)
        return str(len(body))

    async def last(self, follower: JournalSubscription[Any]) -> None:
        """Save at a clean stop, within LAST_ONE_MAX_S: the next start has no tail to read."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_ONE_MAX_S):
                await self.take(follower)

    def stats(self) -> dict[str, float]:
        return {
            "taken": self.taken,
            "failed": self.failed,
            "restored_from": self.restored_from,
            "kept_seq": self._stored.seq,
            "stood_still_ms": self.stood_still_ms,
        }


async def _not_of(journal: Journal, head: Head) -> str | None:
    """Return why a snapshot is not of this journal, which must have the commit of its head, with its number and chain value."""
    found = await journal.read(head.seq)
    if found is None:
        return f"the journal has no sequence {head.seq}"
    if found.head != head:
        return f"sequence {head.seq} of the journal is another commit"
    return None


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Disable garbage collection: it would scan a million new objects again and again, and all of them stay."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
