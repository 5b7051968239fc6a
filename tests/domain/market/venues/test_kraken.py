"""Kraken v2: checksums, the depth, trades, acknowledgements, and the state of the trading engine. Messages are our own."""

import zlib
from typing import Final

import pytest

from domain.market.venues.kraken import checksum
from tests.domain.market.venues.folds import Told, numbers, said

BTC = "BTC/USD"
TIME = "2026-11-30T10:00:00.123456Z"
WHOLE: Final = {"bids": "0.10000000@45283.5 1.54582015@45283.4", "asks": "0.00100000@45285.2 0.22436620@45286.4"}


def sum_of(asks: str, bids: str) -> int:
    """The rule, in the plainest words."""
    text = ""
    for level in (*asks.split()[:10], *bids.split()[:10]):
        size, _, price = level.partition("@")
        text += str(int(price.replace(".", ""))) + str(int(size.replace(".", "")))
    return zlib.crc32(text.encode())


def book(kind: str, bids: str = "", asks: str = "", *, proof: int | None = None, name: str = BTC, time: str = TIME) -> str:
    sides = [",".join(f'{{"price":{level.split("@")[1]},"qty":{level.split("@")[0]}}}' for level in side.split()) for side in (bids, asks)]
    proved = "" if proof is None else f',"checksum":{proof}'
    timed = f',"timestamp":"{time}"' if time else ""
    return f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{name}","bids":[{sides[0]}],"asks":[{sides[1]}]{proved}{timed}}}]}}'


def subscribed() -> Told:
    told = Told("kraken", {BTC: BTC})
    told.frame(book("snapshot", **WHOLE, proof=sum_of(WHOLE["asks"], WHOLE["bids"])), 10)
    return told


def test_the_checksum_is_over_digits_without_point_and_leading_zeros() -> None:
    assert checksum([("0.05005", "0.00000500")], [("0.05000", "0.00000500")]) == zlib.crc32(b"50055005000500")
    assert checksum([], []) == 0


def test_a_snapshot_and_its_updates_are_checked() -> None:
    told = subscribed()
    assert said(told.all[1:]) == ["snapshot 2x2 seq 2 prev 0 checked True", "quote 0.10000000@45283.5 0.00100000@45285.2 seq 2"]
    proof = sum_of(WHOLE["asks"], "0.10000000@45283.6 1.54582015@45283.4")
    words = said(told.frame(book("update", "0@45283.5 0.10000000@45283.6", proof=proof), 11))
    assert words == ["delta 2x0 seq 3 prev 2 checked True", "quote 0.10000000@45283.6 0.00100000@45285.2 seq 3"]
    assert told.top(BTC, 1) == (numbers("0.10000000@45283.6"), numbers("0.00100000@45285.2"))


def test_trailing_zeros_and_small_numbers_keep_their_digits() -> None:
    told = Told("kraken", {BTC: BTC})
    bids, asks = "0.10@0.0000001000 7.000@0.0000000900", "1.00@0.0000001100"
    assert said(told.frame(book("snapshot", bids, asks, proof=sum_of(asks, bids)), 10))[0] == "snapshot 2x1 seq 2 prev 0 checked True"


def test_a_wrong_checksum_ends_the_book_and_the_next_snapshot_brings_it_back() -> None:
    """Checksum mismatch: book invalid before the next record leaves; fact; one resync."""
    told = subscribed()
    right = sum_of(WHOLE["asks"], "2.0@45284.0 0.10000000@45283.5 1.54582015@45283.4")
    assert said(told.frame(book("update", "2.0@45284.0", proof=right + 1), 11)) == [
        f"fact checksum_failed {BTC} (sent {right + 1}, found {right})",
        f"fact resync {BTC} (sent {right + 1}, found {right})",
        f"wish resync {BTC}",
    ]
    assert told.top(BTC) is None
    assert told.frame(book("update", "3.0@45284.0", proof=1), 12) == []
    assert told.decoder.dropped == {"while_invalid": 1}
    told.frame(book("snapshot", **WHOLE, proof=sum_of(WHOLE["asks"], WHOLE["bids"])), 13)
    assert said(told.all)[-3:] == [
        f"fact repaired {BTC}",
        "snapshot 2x2 seq 5 prev 0 checked True",
        "quote 0.10000000@45283.5 0.00100000@45285.2 seq 5",
    ]


def test_a_snapshot_with_a_wrong_checksum_is_not_taken() -> None:
    told = Told("kraken", {BTC: BTC})
    words = said(told.frame(book("snapshot", **WHOLE, proof=5), 10))
    assert words[0].startswith(f"fact checksum_failed {BTC} (snapshot: sent 5, found ")
    assert words[1:] == [f"fact resync {BTC} (the checksum of the snapshot does not agree)", f"wish resync {BTC}"]
    assert told.top(BTC) is None


