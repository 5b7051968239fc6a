"""Frames of one venue on their way to the stream: numbered, gathered, one message after the other, each repeated until its ack.

One message is in flight at a time, so the stream has them in order whatever is refused or repeated: readers take a frame that comes late
for a hole. Meanwhile frames gather, and the next message has more of them. At most `bytes_max` gather; beyond that the oldest are dropped,
which leaves a hole in `n` that readers report.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import msgspec
import structlog

from apps.runtime.log_limit import LogLimit
from apps.runtime.metrics import Observations
from domain.market.venues.feed import FRAMES_MAX, Frame, FrameKind, RawFrames
from domain.ports import Clock, Unavailable

log = structlog.get_logger()

MESSAGE_BYTES_MAX: Final = 1024 * 1024
"""Text of one message, unless a single frame is larger."""
LATE_FRAMES_MAX: Final = 8 * FRAMES_MAX
"""Frames of a message that waited for the ack before it: a server that answers late is written to less often, not less."""
FRAME_OVERHEAD: Final = 300
"""Bytes that a waiting frame needs besides its text."""
REPEAT_AFTER_S: Final = 0.25
POLL_S: Final = 0.005
LATENCY_BUCKETS_S: Final = (0.002, 0.004, 0.008, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
SECOND_NS: Final = 1_000_000_000

_ENCODER: Final = msgspec.json.Encoder()


class RawStream(Protocol):
    """Where messages go. Port: adapters.marketstreams.StreamWriter."""

    @property
    def payload_max(self) -> int: ...

    async def write(self, subject: str, payload: bytes, message_id: str) -> None:
        """Return once the message is stored; the same id again is stored once. Raises Unavailable."""
        ...


class WaitingFrame(NamedTuple):
    """A frame that no message has yet."""

    epoch: int
    n: int
    frame: Frame
    size: int

    def follows(self, other: "WaitingFrame") -> bool:
        """Whether both are of one connection, and nothing is missing between them."""
        return (self.epoch, self.n) == (other.epoch, other.n + 1)


class RawWriter:
    """Writes the frames of one venue. `put` never waits."""

    def __init__(
        self, venue: str, subject: str, stream: RawStream, clock: Clock, latency: Observations, *, wait_s: float, bytes_max: int
    ) -> None:
        """`latency`: seconds from the receipt of the oldest frame of a message to its ack."""
        self._venue = venue
        self._subject = subject
        self._stream = stream
        self._clock = clock
        self._wait_s = wait_s
        self._bytes_max = bytes_max
        self._epoch = 0
        self._n = 0
        self._waiting: deque[WaitingFrame] = deque()
        self._in_flight: Sequence[WaitingFrame] = ()
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._seldom = LogLimit()
        self.bytes = 0
        """Of frames that are not acknowledged."""
        self.written = 0
        self.messages = 0
        self.repeated = 0
        self.dropped = 0
        self._latency = latency

    def begin(self, epoch: int) -> None:
        """Number the frames of a new connection from 1. `epoch` is greater than every one before."""
        self._epoch, self._n = epoch, 0

    def put(self, kind: FrameKind, text: str, received: int) -> None:
        """Queue a frame; `received` is nanoseconds UTC."""
        self._n += 1
        size = sys.getsizeof(text) + FRAME_OVERHEAD
        self._waiting.append(WaitingFrame(self._epoch, self._n, Frame(received, kind, text), size))
        self.bytes += size
        if self.bytes > self._bytes_max:
            self._drop_oldest()
        if len(self._waiting) >= FRAMES_MAX:
            self._due.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._wait_s, self._due.set)

    def oldest_ns(self) -> int:
        """Return how long the oldest frame has waited for its ack; 0 if none waits."""
        first = self._in_flight[0] if self._in_flight else self._waiting[0] if self._waiting else None
        return max(self._clock.now_ns() - first.frame.received, 0) if first else 0

    async def drained(self, within_s: float) -> bool:
        """Wait until every frame is acknowledged; return whether that happened in time."""
        try:
            async with asyncio.timeout(within_s):
                while self._waiting or self._in_flight:
                    self._due.set()
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            while self._waiting:
                await self._write(self._take())
                if len(self._waiting) < FRAMES_MAX and not self._due.is_set() and not self._is_due():
                    self._timer = asyncio.get_running_loop().call_later(self._wait_s, self._due.set)
                    break

    def _is_due(self) -> bool:
        return bool(self._waiting) and self.oldest_ns() >= self._wait_s * SECOND_NS

    def _take(self) -> Sequence[WaitingFrame]:
        """Return the next frames that fit into one message; all are of one epoch, and numbered without a hole."""
        waiting, taken, size = self._waiting, list[WaitingFrame](), 0
        while waiting and len(taken) < LATE_FRAMES_MAX:
            first = waiting[0]
            if taken and (size + first.size > MESSAGE_BYTES_MAX or not first.follows(taken[-1])):
                break
            size += first.size
            taken.append(waiting.popleft())
        return taken

    async def _write(self, taken: Sequence[WaitingFrame]) -> None:
        """Write one message, and return when it is acknowledged."""
        first = taken[0]
        payload = _ENCODER.encode(RawFrames(venue=self._venue, epoch=first.epoch, n=first.n, frames=[each.frame for each in taken]))
        if len(payload) > self._stream.payload_max:
            self._forget(taken, "frames are larger than the server takes")
            return
        self._in_flight = taken
        while not await self._sent(payload, f"{self._venue}-{first.epoch}-{first.n}"):
            self.repeated += 1
            await asyncio.sleep(REPEAT_AFTER_S)
        self._latency.observe(self.oldest_ns() / SECOND_NS)
        self._in_flight = ()
        self.bytes -= sum(each.size for each in taken)
        self.written += len(taken)
        self.messages += 1

    async def _sent(self, payload: bytes, message_id: str) -> bool:
        try:
            await self._stream.write(self._subject, payload, message_id)
        except Unavailable as trouble:
            if (held := self._seldom.now()) is not None:
                log.warning("frames are waiting for the stream", venue=self._venue, reason=str(trouble), held_back=held, bytes=self.bytes)
            return False
        return True

    def _drop_oldest(self) -> None:
        """Drop the oldest frames that are in no message, until the bound is kept. Messages in flight stay as they are.

        An `open` frame stays too: without it the rest of its connection could not be decoded.
        """
        gone, openings = list[WaitingFrame](), list[WaitingFrame]()
        left = self.bytes
        while left > self._bytes_max and len(self._waiting) > 1:
            oldest = self._waiting.popleft()
            if oldest.frame.kind is FrameKind.OPEN:
                openings.append(oldest)
            else:
                gone.append(oldest)
                left -= oldest.size
        self._waiting.extendleft(reversed(openings))
        if gone:
            self._forget(gone, "the memory for frames is full")

    def _forget(self, gone: Sequence[WaitingFrame], reason: str) -> None:
        self.bytes -= sum(each.size for each in gone)
        self.dropped += len(gone)
        if (held := self._seldom.now()) is not None:
            log.error("frames dropped", venue=self._venue, reason=reason, first=gone[0].n, frames=len(gone), held_back=held)
