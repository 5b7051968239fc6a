"""A recorded market as a file: each line is one message of raw frames as gateway wrote it; and what such a market quoted."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from domain.market.csv_rows import BadFile
from domain.market.file_times import DAY_NS
from domain.market.normalization import BookRules, DecoderOf, VenueFold
from domain.market.quotes import Quote
from domain.market.recorded import COLUMNS
from domain.market.venues.feed import FORMAT, RawFrames
from domain.values import ZERO, plain

LINE_BYTES_MAX: Final = 64 * 1024 * 1024

_RAW: Final = msgspec.json.Decoder(RawFrames)


class BadFrames(BadFile):
    """The file is no recorded market."""


def read_frames(lines: Iterable[bytes]) -> Iterator[RawFrames]:
    """Yield each line. Raises BadFrames for the first one that is no message of raw frames of this format."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if len(line) > LINE_BYTES_MAX:
            raise BadFrames(number, f"longer than {LINE_BYTES_MAX} bytes")
        try:
            raw = _RAW.decode(line)
        except (ValueError, RecursionError) as error:
            raise BadFrames(number, f"not raw frames: {error}") from None
        if raw.v != FORMAT:
            raise BadFrames(number, f"format {raw.v} is unknown; this release reads {FORMAT}")
        yield raw


def is_of_day(raw: RawFrames, day: int) -> bool:
    """Return whether a frame of the message was received on this day (days since 1970, UTC)."""
    return any(frame.received // DAY_NS == day for frame in raw.frames)


def begins_by(raw: RawFrames, day: int) -> bool:
    """Return whether the message begins on this day or earlier.

    A day needs all earlier frames of its connections too: a venue sends a whole book once, and a hole makes each book invalid.
    """
    return bool(raw.frames) and raw.frames[0].received // DAY_NS <= day


def recorded_quotes(messages: Iterable[RawFrames], decoder_of: DecoderOf, venue: str, day: int | None = None) -> Iterator[Quote]:
    """Yield each change of the touch at one venue, in the order of receipt; `at` is our time of receipt and never runs backwards.

    Where a book became invalid, its last prices come with sizes of zero: nothing can be traded until it is whole again.
    Equal messages give equal quotes. `day`: only the quotes of this day, with the books that the frames before it made.
    """
    fold, last = VenueFold(venue, decoder_of, BookRules()), 0
    for raw in messages:
        if raw.venue != venue:
            continue
        for n, frame in enumerate(raw.frames, raw.n):
            out = fold.take(RawFrames(venue=venue, epoch=raw.epoch, n=n, frames=(frame,)))
            last = max(last, frame.received)
            if day is not None and last // DAY_NS != day:
                continue
            for quote in out.quotes:
                yield msgspec.structs.replace(quote, at=last)
            for symbol in out.ended:
                if (before := fold.last.get(symbol)) is not None:
                    yield msgspec.structs.replace(before, at=last, bid_size=ZERO, ask_size=ZERO)


def rows_of(quotes: Iterable[Quote]) -> Iterator[str]:
    """Yield the lines of a file of quotes, which `trade up --quotes` plays."""
    yield ",".join(COLUMNS)
    for each in quotes:
        yield f"{each.at},{each.symbol},{plain(each.bid)},{plain(each.bid_size)},{plain(each.ask)},{plain(each.ask_size)}"