@pytest.mark.parametrize("proof", [None, 0])
def test_a_missing_checksum_and_one_of_zero_prove_nothing(proof: int | None) -> None:
    told = Told("kraken", {BTC: BTC})
    assert said(told.frame(book("snapshot", **WHOLE, proof=proof), 10))[0] == "snapshot 2x2 seq 2 prev 0 checked None unchecked"


def test_levels_beyond_the_depth_are_forgotten_and_the_delta_says_so() -> None:
    told = Told("kraken", {BTC: BTC})
    bids = " ".join(f"1.0@{100 - number}.0" for number in range(10))
    told.frame(book("snapshot", bids, "1.0@200.0", proof=sum_of("1.0@200.0", bids)), 10)
    better = f"1.0@101.0 {bids}"
    (delta, _) = told.frame(book("update", "1.0@101.0", proof=sum_of("1.0@200.0", better)), 11)
    assert said([delta]) == ["delta 2x0 seq 3 prev 2 checked True"]
    assert getattr(delta, "bids", None) == numbers("1.0@101.0", "0@91.0")


def test_an_update_that_changes_nothing_is_dropped() -> None:
    """Duplicate frame: one row."""
    told = subscribed()
    proof = sum_of(WHOLE["asks"], "2.0@45284.0 0.10000000@45283.5 1.54582015@45283.4")
    assert len(told.frame(book("update", "2.0@45284.0", proof=proof), 11)) == 2
    assert told.frame(book("update", "2.0@45284.0", proof=proof), 12) == []
    assert told.decoder.dropped == {"unchanged": 1}


def test_a_snapshot_without_a_time_has_the_time_of_receipt_and_says_so() -> None:
    told = Told("kraken", {BTC: BTC})
    words = said(told.frame(book("snapshot", **WHOLE, proof=sum_of(WHOLE["asks"], WHOLE["bids"]), time=""), 10))
    assert words[0] == "snapshot 2x2 seq 2 prev 0 checked True no_venue_time"


def test_a_trade_is_given_once_and_trades_of_a_snapshot_are_backfilled() -> None:
    told = subscribed()
    text = (
        '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"sell","price":45283.50,"qty":0.10000000,'
        f'"ord_type":"market","trade_id":4711,"timestamp":"{TIME}"}}]}}'
    )
    (trade,) = told.frame(text, 11)
    assert said([trade]) == ["trade sell 0.10000000@45283.50 id 4711"]
    assert getattr(trade, "at", 0) == 1_796_032_800_123_456_000
    assert told.frame(text, 12) == []
    older = text.replace("4711", "4710").replace("update", "snapshot")
    assert said(told.frame(older, 13)) == ["trade sell 0.10000000@45283.50 id 4710 backfilled"]


def test_a_halt_is_a_fact_and_no_reason_to_reconnect() -> None:
    """Halt: no reconnect; `halted`."""
    told = subscribed()
    status = '{"channel":"status","type":"update","data":[{"system":"online","api_version":"v2","connection_id":1,"version":"2.0"}]}'
    assert told.frame(status, 11) == []
    assert said(told.frame(status.replace("online", "cancel_only"), 12)) == ["fact halted (cancel_only)"]
    assert told.top(BTC) is not None
    assert said(told.frame(status, 13)) == ["fact fresh (online)"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"channel":"heartbeat"}', []),
        ('{"method":"pong","req_id":1,"time_in":"x","time_out":"y"}', []),
        ('{"channel":"instrument","type":"update","data":{"pairs":[]}}', []),
        (
            '{"method":"subscribe","result":{"channel":"book","depth":10,"snapshot":true,"symbol":"BTC/USD"},"success":true,"time_in":"x"}',
            ["fact subscribed BTC/USD (book)"],
        ),
        ('{"method":"unsubscribe","result":{"channel":"book","depth":10,"symbol":"BTC/USD"},"success":true}', []),
        (
            '{"error":"Currency pair not supported","method":"subscribe","success":false,"symbol":"BTC/USD"}',
            ["fact refused BTC/USD (subscribe BTC/USD: Currency pair not supported)"],
        ),
        ('{"error":"Exceeded msg rate","method":"subscribe","success":false}', ["fact limited (subscribe : Exceeded msg rate)"]),
        ('{"channel":"surprise","data":[]}', ['fact rejected_frame (unknown message surprise: {"channel":"surprise","data":[]})']),
    ],
)
def test_what_else_the_venue_says(text: str, expected: list[str]) -> None:
    assert said(subscribed().frame(text, 11)) == expected
