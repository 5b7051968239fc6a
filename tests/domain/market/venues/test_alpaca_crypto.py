"""Alpaca's crypto feed: whole books by `r`, updates, trades, and what else comes. Messages are our own."""

import pytest

from tests.domain.market.venues.folds import Told, numbers, said

BTC = "BTC/USD"
TIME = "2026-11-30T10:00:00.796132214Z"


def book(bids: str = "", asks: str = "", *, reset: bool = False, name: str = BTC, time: str = TIME) -> str:
    """A message of one book; levels as `size@price`, separated by spaces."""
    sides = [",".join(f'{{"p":{level.split("@")[1]},"s":{level.split("@")[0]}}}' for level in side.split()) for side in (bids, asks)]
    whole = ',"r":true' if reset else ""
    return f'{{"T":"o","S":"{name}","t":"{time}","b":[{sides[0]}],"a":[{sides[1]}]{whole}}}'


def subscribed() -> Told:
    told = Told("alpaca_crypto", {BTC: BTC})
    told.frame(f"[{book('0.25@27485.3445 1@27466.9', '0.26@27512.92', reset=True)}]", 10)
    return told


def test_a_whole_book_and_its_updates_are_flagged_as_unchecked() -> None:
    told = subscribed()
    assert said(told.all[1:]) == [
        "snapshot 2x1 seq 2 prev 0 checked None unchecked",
        "quote 0.25@27485.3445 0.26@27512.92 seq 2 unchecked",
    ]
    words = said(told.frame(f"[{book('0@27485.3445')},{book('', '1e-07@27500')}]", 11))
    assert words == [
        "delta 1x0 seq 3 prev 2 checked None unchecked",
        "quote 1@27466.9 0.26@27512.92 seq 3 unchecked",
        "delta 0x1 seq 3 prev 3 checked None unchecked",
        "quote 1@27466.9 1E-7@27500 seq 3 unchecked",
    ]
    assert told.top(BTC) == (numbers("1@27466.9"), numbers("0.0000001@27500", "0.26@27512.92"))


def test_a_reset_replaces_the_book() -> None:
    told = subscribed()
    told.frame(f"[{book('1@5', '1@6', reset=True)}]", 11)
    assert told.top(BTC) == (numbers("1@5"), numbers("1@6"))


def test_updates_before_the_whole_book_are_dropped() -> None:
    told = Told("alpaca_crypto", {BTC: BTC})
    assert told.frame(f"[{book('1@5')}]", 10) == []
    assert told.top(BTC) is None
    assert told.decoder.dropped == {"while_invalid": 1}


def test_a_frame_that_cannot_be_read_ends_every_book_because_nothing_else_would_show_the_loss() -> None:
    """Malformed frame: skipped and counted; here no number reveals what it held."""
    told = subscribed()
    assert [word.partition(" (")[0] for word in said(told.frame(f"[{book('1@27490')}", 11))] == [
        "fact rejected_frame",
        f"fact gap {BTC}",
        f"fact resync {BTC}",
        f"wish resync {BTC}",
    ]
    assert said(told.frame(f"[{book('1@5', '1@6', reset=True)}]", 12))[0] == f"fact repaired {BTC}"


def test_a_trade_is_given_once() -> None:
    told = subscribed()
    text = f'[{{"T":"t","S":"{BTC}","p":47.299,"s":29.205707815,"t":"{TIME}","i":3447222699101865076,"tks":"S"}}]'
    assert said(told.frame(text, 11)) == ["trade sell 29.205707815@47.299 id 3447222699101865076"]
    assert told.frame(text, 12) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"T":"success","msg":"authenticated"}]', []),
        ('[{"T":"q","S":"BTC/USD","bp":1.1,"bs":2,"ap":1.2,"as":3,"t":"x"},{"T":"b","S":"BTC/USD","o":1}]', []),
        ('[{"T":"subscription","trades":["BTC/USD"],"orderbooks":["BTC/USD"],"bars":[]}]', ["fact subscribed (1 books, 1 trades)"]),
        ('[{"T":"error","code":402,"msg":"auth failed"}]', ["fact refused (402 auth failed)"]),
        ('[{"T":"error","code":406,"msg":"connection limit exceeded"}]', ["fact limited (406 connection limit exceeded)"]),
        ('[{"T":"s","S":"BTC/USD","sc":"H","sm":"Trading Halt","rc":"T12"}]', ["fact halted BTC/USD (H Trading Halt)"]),
        ('[{"T":"s","S":"BTC/USD","sc":"T","sm":"Resumed"}]', ["fact fresh BTC/USD (T Resumed)"]),
        ('[{"T":"zz"}]', ['fact rejected_frame (unknown message zz: [{"T":"zz"}])']),
    ],
)
def test_what_else_the_venue_says(text: str, expected: list[str]) -> None:
    assert said(subscribed().frame(text, 11)) == expected
