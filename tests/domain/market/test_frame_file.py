"""A recorded market as a file: what it quoted, in the order of receipt, and which lines are refused."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from adapters.codec import encode
from domain.instruments import Instrument
from domain.market.file_times import DAY_NS
from domain.market.frame_file import BadFrames, begins_by, is_of_day, read_frames, recorded_quotes, rows_of
from domain.market.recorded import read_quotes
from domain.market.venues.feed import Frame, FrameKind, RawFrames
from tests.domain.market.plain_venue import START, SYMBOLS, VENUE, PlainDecoder, S, opening

TICKS = {
    symbol: Instrument(
        symbol=symbol, tick=Decimal("0.01"), lot=Decimal("0.01"), quantity_max=Decimal(1000), notional_min=Decimal(1), currency="USD"
    )
    for symbol in SYMBOLS.values()
}


def day_of(*texts: str, epoch: int = 1) -> list[RawFrames]:
    """One connection: the opening, then each text a second later."""
    frames = [
        Frame(START, FrameKind.OPEN, opening()),
        *(Frame(START + number * S, FrameKind.FRAME, text) for number, text in enumerate(texts, 1)),
    ]
    return [RawFrames(venue=VENUE, epoch=epoch, n=1, frames=frames[:2]), RawFrames(venue=VENUE, epoch=epoch, n=3, frames=frames[2:])]


def rows(messages: Sequence[RawFrames]) -> list[str]:
    return list(rows_of(recorded_quotes(messages, PlainDecoder, VENUE)))


def test_each_change_of_the_touch_is_a_row_at_its_time_of_receipt() -> None:
    found = rows(day_of("snapshot btc 7 100 1 101 1", "update btc 8 100 2 101 1.50", "beat"))
    assert found == [
        "time,symbol,bid,bid_size,ask,ask_size",
        f"{START + S},BTCUSDT,100,1,101,1",
        f"{START + 2 * S},BTCUSDT,100,2,101,1.5",
    ]


def test_a_book_that_became_invalid_shows_nothing_until_it_is_whole() -> None:
    found = rows(
        day_of("snapshot btc 7 100 1 101 1", "update btc 9 100 2 101 1", "update btc 10 100 5 101 1", "snapshot btc 11 99 4 101 1")
    )
    assert found[1:] == [
        f"{START + S},BTCUSDT,100,1,101,1",
        f"{START + 2 * S},BTCUSDT,100,0,101,0",
        f"{START + 4 * S},BTCUSDT,99,4,101,1",
    ]


def test_what_it_quoted_can_be_played() -> None:
    found = read_quotes(rows(day_of("snapshot btc 7 100 1 101 1", "snapshot eth 3 10 1 11 2")), TICKS)
    assert [(quote.symbol, quote.ask, quote.ask_size, quote.at) for quote in found] == [
        ("BTCUSDT", Decimal(101), Decimal(1), START + S),
        ("ETHUSDT", Decimal(11), Decimal(2), START + 2 * S),
    ]


def test_other_venues_are_left_out_and_equal_recordings_give_equal_rows() -> None:
    messages = day_of("snapshot btc 7 100 1 101 1")
    others = [RawFrames(venue="OTHER", epoch=each.epoch, n=each.n, frames=each.frames) for each in messages]
    assert rows([*others, *messages]) == rows(messages) == rows(day_of("snapshot btc 7 100 1 101 1"))


def test_a_file_comes_back_as_it_was_written() -> None:
    messages = day_of("snapshot btc 7 100 1 101 1")
    assert list(read_frames([*map(encode, messages), b"\n"])) == messages


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{}", "line 2: not raw frames: Object missing required field"),
        (b"[" * 100_000, "line 2: not raw frames"),
        (encode(RawFrames(v=2, venue=VENUE, epoch=1, n=1, frames=[])), "line 2: format 2 is unknown; this release reads 1"),
    ],
)
def test_a_line_that_is_no_message_is_refused_by_its_number(line: bytes, reason: str) -> None:
    with pytest.raises(BadFrames, match=reason.replace("(", r"\(")):
        list(read_frames([encode(day_of()[0]), line]))


def test_a_message_is_of_the_days_of_its_frames() -> None:
    today = START // DAY_NS
    midnight = (today + 1) * DAY_NS
    frames = [Frame(midnight - 1, FrameKind.FRAME, "beat"), Frame(midnight, FrameKind.FRAME, "beat")]
    both = RawFrames(venue=VENUE, epoch=1, n=1, frames=frames)
    assert [is_of_day(both, day) for day in (today - 1, today, today + 1, today + 2)] == [False, True, True, False]
    assert [begins_by(both, day) for day in (today - 1, today, today + 1)] == [False, True, True]


def test_a_day_begins_with_the_books_that_the_day_before_made() -> None:
    today = START // DAY_NS
    midnight = (today + 1) * DAY_NS
    before = [Frame(START, FrameKind.OPEN, opening()), Frame(START + S, FrameKind.FRAME, "snapshot btc 7 100 1 101 1")]
    after = [Frame(midnight + S, FrameKind.FRAME, "update btc 8 100 2 101 1")]
    messages = [RawFrames(venue=VENUE, epoch=1, n=1, frames=before), RawFrames(venue=VENUE, epoch=1, n=3, frames=after)]
    found = list(rows_of(recorded_quotes(messages, PlainDecoder, VENUE, today + 1)))
    assert found[1:] == [f"{midnight + S},BTCUSDT,100,2,101,1"]
