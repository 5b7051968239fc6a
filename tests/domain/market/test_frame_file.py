"""A recorded market as a file: what it quoted, in the order of receipt, and which lines are refused."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from adapters.codec import encode
from domain.instruments import Instrument
from domain.market.file_times import DAY_NS
from domain.market.frame_file import BadFrames, begins_by, is_of_day, read_frames, recorded_market, rows_of
from domain.market.prints import Print, Prints
from domain.market.quotes import Quote
from domain.market.recorded import read_quotes
from domain.market.records import Record
from domain.market.venues.feed import Frame, FrameKind, RawFrames, Wish
from domain.values import Side
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
    return list(rows_of(recorded_market(messages, PlainDecoder, VENUE)))


def test_each_change_of_the_touch_is_a_row_at_its_time_of_receipt() -> None:
    found = rows(day_of("snapshot btc 7 100 1 101 1", "update btc 8 100 2 101 1.50", "beat"))
    assert found == [
        "time,symbol,bid,bid_size,ask,ask_size,print_price,print_quantity,print_side",
        f"{START + S},BTCUSDT,100,1,101,1,,,",
        f"{START + 2 * S},BTCUSDT,100,2,101,1.5,,,",
    ]


def test_trades_are_prints_at_their_time_of_receipt_each_once_and_only_while_the_symbol_is_quoted() -> None:
    early, sold, bought = (f"trade btc {text} {START}" for text in ("t1 100 1 sell", "t2 100 0.5 sell", "t3 101 2 buy"))
    gap, unquoted = "update btc 9 100 2 101 1", f"trade btc t4 100 1 sell {START}"
    found = rows(day_of(early, "snapshot btc 7 100 1 101 1", sold, sold, bought, gap, unquoted, "snapshot btc 11 99 4 101 1"))
    assert found[1:] == [
        f"{START + 2 * S},BTCUSDT,100,1,101,1,,,",
        f"{START + 3 * S},BTCUSDT,,,,,100,0.5,sell",
        f"{START + 5 * S},BTCUSDT,,,,,101,2,buy",
        f"{START + 6 * S},BTCUSDT,100,0,101,0,,,",
        f"{START + 8 * S},BTCUSDT,99,4,101,1,,,",
    ]


class TradingDecoder(PlainDecoder):
    """A text may have several messages, as `snapshot …; trade …`: what a venue sends in one frame."""

    def take(self, frame: Frame, n: int) -> list[Record | Wish]:
        parts = frame.text.split("; ") if frame.kind is FrameKind.FRAME else [frame.text]
        return [record for text in parts for record in super(TradingDecoder, self).take(Frame(frame.received, frame.kind, text), n)]


def test_the_prints_of_a_frame_come_before_its_quotes() -> None:
    messages = day_of("snapshot btc 7 100 3 101 1", f"update btc 8 100 2 101 1; trade btc t1 100 1 sell {START}")
    assert list(rows_of(recorded_market(messages, TradingDecoder, VENUE)))[2:] == [
        f"{START + 2 * S},BTCUSDT,,,,,100,1,sell",
        f"{START + 2 * S},BTCUSDT,100,2,101,1,,,",
    ]


def test_a_book_that_became_invalid_shows_nothing_until_it_is_whole() -> None:
    found = rows(
        day_of("snapshot btc 7 100 1 101 1", "update btc 9 100 2 101 1", "update btc 10 100 5 101 1", "snapshot btc 11 99 4 101 1")
    )
    assert found[1:] == [
        f"{START + S},BTCUSDT,100,1,101,1,,,",
        f"{START + 2 * S},BTCUSDT,100,0,101,0,,,",
        f"{START + 4 * S},BTCUSDT,99,4,101,1,,,",
    ]


def test_what_it_quoted_and_traded_can_be_played() -> None:
    trade = f"trade btc t1 100.005 0.001 sell {START}"  # neither on a tick nor a lot: prints come as the venue sent them
    btc, eth, traded = read_quotes(rows(day_of("snapshot btc 7 100 1 101 1", "snapshot eth 3 10 1 11 2", trade)), TICKS)
    assert isinstance(btc, Quote)
    assert isinstance(eth, Quote)
    assert (btc.symbol, btc.ask, btc.ask_size, btc.at) == ("BTCUSDT", Decimal(101), Decimal(1), START + S)
    assert (eth.symbol, eth.ask, eth.ask_size, eth.at) == ("ETHUSDT", Decimal(11), Decimal(2), START + 2 * S)
    printed = Print(Decimal("100.005"), Decimal("0.001"), Side.SELL)
    assert traded == Prints(symbol="BTCUSDT", venue="", prints=(printed,), epoch=0, n=0, at=START + 3 * S)


def test_other_venues_are_left_out_and_equal_recordings_give_equal_rows() -> None:
    messages = day_of("snapshot btc 7 100 1 101 1", f"trade btc t1 100 1 sell {START}")
    others = [RawFrames(venue="OTHER", epoch=each.epoch, n=each.n, frames=each.frames) for each in messages]
    assert rows([*others, *messages]) == rows(messages) == rows(list(messages))


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
    found = list(rows_of(recorded_market(messages, PlainDecoder, VENUE, today + 1)))
    assert found[1:] == [f"{midnight + S},BTCUSDT,100,2,101,1,,,"]
