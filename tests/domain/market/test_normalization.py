"""The fold of a venue: no invalid book is shown as valid, each hole is a fact that names it, and equal frames give equal records."""

from decimal import Decimal

import pytest

from adapters.codec import encode
from domain.market.normalization import BookRules, Normalised, VenueFold
from domain.market.records import BookKind, FactKind, Flag
from domain.market.venues.feed import Frame, FrameKind, Opening, RawFrames, WishKind
from tests.domain.market.plain_venue import START, SYMBOLS, VENUE, PlainDecoder, S, opening, raw

BEGIN = ("open", "snapshot btc 7 100 1 101 1", "snapshot eth 3 10 1 11 1")


def fold(rules: BookRules | None = None, since_epoch: int = 0) -> VenueFold:
    return VenueFold(VENUE, PlainDecoder, rules or BookRules(), since_epoch)


def begun(rules: BookRules | None = None) -> VenueFold:
    found = fold(rules)
    found.take(raw(1, *BEGIN))
    return found


def facts(out: Normalised) -> list[tuple[str, str, int, int]]:
    return [(fact.fact.value, fact.symbol, fact.from_, fact.to) for fact in out.facts]


def is_valid(of: VenueFold, symbol: str) -> bool:
    view = of.book(symbol, 5)
    return view is not None and view.valid


def test_frames_become_records_with_the_number_of_their_last_frame() -> None:
    out = fold().take(raw(1, *BEGIN, f"trade btc t1 100.5 0.2 buy {START}", "beat"))
    assert (out.epoch, out.n, out.frames) == (1, 5, 5)
    assert [(quote.symbol, quote.bid, quote.ask) for quote in out.quotes] == [
        ("BTCUSDT", Decimal(100), Decimal(101)),
        ("ETHUSDT", Decimal(10), Decimal(11)),
    ]
    assert [(trade.trade_id, trade.price) for trade in out.trades] == [("t1", Decimal("100.5"))]
    assert [(book.symbol, book.kind.value, book.seq) for book in out.books] == [("BTCUSDT", "snapshot", 7), ("ETHUSDT", "snapshot", 3)]
    assert facts(out) == [("connected", "", 0, 0)]
    assert (out.whole, out.ended, out.opened) == (["BTCUSDT", "ETHUSDT"], [], ("BTCUSDT", "ETHUSDT"))


def test_a_hole_in_the_frames_makes_every_book_of_the_connection_invalid_and_the_fact_names_it() -> None:  # hole in sequence
    venue = begun()
    out = venue.take(raw(6, "update btc 8 100 2 101 1"))
    assert facts(out)[0] == ("gap", "", 4, 5)
    assert sorted(out.ended) == ["BTCUSDT", "ETHUSDT"]
    assert (out.quotes, out.books) == ([], [])
    assert [(wish.kind, wish.symbol) for wish in out.wishes] == [(WishKind.RESYNC, "BTCUSDT"), (WishKind.RESYNC, "ETHUSDT")]
    assert not is_valid(venue, "BTCUSDT")
    back = venue.take(raw(7, "snapshot btc 20 102 1 103 1"))
    assert (back.whole, [quote.bid for quote in back.quotes]) == (["BTCUSDT"], [Decimal(102)])
    assert (is_valid(venue, "BTCUSDT"), is_valid(venue, "ETHUSDT")) == (True, False)


def test_a_gap_of_the_venue_ends_one_symbol_and_leaves_the_others() -> None:  # hole in sequence, prev id wrong
    venue = begun()
    out = venue.take(raw(4, "update btc 9 100 2 101 1", "update eth 4 10 2 11 1"))
    assert facts(out) == [("gap", "BTCUSDT", 8, 8), ("resync", "BTCUSDT", 0, 0)]
    assert out.ended == ["BTCUSDT"]
    assert [quote.symbol for quote in out.quotes] == ["ETHUSDT"]


def test_frames_that_come_again_change_nothing() -> None:  # duplicate frame
    venue = begun()
    again = venue.take(raw(1, *BEGIN))
    assert (again.frames, again.facts, again.quotes, again.books, again.trades) == (0, [], [], [], [])
    overlapping = venue.take(raw(3, BEGIN[2], "update btc 8 100 2 101 1"))
    assert (overlapping.frames, overlapping.n, [quote.seq for quote in overlapping.quotes]) == (1, 4, [8])
    assert venue.late_frames == 4


def test_an_epoch_without_its_open_frame_is_a_fact_and_wishes_a_new_connection_once() -> None:
    venue = fold()
    out = venue.take(raw(5, "snapshot btc 7 100 1 101 1", "beat"))
    assert facts(out) == [("gap", "", 1, 4), ("rejected_frame", "", 0, 0)]
    assert [wish.kind for wish in out.wishes] == [WishKind.RECONNECT]
    assert (out.quotes, venue.take(raw(7, "beat")).wishes) == ([], [])
    assert venue.take(raw(1, *BEGIN, epoch=2)).whole == ["BTCUSDT", "ETHUSDT"]


