"""Binance spot: joining the snapshot, the chain of update ids, trades, and everything else that comes. Messages are our own."""

import json

import pytest

from tests.domain.market.venues.folds import Told, numbers, said

SYMBOLS = {"BTCUSDT": "BTC/USDT", "ETHUSDT": "ETH/USDT"}
BTC = "BTC/USDT"


def depth(first: int, last: int, bids: str = "", asks: str = "", *, name: str = "BTCUSDT", at_ms: int = 100) -> str:
    """A difference; levels as `size@price`, separated by spaces."""
    data = {"e": "depthUpdate", "E": at_ms, "s": name, "U": first, "u": last, "b": levels(bids), "a": levels(asks)}
    return json.dumps({"stream": f"{name.lower()}@depth@100ms", "data": data})


def levels(text: str) -> list[list[str]]:
    return [list(reversed(level.split("@"))) for level in text.split()]


def snapshot(last: int, bids: str = "1@10.0 2@9.0", asks: str = "3@11.0 4@12.0", *, name: str = "BTCUSDT") -> str:
    body = {"lastUpdateId": last, "bids": levels(bids), "asks": levels(asks)}
    return f"{name} 200 /api/v3/depth?symbol={name}&limit=1000\n{json.dumps(body)}"


def joined(last: int = 100) -> Told:
    """A valid book at `last`."""
    told = Told("binance_spot", SYMBOLS)
    told.rest(snapshot(last), 90)
    return told


def test_a_book_is_its_snapshot_and_the_kept_differences_after_it() -> None:
    told = Told("binance_spot", SYMBOLS)
    assert told.frame(depth(99, 100, "9@9.5"), 10) == []
    assert told.frame(depth(101, 103, "5@10.0"), 11) == []
    assert told.frame(depth(104, 104, "", "0@11.0", at_ms=111), 12) == []
    assert said(told.rest(snapshot(101), 13)) == ["snapshot 2x1 seq 104 prev 0 checked None", "quote 5@10.0 4@12.0 seq 104"]
    assert told.top(BTC) == (numbers("5@10.0", "2@9.0"), numbers("4@12.0"))
    assert said(told.frame(depth(105, 106, "1@10.5"), 14)) == ["delta 1x0 seq 106 prev 104 checked None", "quote 1@10.5 4@12.0 seq 106"]
    assert told.decoder.dropped == {"old_update": 1}


def test_a_snapshot_before_any_difference_has_no_venue_time_and_is_joined_by_a_difference_that_spans_it() -> None:
    told = joined(100)
    assert said(told.all[1:]) == [
        "snapshot 2x2 seq 100 prev 0 checked None no_venue_time",
        "quote 1@10.0 3@11.0 seq 100 no_venue_time",
    ]
    assert told.frame(depth(95, 100, "7@10.0"), 91) == []  # older than the snapshot: dropped and counted
    assert said(told.frame(depth(98, 102, "7@10.0"), 92)) == ["delta 1x0 seq 102 prev 100 checked None", "quote 7@10.0 3@11.0 seq 102"]
    # from now on the chain is strict
    assert said(told.frame(depth(102, 104, "8@10.0"), 93))[0] == f"fact gap {BTC} (expected 103, got 102)"


def test_a_hole_ends_the_book_before_the_next_record_and_one_resync_brings_it_back() -> None:
    """Hole in sequence: book invalid before the next record leaves; fact; one resync."""
    told = joined(100)
    told.frame(depth(101, 101, "1@10.1"), 91)
    assert said(told.frame(depth(104, 105, "1@10.2"), 92)) == [
        f"fact gap 102-103 {BTC} (expected 102, got 104)",
        f"fact resync {BTC} (expected 102, got 104)",
        f"wish resync {BTC}",
    ]
    assert told.top(BTC) is None
    assert told.frame(depth(106, 106, "1@10.3"), 93) == []
    assert said(told.rest(snapshot(104), 94)) == [
        f"fact repaired {BTC}",
        "snapshot 4x2 seq 106 prev 0 checked None",
        "quote 1@10.3 3@11.0 seq 106",
    ]


def test_a_snapshot_older_than_the_kept_updates_is_fetched_again() -> None:
    """Snapshot older than the kept updates: fetch again, bounded (by `domain.market.wishes`)."""
    told = Told("binance_spot", SYMBOLS)
    told.frame(depth(205, 206), 10)
    assert said(told.rest(snapshot(100), 20)) == [
        f"fact resync {BTC} (snapshot 100 is older than the kept updates from 205)",
        f"wish resync {BTC}",
    ]
    assert said(told.rest(snapshot(101), 30))[1:] == [f"wish resync {BTC}"]
    assert said(told.rest(snapshot(205), 4_100))[0] == "snapshot 2x2 seq 206 prev 0 checked None"


def test_a_refused_snapshot_is_a_fact() -> None:
    """429 or ban: back off as told; fact."""
    told = Told("binance_spot", {"BTCUSDT": BTC})
    assert said(told.rest("BTCUSDT 429 /api/v3/depth\nslow down", 10)) == [f"fact limited {BTC} (429 for /api/v3/depth: slow down)"]
    assert said(told.rest('BTCUSDT 400 /api/v3/depth\n{"code":-1121}', 10_020))[0].startswith(f"fact refused {BTC} (400 for")
    assert told.frame('{"e":"kline"}', 30_020) == []


