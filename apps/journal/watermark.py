"""High-water marks: a writer verifies that its journal reaches what was acknowledged, then keeps the mark at what is on disk."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import msgspec
import structlog

from domain.access.events import AccessAccepted
from domain.order.events import Foreign, JournalAccepted
from domain.ports import Acceptance, Corrupt, Head, Journal, Unavailable, Watermark
from domain.risk.controls import ControlsAccepted

log = structlog.get_logger()

RAISE_EVERY_S: Final = 0.25
"""How often the mark is written and fsynced at most: commits of the last interval are not guarded if the machine dies with its store."""
RAISE_RETRY_S: Final = 5.0
LOOK_EVERY_S: Final = 1.0
"""How often a writer checks for a foreign message behind its last commit."""
NAMED_MAX: Final = 50
"""Ranges of sequences listed in one text."""
ACCEPTANCES: Final = (JournalAccepted.__name__, ControlsAccepted.__name__, AccessAccepted.__name__)

WHAT_TO_DO: Final = (
    "Restore the newest good copy of the store. To continue without what is missing, with only the servers running "
    "(trade up --only-servers): trade journal accept"
)


class Encodes(Protocol):
    """A codec of commits that can encode the event of an acceptance."""

    def encode(self, shard: int, n: int, events: tuple[Any]) -> bytes: ...


def journal_accepted(accepted: Acceptance) -> JournalAccepted:
    """Return the event of an acceptance for the order journal and the venues' journals."""
    return JournalAccepted(
        at=accepted.at,
        who=accepted.who,
        reason=accepted.reason,
        goes_on_from=accepted.head.seq,
        acknowledged_to=accepted.mark.seq,
        skipped=accepted.skipped,
    )


def controls_accepted(accepted: Acceptance) -> ControlsAccepted:
    """Return the event of an acceptance for the journal of controls, where each commit is one control, so its number gives the version."""
    return ControlsAccepted(
        version=accepted.head.n + 2,
        at=accepted.at,
        who=accepted.who,
        reason=accepted.reason,
        goes_on_from=accepted.head.seq,
        acknowledged_to=accepted.mark.seq,
        lost=accepted.lost,
        skipped=accepted.skipped,
    )


def access_accepted(accepted: Acceptance) -> AccessAccepted:
    """Return the event of an acceptance for the journal of access, where each commit is one event, so its number gives the version."""
    return AccessAccepted(
        version=accepted.head.n + 1,
        at=accepted.at,
        who=accepted.who,
        reason=accepted.reason,
        goes_on_from=accepted.head.seq,
        acknowledged_to=accepted.mark.seq,
        lost=accepted.lost,
        skipped=accepted.skipped,
    )


class Mark:
    """One journal's mark, kept by its only writer, or by a follower for itself. `event` makes the event of an acceptance."""

    def __init__(
        self, kept: Watermark, name: str, codec: Encodes, shard: int = 0, *, event: Callable[[Acceptance], object] = journal_accepted
    ) -> None:
        self.kept = kept
        self.name = name
        self._codec = codec
        self._shard = shard
        self._event = event
        self._noted: Head | None = None

    def note(self, head: Head) -> None:
        """Note the head on disk. Called with every commit, so it must be cheap."""
        self._noted = head if head.seq else None  # an empty journal has nothing to guard

    def highest(self) -> Head | None:
        """Return the last commit that is known to have been in the journal. Corrupt."""
        kept, noted = self.kept.read(), self._noted
        return noted if kept is None or (noted is not None and noted.seq > kept.seq) else kept

    def forget(self) -> None:
        self._noted = None

    def accepted_commit(self, accepted: Acceptance) -> bytes:
        return self._codec.encode(self._shard, accepted.head.n + 1, (self._event(accepted),))

    async def raise_now(self, head: Head) -> None:
        """Write the mark to disk; if that fails, log why: what was acknowledged stays acknowledged."""
        self.note(head)
        try:
            await asyncio.to_thread(self.kept.raise_to, head)
        except Unavailable as trouble:
            log.warning("the high-water mark stays behind", journal=self.name, reason=str(trouble))

    async def run(self) -> None:
        """Write the noted head to the mark until cancelled, and once more at the end. A full disk stops the mark, not trading."""
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
    """Verify the journal for its writer, before the writer trusts it.

    Corrupt if the journal ends before what was acknowledged, differs there, or has a foreign message behind its last commit, and no
    operator accepted that. Unavailable, Fenced.
    """
    head = await journal.head()
    accepted = mark.kept.acceptance()
    if accepted is not None:
        head = await _go_on(journal, mark, accepted, head)
    await _verify_mark(journal, mark, head)
    refuse_foreign(mark.name, await journal.foreign(head))