@pytest.mark.parametrize("text", ["rubbish", "{}", opening("no_such_kind")])
def test_an_opening_that_cannot_be_used_is_a_rejected_frame(text: str) -> None:  # malformed frame
    out = fold().take(RawFrames(venue=VENUE, epoch=1, n=1, frames=[Frame(START, FrameKind.OPEN, text)]))
    assert [fact.fact for fact in out.facts] == [FactKind.REJECTED_FRAME]


def test_a_closed_connection_ends_all_its_symbols() -> None:
    venue = begun()
    out = venue.take(raw(4, "close"))
    assert (sorted(out.ended), [fact.fact for fact in out.facts]) == (["BTCUSDT", "ETHUSDT"], [FactKind.DISCONNECTED])
    view = venue.book("BTCUSDT", 5)
    assert view is not None
    assert (view.valid, view.bids, view.seq) == (False, (), 7)
    assert venue.book("NOPE", 5) is None


def test_a_new_connection_takes_over_symbol_by_symbol_and_nothing_ends_in_between() -> None:
    venue = begun()
    venue.take(raw(1, "open", epoch=2))
    assert [quote.seq for quote in venue.take(raw(4, "update btc 8 100 2 101 1")).quotes] == [8], "the old one still quotes"
    out = venue.take(raw(2, "snapshot btc 50 100 3 101 1", epoch=2))
    assert ([quote.seq for quote in out.quotes], out.ended) == ([50], [])
    late = venue.take(raw(5, "update btc 9 99 1 101 1", f"trade eth t9 10 1 sell {START}", "update eth 4 10 2 11 1"))
    assert [(quote.symbol, quote.seq) for quote in late.quotes] == [("ETHUSDT", 4)], "the old one has lost BTCUSDT only"
    assert len(late.trades) == 1
    assert venue.take(raw(8, "close")).ended == ["ETHUSDT"]
    assert is_valid(venue, "BTCUSDT")


def test_frames_of_a_connection_that_was_replaced_are_ignored() -> None:
    venue = begun()
    venue.take(raw(4, "close"))
    venue.take(raw(1, *BEGIN, epoch=2))
    assert venue.take(raw(5, "snapshot btc 99 1 1 2 1")).quotes == []
    assert venue.late_frames == 1


def test_frames_of_a_closed_connection_that_come_again_change_nothing() -> None:  # duplicate frame
    venue = begun()
    venue.take(raw(4, f"trade btc t1 100 1 buy {START}", "close"))
    for again in (raw(1, *BEGIN, f"trade btc t1 100 1 buy {START}", "close"), raw(4, f"trade btc t1 100 1 buy {START}", "close")):
        out = venue.take(again)
        assert (out.frames, out.facts, out.trades, out.wishes) == (0, [], [], [])
    assert venue.take(raw(1, *BEGIN, epoch=2)).whole == ["BTCUSDT", "ETHUSDT"]


def test_what_decoders_dropped_is_counted_beyond_the_end_of_their_connections() -> None:
    found = PlainDecoder(VENUE, Opening(kind="plain", url="", symbols=SYMBOLS), 1)
    venue = VenueFold(VENUE, lambda *_: found, BookRules())
    for epoch in (1, 2):
        venue.take(raw(1, *BEGIN, epoch=epoch))
        found.dropped["old_update"] = epoch
        assert venue.dropped == {"old_update": 1 if epoch == 1 else 3}
        venue.take(raw(4, "close", epoch=epoch))
    assert venue.dropped == {"old_update": 3}


def test_connections_are_bounded_and_the_oldest_one_ends() -> None:
    venue = begun()
    venue.take(raw(1, "open", epoch=2))
    out = venue.take(raw(1, "open", epoch=3))
    assert sorted(out.ended) == ["BTCUSDT", "ETHUSDT"]


def test_equal_frames_give_equal_bytes_however_they_are_cut() -> None:
    texts = (*BEGIN, "update btc 8 100 2 101 1", "update btc 10 1 1 2 1", "snapshot btc 11 100 1 101 1", "rubbish", "close")
    whole, parts = fold().take(raw(1, *texts)), []
    cut = fold()
    for number, text in enumerate(texts):
        parts.append(cut.take(raw(number + 1, text, at=START + number * 1_000_000)))
    for kind in ("quotes", "trades", "books", "facts"):
        assert encode(getattr(whole, kind)) == encode([record for part in parts for record in getattr(part, kind)])


