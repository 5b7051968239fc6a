"""A recorded market as a file: each line is one message of raw frames as gateway wrote it; and what such a market quoted and traded."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from domain.market.bars import KnownTrades
from domain.market.csv_rows import BadFile
from domain.market.file_times import DAY_NS
from domain.market.normalization import BookRules, DecoderOf, VenueFold
from domain.market.prints import Prints, prints_of
from domain.market.recorded import COLUMNS, PRINT_COLUMNS, MarketRow
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


def recorded_market(messages: Iterable[RawFrames], decoder_of: DecoderOf, venue: str, day: int | None = None) -> Iterator[MarketRow]:
    """Yield each change of the touch at one venue, in the order of receipt; `at` is our time of receipt and never runs backwards.

    Before the quotes of a frame come its prints, each trade once, while the symbol has a quote. Trades of the past leave none.
    Where a book became invalid, its last prices come with sizes of zero: nothing can be traded until it is whole again.
    Equal messages give equal rows. `day`: only the rows of this day, with the books that the frames before it made.
    """
    fold, last = VenueFold(venue, decoder_of, BookRules()), 0
    known: defaultdict[str, KnownTrades] = defaultdict(KnownTrades)
    quoted: set[str] = set()
    for raw in messages:
        if raw.venue != venue:
            continue
        for n, frame in enumerate(raw.frames, raw.n):
            out = fold.take(RawFrames(venue=venue, epoch=raw.epoch, n=n, frames=(frame,)))
            last = max(last, frame.received)
            new = [trade for trade in out.trades if not known[trade.symbol].has((trade.at, trade.trade_id))]
            if day is not None and last // DAY_NS != day:
                continue
            for prints in prints_of(new, raw.epoch, n):
                if prints.symbol in quoted:
                    yield msgspec.structs.replace(prints, at=last)
            for quote in out.quotes:
                quoted.add(quote.symbol)
                yield msgspec.structs.replace(quote, at=last)
            for symbol in out.ended:
                quoted.discard(symbol)
                if (before := fold.last.get(symbol)) is not None:
                    yield msgspec.structs.replace(before, at=last, bid_size=ZERO, ask_size=ZERO)


def rows_of(market: Iterable[MarketRow]) -> Iterator[str]:
    """Yield the lines of a file of quotes and prints, which `trade up --quotes` plays."""
    yield ",".join((*COLUMNS, *PRINT_COLUMNS))
    for row in market:
        if isinstance(row, Prints):
            for each in row.prints:
                yield f"{row.at},{row.symbol},,,,,{plain(each.price)},{plain(each.quantity)},{each.side}"
        else:
            yield f"{row.at},{row.symbol},{plain(row.bid)},{plain(row.bid_size)},{plain(row.ask)},{plain(row.ask_size)},,,"