async def _verify_mark(journal: Journal, mark: Mark, head: Head) -> None:
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


def refuse_foreign(name: str, found: Sequence[Foreign]) -> None:
    """Raise Corrupt for foreign messages at the journal's end. A writer never continues behind one by itself."""
    if found:
        which = listed(found)
        raise Corrupt(
            f"{name}: sequence {which} is no commit: a program other than the writer put it there. Nothing acknowledged is lost. Find "
            f"out what has access; then continue behind it: trade journal skip {which.replace(',', '')} --reason ..."
        )


def listed(found: Sequence[Foreign]) -> str:
    """Return their sequences as text, with ranges as `57-60`, and at most NAMED_MAX of them."""
    runs: list[list[int]] = []
    for each in found:
        if runs and each.seq == runs[-1][-1] + 1:
            runs[-1][1:] = [each.seq]
        else:
            runs.append([each.seq])
    text = ", ".join("-".join(map(str, run)) for run in runs[:NAMED_MAX])
    return f"{text}, ..." if len(runs) > NAMED_MAX else text


class _Acceptance(msgspec.Struct):
    """The skipped messages of an acceptance; empty for any other event."""

    type: str = ""
    skipped: tuple[Foreign, ...] = ()


class _Acceptances(msgspec.Struct):
    events: tuple[_Acceptance, ...]


_ACCEPTANCES: Final = msgspec.json.Decoder(_Acceptances)


def skipped_in(payload: bytes) -> Sequence[Foreign]:
    """Return the foreign messages that an operator's acceptance in this commit names."""
    if not any(b'"' + kind.encode() + b'"' in payload for kind in ACCEPTANCES):
        return ()  # the usual case: the bytes are searched, not decoded
    return [each for event in _ACCEPTANCES.decode(payload).events if event.type in ACCEPTANCES for each in event.skipped]


async def watch_foreign(journal: Journal, head: Callable[[], Head | None], name: str) -> None:
    """Check until cancelled; Corrupt if a foreign message is behind the writer's last commit, also while nothing is written."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        if (last := head()) is not None:
            with contextlib.suppress(Unavailable):
                refuse_foreign(name, await journal.foreign(last))


async def verify_followed(journal: Journal, mark: Mark, loss_accepted: Callable[[Journal, Head], Awaitable[bool]]) -> None:
    """Verify the journal for a follower: Corrupt if it ends before what this service had applied, or differs there. Unavailable.

    `loss_accepted` returns whether an event in the journal says that an operator accepted the loss of this commit.
    """
    try:
        await _verify_mark(journal, mark, await journal.head())
    except Corrupt:
        highest = mark.highest()
        if highest is None or not await loss_accepted(journal, highest):
            raise
        log.warning("applied commits are lost, and an operator accepted that", journal=mark.name, sequence=highest.seq)
        mark.forget()
        await asyncio.to_thread(mark.kept.settle, Head())


def may_begin(stream: str, marks: Sequence[Mark | None]) -> None:
    """Check that a missing stream may be created. Corrupt if it existed before: the server could not load it, or it was removed."""
    for mark in marks:
        if mark is not None and mark.kept.acceptance() is None and (highest := mark.highest()) is not None:
            raise Corrupt(
                f"the stream {stream} is missing, but {mark.name} had been acknowledged up to sequence {highest.seq}: it was removed, or "
                f"nats-server cannot load it (see its log). {WHAT_TO_DO}"
            )


async def _go_on(journal: Journal, mark: Mark, accepted: Acceptance, head: Head) -> Head:
    """Append the acceptance as the journal's next commit, before any other; only then is it used up. Return the new head.

    After a crash in between, the head is either the same or this very commit. No other head is accepted, nor a foreign message behind it
    that the acceptance does not name.
    """
    payload = mark.accepted_commit(accepted)
    behind = tuple(await journal.foreign(head))
    if head == accepted.head and behind == tuple(each for each in accepted.skipped if each.seq > head.seq):
        place = Head(behind[-1].seq, head.n, head.chain) if behind else head
        head = await journal.append(payload, place)
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
    """Verify what a start from a store or snapshot skips: every commit exists and is chained up to `until`. Corrupt, Unavailable."""
    if until.seq <= after.seq:
        return
    head = after
    async with contextlib.aclosing(journal.follow(after, until=until.seq)) as batches:
        async for batch in batches:
            head = batch[-1].head
            await asyncio.sleep(0)
    if head != until:
        raise Corrupt(f"sequence {until.seq}: the chain does not lead to the commit from which a start would continue")
