"""Coinbase Advanced Trade: one sequence for all messages, books, trades, and what else comes. Messages are our own."""

import json

import pytest

from tests.domain.market.venues.folds import Told, numbers, said

SYMBOLS = {"BTC-USD": "BTC/USD", "ETH-USD": "ETH/USD"}
BTC, ETH = "BTC/USD", "ETH/USD"
TIME = "2026-11-30T10:00:00.714964855Z"


def message(sequence: int | None, channel: str, events: list[object], *, time: str = TIME) -> str:
    return json.dumps({"channel": channel, "client_id": "", "timestamp": time, "sequence_num": sequence, "events": events})


def book(sequence: int, kind: str, *levels: str, name: str = "BTC-USD", time: str = TIME) -> str:
    """Levels as `bid size@price` or `offer size@price`."""
    updates = []
    for level in levels:
        side, _, rest = level.partition(" ")
        size, _, price = rest.partition("@")
        updates.append({"side": side, "event_time": "1970-01-01T00:00:00Z", "price_level": price, "new_quantity": size})
    return message(sequence, "l2_data", [{"type": kind, "product_id": name, "updates": updates}], time=time)


def trades(sequence: int, *ids: str, kind: str = "update") -> str:
    group = [
        {"trade_id": each, "product_id": "BTC-USD", "price": "21921.73", "size": "0.06", "side": "BUY", "time": "2026-11-30T10:00:00.5Z"}
        for each in ids
    ]
    return message(sequence, "market_trades", [{"type": kind, "trades": group}])


def subscribed() -> Told:
    told = Told("coinbase", SYMBOLS)
    told.frame(book(0, "snapshot", "bid 1.0@100.00", "bid 2.0@99.00", "offer 3.0@101.00"), 10)
    told.frame(book(1, "snapshot", "bid 1.0@10.00", "offer 3.0@11.00", name="ETH-USD"), 11)
    return told


def test_books_follow_the_sequence_of_the_connection() -> None:
    told = subscribed()
    assert said(told.all[1:3]) == ["snapshot 2x1 seq 0 prev 0 checked None", "quote 1.0@100.00 3.0@101.00 seq 0"]
    assert told.frame(message(2, "heartbeats", [{"heartbeat_counter": 3}]), 12) == []
    (delta, quote) = told.frame(book(3, "update", "offer 0@101.00", "offer 4.0@102.50"), 13)
    assert said([delta, quote]) == ["delta 0x2 seq 3 prev 0 checked None", "quote 1.0@100.00 4.0@102.50 seq 3"]
    assert getattr(delta, "at", 0) == 1_796_032_800_714_964_855
    assert told.top(BTC) == (numbers("1.0@100.00", "2.0@99.00"), numbers("4.0@102.50"))


def test_a_hole_ends_every_book_of_the_connection() -> None:
    """Hole in sequence: book invalid before the next record leaves; fact; one resync."""
    told = subscribed()
    assert said(told.frame(book(4, "update", "bid 9.0@100.50"), 12)) == [
        f"fact gap 2-3 {BTC}",
        f"fact resync {BTC} (gap)",
        f"wish resync {BTC}",
        f"fact gap 2-3 {ETH}",
        f"fact resync {ETH} (gap)",
        f"wish resync {ETH}",
    ]
    assert told.top(BTC) is None
    assert told.top(ETH) is None
    assert told.frame(book(5, "update", "bid 9.0@100.50"), 13) == []
    words = said(told.frame(book(6, "snapshot", "bid 9.0@100.50", "offer 3.0@101.00"), 14))
    assert words == [f"fact repaired {BTC}", "snapshot 1x1 seq 6 prev 0 checked None", "quote 9.0@100.50 3.0@101.00 seq 6"]
    assert told.top(ETH) is None


def test_a_trade_after_a_hole_is_given_and_the_books_end_first() -> None:
    told = subscribed()
    words = said(told.frame(trades(7, "1"), 12))
    assert [word.split()[0] for word in words] == ["fact", "fact", "wish", "fact", "fact", "wish", "trade"]


def test_a_frame_that_comes_again_or_late_changes_nothing() -> None:
    """Duplicate frame: one row. Out of order: books by sequence."""
    told = subscribed()
    told.frame(book(2, "update", "bid 5.0@100.00"), 12)
    told.frame(book(3, "update", "bid 6.0@100.00"), 13)
    assert told.frame(book(2, "update", "bid 5.0@100.00"), 14) == []
    assert told.frame(book(3, "update", "bid 6.0@100.00"), 15) == []
    assert told.top(BTC, 1) == (numbers("6.0@100.00"), numbers("3.0@101.00"))
    assert told.decoder.dropped == {"duplicate_frame": 2}


def test_a_sequence_that_starts_again_at_zero_is_a_hole() -> None:
    told = subscribed()
    assert said(told.frame(message(0, "heartbeats", []), 12))[0] == f"fact gap {BTC} (expected 2, got 0)"
    assert told.top(BTC) is None


def test_a_wrong_jump_of_the_sequence_does_not_hide_what_follows() -> None:
    told = subscribed()
    told.frame(message(900, "heartbeats", []), 12)
    assert told.frame(message(3, "heartbeats", []), 13) == []
    assert said(told.frame(book(4, "snapshot", "bid 9.0@100.50", "offer 3.0@101.00"), 14))[0] == f"fact repaired {BTC}"


def test_trades_have_the_takers_side_and_those_of_a_snapshot_are_backfilled() -> None:
    told = subscribed()
    assert said(told.frame(trades(2, "11", "12"), 12)) == ["trade sell 0.06@21921.73 id 11", "trade sell 0.06@21921.73 id 12"]
    assert said(told.frame(trades(3, "12", "10", kind="snapshot"), 13)) == ["trade sell 0.06@21921.73 id 10 backfilled"]
    assert told.decoder.dropped == {"duplicate_trade": 1}


def test_a_malformed_book_message_is_skipped_and_the_next_message_shows_the_hole() -> None:
    """Malformed frame: skipped and counted."""
    told = subscribed()
    assert said(told.frame(book(2, "update", "bid 5.0@100.00")[:-30], 12))[0].startswith("fact rejected_frame (Input data was truncated")
    assert told.top(BTC, 1) == (numbers("1.0@100.00"), numbers("3.0@101.00"))
    assert said(told.frame(message(3, "heartbeats", []), 13))[0] == f"fact gap 2-2 {BTC}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"type":"error","message":"authentication failure"}', ["fact refused (authentication failure)"]),
        ('{"type":"error","message":"rate limit exceeded"}', ["fact limited (rate limit exceeded)"]),
        (message(2, "ticker", [{"type": "update"}]), []),
        (message(2, "subscriptions", [{"subscriptions": {}}]), ['fact subscribed ([{"subscriptions": {}}])']),
    ],
)
def test_what_else_the_venue_says(text: str, expected: list[str]) -> None:
    assert said(subscribed().frame(text, 12)) == expected


def test_an_unknown_channel_is_a_rejected_frame_whose_number_counts() -> None:
    told = subscribed()
    assert said(told.frame(message(2, "surprise", []), 12))[0].startswith("fact rejected_frame (unknown message surprise: ")
    assert told.frame(message(3, "heartbeats", []), 13) == []
    assert said(told.frame(message(None, "l2_data", []), 14))[0].startswith("fact rejected_frame (unknown message l2_data, without a seq")