def test_books_are_published_whole_now_and_then_and_by_bounded_deltas_in_between() -> None:
    venue = begun(BookRules(levels=25, every=S, delta_levels=4))
    books = []
    for number in range(5):
        books += venue.take(raw(4 + number, f"update btc {8 + number} 100 {number + 1} 101 1", at=START + (number + 1) * S // 10)).books
    assert [book.kind for book in books] == [BookKind.DELTA, BookKind.DELTA], "four levels until the next snapshot"
    (book,) = venue.take(raw(9, "update btc 13 100 9 101 1", at=START + 2 * S)).books
    assert (book.kind, book.seq, book.bids, book.prev) == (BookKind.SNAPSHOT, 13, [(Decimal(100), Decimal(9))], 0)


def test_after_our_clock_was_set_back_books_are_published_whole_again_at_once() -> None:  # our clock steps
    venue = begun(BookRules(levels=25, every=S, delta_levels=4))
    (book,) = venue.take(raw(4, "update btc 8 100 2 101 1", at=START - 3600 * S)).books
    assert (book.kind, book.seq) == (BookKind.SNAPSHOT, 8)


def test_a_snapshot_says_whether_it_differs_from_what_was_known() -> None:
    venue = begun()
    assert venue.take(raw(4, "snapshot btc 9 100 1 101 1")).snapshots == {"BTCUSDT": False}
    out = venue.take(raw(5, "snapshot btc 12 100 1 102 1", "update eth 4 10 2 11 1"))
    assert (out.snapshots, list(out.heard)) == ({"BTCUSDT": True}, ["ETHUSDT"])
    assert venue.take(raw(7, f"trade btc t1 100 1 buy {START}")).heard == {}, "a trade proves nothing about the book"


def test_replayed_frames_give_flagged_records() -> None:  # replay pointed at a live core
    venue = fold()
    out = venue.take(raw(1, *BEGIN, f"trade btc t1 100 1 buy {START}", replayed=True))
    assert all(Flag.REPLAYED in record.flags for records in (out.quotes, out.trades, out.books) for record in records)
    assert venue.quote("BTCUSDT") == out.quotes[0]
    venue.take(raw(5, "close", replayed=True))
    assert venue.quote("BTCUSDT") is None


def test_a_connection_continues_behind_a_frame_with_invalid_books() -> None:
    venue = fold()
    at_once = venue.begin_at(Frame(START, FrameKind.OPEN, opening()), 4, 1000)
    assert (at_once.opened, at_once.facts, [wish.symbol for wish in at_once.wishes]) == (("BTCUSDT", "ETHUSDT"), [], ["BTCUSDT", "ETHUSDT"])
    out = venue.take(raw(1001, "update btc 8 1 1 2 1", f"trade btc t1 100 1 buy {START}", "snapshot btc 9 100 1 101 1", epoch=4))
    assert (out.facts, [trade.trade_id for trade in out.trades], out.whole) == ([], ["t1"], ["BTCUSDT"])


def test_a_connection_whose_open_frame_is_gone_cannot_be_continued() -> None:
    venue = fold()
    venue.begin_at(None, 4, 1000)
    out = venue.take(raw(1001, "snapshot btc 9 100 1 101 1", epoch=4))
    assert (facts(out), [wish.kind for wish in out.wishes]) == ([("rejected_frame", "", 0, 0)], [WishKind.RECONNECT])


def test_a_silent_symbol_ends_with_its_fact_and_comes_back_with_a_snapshot() -> None:  # open but mute
    venue = begun()
    out = venue.silence("BTCUSDT", START + S)
    assert (out.n, out.ended, facts(out), [wish.symbol for wish in out.wishes]) == (
        0,
        ["BTCUSDT"],
        [("stale", "BTCUSDT", 0, 0)],
        ["BTCUSDT"],
    )
    back = venue.take(raw(4, "snapshot btc 9 100 1 101 1", at=START + 2 * S))
    assert (back.whole, back.snapshots) == (["BTCUSDT"], {"BTCUSDT": False})
    assert venue.silence("NOPE", START).ended == []


def test_after_a_failure_of_ours_all_ends_and_the_next_connection_begins_again() -> None:
    venue = begun()
    out = venue.drop("a bug", START)
    assert (sorted(out.ended), [wish.kind for wish in out.wishes]) == (["BTCUSDT", "ETHUSDT"], [WishKind.RECONNECT])
    assert venue.take(raw(4, "update btc 8 100 2 101 1")).quotes == []
    assert venue.take(raw(1, *BEGIN, epoch=2)).whole == ["BTCUSDT", "ETHUSDT"]


def test_connections_before_the_start_are_not_read() -> None:
    venue = fold(since_epoch=2)
    assert venue.take(raw(1, *BEGIN)).frames == 0
    assert venue.take(raw(1, *BEGIN, epoch=2)).frames == 3
