"""The records of one venue on their way to the streams: gathered, published in order, each message until its ack."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

import structlog

from adapters import subjects
from adapters.codec import encode
from apps.normalizer.start_point import BATCH_FRAMES_MAX, KINDS, FramePoint
from apps.runtime.log_limit import LogLimit
from domain.market.normalization import Normalised
from domain.market.records import Fact, Record, Records
from domain.ports import Unavailable

log = structlog.get_logger()

WEIGHT_MAX: Final = 5_000
"""Records and levels of books in one step. A record of about 100 bytes keeps a message below a megabyte."""
STEPS_MAX: Final = 20
"""Steps that wait. Then the reading waits too: the backlog is in the stream."""
REPEAT_AFTER_S: Final = 0.25

Write = Callable[[str, bytes, str], Awaitable[None]]
"""Stores a message by subject, payload and id, and returns with its ack. Raises Unavailable; the same id is stored once."""


class _Step:
    """Records of one connection up to frame `n`. Its messages are stored before any of a later step is sent."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.n = 0
        self.frames = 0
        self.weight = 0
        self.records: dict[str, list[Record]] = {kind: [] for kind in KINDS}


class RecordsOut:
    """Publishes what one venue's frames mean. `done` is what was published before; it is not published again."""

    def __init__(self, venue: str, write: Write, done: Mapping[str, FramePoint], wait_s: float) -> None:
        self._venue = venue
        self._write = write
        self._done = done
        self._wait_s = wait_s
        self._steps: deque[_Step] = deque()
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._seldom = LogLimit()
        self._sent_facts = 0
        self.published: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
        self.repeated = 0

    @property
    def waiting(self) -> int:
        return len(self._steps)

    def is_done(self, kind: str, out: Normalised) -> bool:
        """Return whether these records were published before this process began."""
        return out.n > 0 and (out.epoch, out.n) <= self._done.get(kind, FramePoint(0, 0))

    def add(self, out: Normalised) -> None:
        """Queue the records of a message. Facts of our clock (`n` 0) have a step of their own."""
        found: dict[str, Any] = {"facts": out.facts, "quotes": out.quotes, "trades": out.trades, "books": out.books}
        fresh = {kind: records for kind, records in found.items() if records and not self.is_done(kind, out)}
        if not fresh:
            return
        step = self._steps[-1] if self._steps else None
        is_full = step is not None and (step.weight >= WEIGHT_MAX or step.frames + out.frames > BATCH_FRAMES_MAX)
        if step is None or is_full or step.epoch != out.epoch or not step.n or not out.n:
            step = _Step(out.epoch)
            self._steps.append(step)
        step.n, step.frames = out.n, step.frames + out.frames
        for kind, records in fresh.items():
            step.records[kind] += records
            step.weight += sum(len(book.bids) + len(book.asks) for book in records) if kind == "books" else len(records)
        if len(self._steps) >= STEPS_MAX:
            self._room.clear()
        self._filled.set()

    async def room(self) -> None:
        """Wait until there is room for more."""
        await self._room.wait()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._filled.wait()
            await asyncio.sleep(self._wait_s)
            self._filled.clear()
            while self._steps:
                step = self._steps.popleft()
                if len(self._steps) < STEPS_MAX:
                    self._room.set()
                await self._publish(step)

    async def _publish(self, step: _Step) -> None:
        """Store facts first: a book is known to be invalid before another record leaves."""
        if step.records["facts"]:
            await self._store(step, "facts")
        others = [kind for kind in KINDS if kind != "facts" and step.records[kind]]
        await asyncio.gather(*(self._store(step, kind) for kind in others))

    async def _store(self, step: _Step, kind: str) -> None:
        records = step.records[kind]
        message = Records[Fact](venue=self._venue, epoch=step.epoch, n=step.n, records=cast(list[Fact], records))
        payload, subject = encode(message), subjects.market(kind, self._venue)
        self._sent_facts += not step.n
        message_id = f"{subject}-{step.epoch}-{step.n}" + ("" if step.n else f"-{records[0].at}-{self._sent_facts}")
        while not await self._sent(subject, payload, message_id):
            self.repeated += 1
            await asyncio.sleep(REPEAT_AFTER_S)
        self.published[kind] += len(records)

    async def _sent(self, subject: str, payload: bytes, message_id: str) -> bool:
        try:
            await self._write(subject, payload, message_id)
        except Unavailable as trouble:
            if (held := self._seldom.now()) is not None:
                log.warning("records wait for their stream", venue=self._venue, reason=str(trouble), not_logged=held)
            return False
        return True
