"""Where the reading of a venue begins: found from what was published last, by (epoch, n), never by a sequence of a stream."""

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

import msgspec

from adapters import subjects
from adapters.market_lookup import Stored
from domain.market.venues.feed import Frame, FrameKind, RawFrames

KINDS: Final = ("facts", "quotes", "trades", "books")
"""In the order in which they are published."""
OVERLAP_MESSAGES: Final = 500
"""How far before the found begin the reading starts: two connections may overlap, so their messages are mixed."""
BATCH_FRAMES_MAX: Final = 5_000
"""Frames whose records are published in one step: after a crash some kinds of a step may be missing."""

_RAW: Final = msgspec.json.Decoder(RawFrames)


class SequencedStream(Protocol):
    """A stream by sequence. Port: adapters.market_lookup.MarketLookup."""

    async def last(self, subject: str) -> Stored | None: ...

    async def at(self, subject: str, seq: int) -> Stored | None: ...


class FramePoint(NamedTuple):
    """A frame of a venue."""

    epoch: int
    n: int


class _Numbers(msgspec.Struct):
    epoch: int
    n: int


_NUMBERS: Final = msgspec.json.Decoder(_Numbers)


class StartPoint(NamedTuple):
    """Read the messages behind sequence `after`, of connections from `since_epoch` on. `published`: by kind, what is not published again.

    `skip_to`: the connection `since_epoch` is too long to be read again, or its begin is gone: continue behind this frame, with `opening`.
    """

    after: int
    since_epoch: int
    published: Mapping[str, FramePoint]
    opening: Frame | None = None
    skip_to: int = 0


async def published(market: SequencedStream, facts: SequencedStream, venue: str) -> dict[str, FramePoint]:
    """Return the last published frame of each kind. Unavailable.

    The last fact may be of our clock, with the `n` 0. Then facts count as far as the other kinds, because a step publishes them first.
    """
    found: dict[str, FramePoint] = {}
    for kind in KINDS:
        last = await (facts if kind == "facts" else market).last(subjects.market(kind, venue))
        if last is not None:
            numbers = _NUMBERS.decode(last.payload)
            found[kind] = FramePoint(numbers.epoch, numbers.n)
    if "facts" in found and not found["facts"].n:
        found["facts"] = max(found.values())
    return found


async def start_point(raw: SequencedStream, venue: str, done: Mapping[str, FramePoint], frames_max: int) -> StartPoint:
    """Return where to begin: at the `open` frame of the connection that was published last, or, without one, with the stream.

    Unavailable.
    """
    subject = subjects.market("raw", venue)
    newest = await raw.last(subject)
    furthest = max(done.values(), default=None)
    if newest is None or furthest is None:
        return StartPoint(0, 0, done)
    end = point_of(newest)
    epoch = min(furthest.epoch, end.epoch)
    first = await _first_from(raw, subject, FramePoint(epoch, 0), newest)
    here = point_of(first)
    at_n = furthest.n if furthest.epoch == epoch else 0
    if here.epoch != epoch or (here.n == 1 and at_n <= frames_max):
        return StartPoint(max(first.seq - OVERLAP_MESSAGES - 1, 0), here.epoch, done)
    begin = await _first_from(raw, subject, FramePoint(epoch, at_n - BATCH_FRAMES_MAX), newest)
    return StartPoint(begin.seq - 1, epoch, done, _opening(first), point_of(begin).n - 1)


async def _first_from(raw: SequencedStream, subject: str, point: FramePoint, newest: Stored) -> Stored:
    """Return the first message that begins at this frame or behind it, by bisection; the newest one if there is none."""
    low, high, found = 1, newest.seq, newest
    while low < high:
        middle = (low + high) // 2
        message = await raw.at(subject, middle)
        if message is None or point_of(message) >= point:
            high, found = middle, message or found
        else:
            low = message.seq + 1
    return found


def point_of(stored: Stored) -> FramePoint:
    """Return the number of the first frame of a message."""
    numbers = _NUMBERS.decode(stored.payload)
    return FramePoint(numbers.epoch, numbers.n)


def _opening(first: Stored) -> Frame | None:
    frames = _RAW.decode(first.payload).frames
    return frames[0] if frames and frames[0].kind is FrameKind.OPEN else None
