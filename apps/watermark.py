"""Is the journal the one that was acknowledged? Looked at before its writer trusts it; afterwards the mark follows what is on disk."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from domain.events import JournalAccepted
from domain.ports import Acceptance, Corrupt, Head, Journal, Unavailable, Watermark

log = structlog.get_logger()

RAISE_EVERY_S: Final = 0.25
"""How often the mark is written and fsynced at most: so much of the newest is not guarded when the machine dies with its store."""
RAISE_RETRY_S: Final = 5.0

WHAT_TO_DO: Final = (
    "Put the newest good copy of the store back. To go on without what is missing, the servers running alone (trade up --only-servers): "
    "trade journal accept"
)


class Encodes(Protocol):
    """A codec of commits that knows JournalAccepted."""

    def encode(self, shard: int, n: int, events: tuple[JournalAccepted]) -> bytes: ...


class Mark:
    """One journal's mark in the hands of its only writer."""

    def __init__(self, kept: Watermark, name: str, codec: Encodes, shard: int = 0) -> None:
        self.kept = kept
        self.name = name
        self._codec = codec
        self._shard = shard
        self._noted: Head | None = None

    def note(self, head: Head) -> None:
        """This is on disk. Called with every commit: it costs nothing."""
        self._noted = head if head.seq else None  # an empty journal has nothing to guard

    def highest(self) -> Head | None:
        """The last commit that we know was there. Corrupt."""
        kept, noted = self.kept.read(), self._noted
        return noted if kept is None or (noted is not None and noted.seq > kept.seq) else kept

    def forget(self) -> None:
        self._noted = None

    def accepted_commit(self, accepted: Acceptance) -> bytes:
        event = JournalAccepted(
            at=accepted.at,
            who=accepted.who,
            reason=accepted.reason,
            goes_on_from=accepted.head.seq,
            acknowledged_to=accepted.mark.seq,
        )
        return self._codec.encode(self._shard, accepted.head.n + 1, (event,))

    async def run(self) -> None:
        """Keep the mark up with what was noted, for ever; once more at the end. A full disk stops the mark, not the trading."""
        raised: Head | None = None
        try:
            while True:
                await asyncio.sleep(RAISE_EVERY_S)
                noted = self._noted
                if noted is not None and noted != raised:
                    try:
                        await asyncio.to_thread(self.kept.raise_to, noted)
                        raised = noted
                    except Unavailable as trouble:
                        log.warning("the high-water mark stays behind", journal=self.name, reason=str(trouble))
                        await asyncio.sleep(RAISE_RETRY_S)
        finally:
            if self._noted is not None:
                with contextlib.suppress(Unavailable):
                    self.kept.raise_to(self._noted)


async def verify_watermark(journal: Journal, mark: Mark) -> None:
    """Corrupt when the journal ends before what was acknowledged, or differs there, and no operator accepted that. Unavailable, Fenced."""
    head = await journal.head()
    accepted = mark.kept.acceptance()
    if accepted is not None:
        head = await _go_on(journal, mark, accepted, head)
    highest = mark.highest()
    if highest is None or not highest.seq:
        return
    if head.seq < highest.seq:
        raise Corrupt(
            f"{mark.name} ends at sequence {head.seq}, but sequence {highest.seq} had been acknowledged: the store was truncated or "
            f"replaced by an older copy. {WHAT_TO_DO}"
        )
    there = await journal.read(highest.seq)
    if there is None or there.head != highest:
        what = "cannot be read" if there is None else "is another commit now"
        raise Corrupt(
            f"{mark.name}: sequence {highest.seq}, which had been acknowledged, {what}: the store was damaged or replaced. {WHAT_TO_DO}"
        )


def may_begin(stream: str, marks: Sequence[Mark | None]) -> None:
    """May a missing stream be made? Corrupt when it was there before: the server could not load it, or it was removed."""
    for mark in marks:
        if mark is not None and mark.kept.acceptance() is None and (highest := mark.highest()) is not None:
            raise Corrupt(
                f"the stream {stream} is missing, but {mark.name} had been acknowledged up to sequence {highest.seq}: it was removed, or "
                f"nats-server cannot load it (see its log). {WHAT_TO_DO}"
            )


async def _go_on(journal: Journal, mark: Mark, accepted: Acceptance, head: Head) -> Head:
    """The acceptance becomes the journal's next commit, before anybody writes another; only then it is used up.

    A crash in between finds either the same head again, or this very commit behind it. Any other head was not accepted.
    """
    payload = mark.accepted_commit(accepted)
    if head == accepted.head:
        head = await journal.append(payload, head)
        log.warning("the journal was accepted as it is", journal=mark.name, who=accepted.who, reason=accepted.reason, sequence=head.seq)
    elif not await _is_there(journal, head.seq, payload):
        log.error("the journal changed since it was accepted", journal=mark.name, accepted=accepted.head.seq, sequence=head.seq)
        return head
    mark.forget()
    await asyncio.to_thread(mark.kept.settle, head)
    return head


async def _is_there(journal: Journal, seq: int, payload: bytes) -> bool:
    found = await journal.read(seq)
    return found is not None and found.payload == payload


async def verify_chain(journal: Journal, after: Head, until: Head) -> None:
    """Read what a start from a store or a snapshot would go past: every commit is there and chained up to `until`. Corrupt, Unavailable."""
    if until.seq <= after.seq:
        return
    head = after
    async with contextlib.aclosing(journal.follow(after, until=until.seq)) as batches:
        async for batch in batches:
            head = batch[-1].head
            await asyncio.sleep(0)
    if head != until:
        raise Corrupt(f"sequence {until.seq}: the chain does not lead to the commit from which a start would go on")
