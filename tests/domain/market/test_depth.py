"""What counts as a book behind a quote, when it belongs to a quote, and how a venue shows it."""

from decimal import Decimal
from typing import Any

import pytest

from domain.instruments import Instrument
from domain.market import quotes
from domain.market.depth import DEPTH_LEVELS_MAX, LEVELS, Depth, unsound_depth
from domain.market.quotes import Quote
from domain.market.records import Level
from domain.market.simulated import shaped, shaped_depth
from domain.values import Side

D = Decimal
TICK = Instrument(symbol="X", tick=D("0.5"), lot=D("0.1"), quantity_max=D(1000), notional_min=D(5), currency="USD")


def levels(text: str) -> tuple[Level, ...]:
    """`5x99 7x98`: size and price."""
    return tuple((D(price), D(size)) for size, price in (level.split("x") for level in text.split()))


def depth(bids: str = "5x99 7x98", asks: str = "5x100 7x101", **more: Any) -> Depth:
    fields: dict[str, Any] = {"symbol": "X", "venue": "V", "at": 0, "seq": 7}
    return Depth(bids=levels(bids), asks=levels(asks), **(fields | more))


@pytest.mark.parametrize(
    ("book", "reason"),
    [
        (depth(), None),
        (depth("", ""), None),
        (depth("0x99 7x98"), None),
        (depth("5x100"), None),
        (depth("5x99 NaNx98"), quotes.NUMBER),
        (depth(asks="1e400x100"), quotes.NUMBER),
        (depth("5x99 5x0"), quotes.PRICE),
        (depth(asks="5x100 -1x101"), quotes.SIZE),
        (depth("5x98 7x99"), LEVELS),
        (depth("5x99 7x99"), LEVELS),
        (depth(asks="5x101 7x100"), LEVELS),
        (depth(asks=" ".join(f"1x{100 + n}" for n in range(DEPTH_LEVELS_MAX))), None),
        (depth(asks=" ".join(f"1x{100 + n}" for n in range(DEPTH_LEVELS_MAX + 1))), LEVELS),
        (depth("5x100.5"), quotes.CROSSED),
        (depth(at=-1), quotes.TIME),
    ],
)
def test_a_book_is_sound_if_every_level_is_and_their_prices_get_worse(book: Depth, reason: str | None) -> None:
    assert unsound_depth(book) == reason


def test_prices_below_zero_are_sound_where_the_instrument_has_them() -> None:
    assert unsound_depth(depth("5x-1 5x-2", "5x0 5x1"), negative_prices=True) is None


def test_a_book_belongs_to_a_quote_that_is_no_newer_and_has_its_touch() -> None:
    quote = Quote(symbol="X", venue="V", bid=D(99), bid_size=D(4), ask=D(100), ask_size=D(4), at=0, seq=7)
    assert [depth(seq=seq).belongs_to(quote, Side.BUY) for seq in (6, 7, 8)] == [False, True, True]
    assert [depth(asks="5x100.5").belongs_to(quote, side) for side in (Side.BUY, Side.SELL)] == [False, True]
    assert not depth(asks="").belongs_to(quote, Side.BUY)


def test_a_venue_shows_each_level_in_the_shape_of_its_touch() -> None:
    base = Quote(symbol="X", venue="M", bid=D(99), bid_size=D("5.5"), ask=D(100), ask_size=D("0.15"), at=3, seq=7)
    book = depth("5.5x99 7x98", "0.15x100 7x101", venue="M")
    shown, touch = shaped_depth(book, "V", TICK, 1, D("0.5")), shaped(base, "V", TICK, 1, D("0.5"), 3)
    assert (shown.venue, shown.bids, shown.asks, shown.seq) == ("V", levels("2.7x98.5 3.5x97.5"), levels("0x100.5 3.5x101.5"), 7)
    assert (shown.bids[0], shown.asks[0]) == ((touch.bid, touch.bid_size), (touch.ask, touch.ask_size))
    assert all(shown.belongs_to(touch, side) for side in Side)


def test_no_bid_is_lower_than_a_price_can_be() -> None:
    assert shaped_depth(depth("1x2 2x1.5 3x1", "1x3"), "V", TICK, 3, D(1)).bids == levels("1x0.5")