def test_kept_updates_have_a_bound() -> None:
    told = Told("binance_spot", SYMBOLS)
    bids = " ".join(f"1@{price}.0" for price in range(1, 1001))
    for number in range(1, 31):
        told.frame(depth(number, number, bids), 10)
    assert told.decoder.dropped == {"kept_overflow": 11}
    assert said(told.rest(snapshot(5), 11))[0].endswith("(snapshot 5 is older than the kept updates from 12)")


def test_a_repeated_difference_and_an_unneeded_snapshot_change_nothing() -> None:
    """Duplicate frame: one row."""
    told = joined(100)
    told.frame(depth(101, 102, "5@10.0"), 91)
    assert told.frame(depth(101, 102, "5@10.0"), 92) == []
    assert told.rest(snapshot(90), 93) == []
    assert told.decoder.dropped == {"old_update": 1, "unneeded_snapshot": 1}


def test_an_update_whose_end_is_wrong_does_not_hide_what_follows() -> None:
    """Prev id wrong: book invalid."""
    told = joined(100)
    told.frame(depth(101, 902, "5@10.0"), 91)
    assert said(told.frame(depth(103, 104, "6@10.0"), 92))[0] == f"fact gap {BTC} (expected 903, got 103)"
    assert told.top(BTC) is None
    told.rest(snapshot(103), 93)
    assert told.top(BTC, 1) == (numbers("6@10.0"), numbers("3@11.0"))


def test_a_snapshot_that_stays_ahead_of_the_differences_is_not_believed() -> None:
    told = Told("binance_spot", {"BTCUSDT": BTC})
    told.rest(snapshot(900), 90)
    assert told.frame(depth(101, 102), 10_089) == []
    assert said(told.frame(depth(103, 104), 10_090))[0] == f"fact gap {BTC} (expected 901, got 103)"
    assert told.top(BTC) is None


def test_a_trade_is_given_once_with_the_takers_side() -> None:
    told = joined()
    sold = '{"e":"trade","E":5,"s":"BTCUSDT","t":77,"p":"10.50","q":"0.250","T":1672515782136,"m":true,"M":true,"new":{}}'
    (trade,) = told.frame(sold, 91)
    assert said([trade]) == ["trade sell 0.250@10.50 id 77"]
    assert getattr(trade, "at", 0) == 1_672_515_782_136_000_000
    assert told.frame(sold, 92) == []
    microseconds = sold.replace("1672515782136", "1672515782136789").replace('"t":77', '"t":78').replace("true", "false")
    (trade,) = told.frame(microseconds, 93)
    assert said([trade]) == ["trade buy 0.250@10.50 id 78"]
    assert getattr(trade, "at", 0) == 1_672_515_782_136_789_000


@pytest.mark.parametrize(
    "text",
    [
        '{"u":400900217,"s":"BTCUSDT","b":"25.3","B":"31.2","a":"25.4","A":"40.6"}',
        '{"stream":"btcusdt@bookTicker","data":{"u":400900217,"s":"BTCUSDT","b":"25.3","B":"31.2","a":"25.4","A":"40.6"}}',
        '{"e":"aggTrade","E":1,"s":"BTCUSDT","a":1,"p":"0.001","q":"100","f":1,"l":1,"T":1,"m":true,"M":true}',
        '{"stream":"x","data":{"e":"kline","E":1,"s":"BTCUSDT","k":{}}}',
        '{"e":"24hrTicker","s":"BTCUSDT","p":"1"}',
    ],
)
def test_known_types_that_are_not_used_give_nothing(text: str) -> None:
    assert joined().frame(text, 91) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"result":null,"id":1}', "fact subscribed (request 1)"),
        ('{"error":{"code":2,"msg":"Invalid request"},"id":1}', "fact refused ({'error': {'code': 2, 'msg': 'Invalid request'}, 'id': 1})"),
        ('{"code":3,"msg":"Invalid JSON"}', "fact refused ({'code': 3, 'msg': 'Invalid JSON'})"),
        ('{"e":"surprise","s":"BTCUSDT"}', 'fact rejected_frame (unknown message surprise: {"e":"surprise","s":"BTCUSDT"})'),
        ("[]", "fact rejected_frame (Expected `object`, got `array`: [])"),
    ],
)
def test_what_else_the_venue_says(text: str, expected: str) -> None:
    assert said(joined().frame(text, 91)) == [expected]


def test_a_venue_that_announces_its_end_is_left_in_time() -> None:
    words = said(joined().frame('{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}', 91))
    assert words == ["fact limited (the venue announces that it will close the connection)", "wish reconnect"]


def test_symbols_are_independent() -> None:
    told = joined(100)
    told.rest(snapshot(50, name="ETHUSDT"), 90)
    told.frame(depth(200, 201, name="ETHUSDT"), 91)
    assert told.top("ETH/USDT") is None
    assert told.top(BTC) is not None


def test_a_configured_name_in_small_letters_is_the_same_symbol() -> None:
    told = Told("binance_spot", {"btcusdt": BTC})
    told.rest(snapshot(100).replace("BTCUSDT 200", "btcusdt 200"), 90)
    told.frame(depth(101, 101, "5@10.5"), 91)
    assert told.top(BTC, 1) == (numbers("5@10.5"), numbers("3@11.0"))
