"""Absurd prints: kept in raw, refused as record, a fact, never a mark; a true fast market is believed after a few prints."""

from decimal import Decimal

import pytest

from domain.market.collar import Collar, CollarRule
from domain.market.normalization import BookRules, Normalised, VenueFold
from domain.market.venues.feed import Frame, FrameKind, RawFrames
from domain.market.venues.kinds import decoder
from tests.contracts.ticks import quote
from tests.domain.market.plain_venue import START, VENUE, PlainDecoder, S, opening, raw
from tests.domain.market.test_normalization import BEGIN

AROUND = "is beyond the collar of 20 % around"


class Scene:
    """One venue, frame by frame. BTCUSDT has the touch 100 to 101 at first."""

    def __init__(self, rule: CollarRule | None = None) -> None:
        self.fold = VenueFold(VENUE, PlainDecoder, BookRules(), collar=rule or CollarRule())
        self.n = 0
        self.seq = 7
        self.take(*BEGIN)

    def take(self, *texts: str) -> Normalised:
        self.n += len(texts)
        return self.fold.take(raw(self.n - len(texts) + 1, *texts))

    def touch(self, bid: str, ask: str, size: str = "1", ask_size: str = "1") -> Normalised:
        self.seq += 1
        return self.take(f"update btc {self.seq} {bid} {size} {ask} {ask_size}")

    def trade(self, price: str) -> Normalised:
        return self.take(f"trade btc t{self.n} {price} 1 buy {START}")

    def bids(self, out: Normalised) -> list[Decimal]:
        return [quote.bid for quote in out.quotes]


def said(out: Normalised) -> list[tuple[str, str, str]]:
    return [(fact.fact.value, fact.symbol, fact.detail) for fact in out.facts]


@pytest.mark.parametrize("price", ["950000", "121.5", "79", "0.000000000001"])
def test_an_absurd_trade_is_a_fact_and_no_record(price: str) -> None:  # absurd print: price beyond the collar
    scene = Scene()
    out = scene.trade(price)
    assert (out.trades, said(out)) == ([], [("rejected_record", "BTCUSDT", f"trade t3: {price} {AROUND} 100.5")])
    assert (out.facts[0].epoch, out.facts[0].n) == (1, 4), "the fact names the frame, which stays in raw"
    assert [trade.price for trade in scene.trade("101").trades] == [Decimal(101)]


def test_an_absurd_touch_ends_the_quote_and_the_book_stays() -> None:  # absurd print: never a mark
    scene = Scene()
    out = scene.touch("1000", "1001")
    assert (out.quotes, out.held, out.ended, said(out)) == (
        [],
        {"BTCUSDT": None},
        [],
        [("rejected_record", "BTCUSDT", f"touch: 1000.5 {AROUND} 100.5")],
    )
    assert scene.fold.quote("BTCUSDT") is None, "the touch before it is not the venue's any more"
    view = scene.fold.book("BTCUSDT", 5)
    assert view is not None
    assert view.valid
    back = scene.touch("100.5", "101")
    assert (scene.bids(back), back.held, back.facts) == ([Decimal("100.5")], {}, [])
    assert scene.fold.quote("BTCUSDT") is not None


def test_a_true_fast_market_is_believed_with_the_fifth_print_near_one_another() -> None:
    scene = Scene()
    assert [len(scene.trade(price).trades) for price in ("60", "61", "59", "62")] == [0, 0, 0, 0]
    assert [scene.bids(scene.touch(bid, "61")) for bid in ("60", "60.5")] == [[Decimal(60)], [Decimal("60.5")]]
    assert len(scene.trade("60").trades) == 1


def test_a_touch_that_stays_is_confirmed_by_the_updates_behind_it() -> None:
    valid, other = quote("ALPHA", 1, "100", "101"), quote("ALPHA", 2, "60", "61")
    collar = Collar(CollarRule())
    assert (collar.refuses_quote(valid), collar.refuses_quote(other)) == (None, f"60.5 {AROUND} 100.5")
    assert [collar.heard("BTCUSDT") for _ in range(3)] == [None] * 3
    assert (collar.holds("BTCUSDT"), collar.heard("BTCUSDT"), collar.holds("BTCUSDT")) == (True, other, False)
    assert collar.heard("BTCUSDT") is None, "it is given once"


def test_a_held_touch_that_trades_confirm_is_given_with_the_next_update_and_the_one_before_it_never_again() -> None:
    collar = Collar(CollarRule())
    collar.refuses_quote(quote("ALPHA", 1, "100", "101"))
    collar.refuses_quote(other := quote("ALPHA", 2, "60", "61"))
    assert [collar.refuses_trade("BTCUSDT", Decimal(60), quoted=True) is None for _ in range(4)] == [False, False, False, True]
    assert (collar.holds("BTCUSDT"), collar.heard("BTCUSDT"), collar.holds("BTCUSDT")) == (True, other, False)


def test_valid_prints_in_between_and_absurd_ones_far_apart_confirm_nothing() -> None:
    scene = Scene()
    for _ in range(3):
        assert [len(scene.trade(price).trades) for price in ("60", "61", "59", "62", "101")] == [0, 0, 0, 0, 1]
    assert [len(scene.trade(price).trades) for price in ("1", "1000", "1", "1000", "1", "1000", "1")] == [0] * 7


def test_the_reference_follows_the_touch_and_without_a_book_the_trades() -> None:
    scene = Scene()
    for bid in range(101, 160, 5):
        assert scene.touch(str(bid), str(bid + 1)).facts == []
    assert said(scene.trade("100")) == [("rejected_record", "BTCUSDT", f"trade t{scene.n - 1}: 100 {AROUND} 156.5")]
    scene.take(f"update btc {scene.seq + 9} 1 1 2 1")  # a gap: the book is invalid
    assert [len(scene.trade(price).trades) for price in ("140", "120", "100", "85")] == [1, 1, 1, 1]
    assert said(scene.trade("156"))[0][2].endswith("around 85")


def test_one_side_alone_is_absurd_only_where_it_would_be_the_best_of_all_venues() -> None:
    scene = Scene()
    assert scene.touch("100", "500", size="0").facts == []
    assert scene.touch("1", "101", ask_size="0").facts == []
    assert said(scene.touch("100", "2", size="0"))[0][2] == f"touch: 2 {AROUND} 100.5"
    assert said(scene.touch("900", "101", ask_size="0"))[0][2] == f"touch: 900 {AROUND} 100.5"


def test_trades_that_were_fetched_later_are_compared_with_one_another_and_change_nothing_for_the_present() -> None:
    collar = Collar(CollarRule())
    assert collar.refuses_quote(quote("ALPHA", 1, "100", "101")) is None
    past = [collar.refuses_trade("BTCUSDT", Decimal(price), quoted=True, past=True) for price in ("50", "51", "5000", "52")]
    assert past == [None, None, f"5000 {AROUND} 51", None]
    assert collar.refuses_trade("BTCUSDT", Decimal(51), quoted=True) == f"51 {AROUND} 100.5"
    assert collar.refuses_quote(quote("ALPHA", 2, "101", "102")) is None


def test_the_trades_of_a_backfill_are_not_compared_with_those_of_the_one_before() -> None:
    fold, n = VenueFold(VENUE, decoder, BookRules()), 0
    given = []

    def take(kind: FrameKind, text: str) -> Normalised:
        nonlocal n
        n += 1
        return fold.take(RawFrames(venue=VENUE, epoch=1, n=n, frames=[Frame(START, kind, text)]))

    take(FrameKind.OPEN, opening("kraken", {"BTC/USD": "BTCUSD"}))
    for day, prices in ((1, ("50", "500", "51")), (90, ("100", "101"))):
        begin = START + day * 24 * 3600 * S
        rows = ",".join(f'["{price}","1",{begin // S + place}.5,"b","m","",{day + place}]' for place, price in enumerate(prices))
        page = f"BTC/USD 200 /0/public/Trades?pair=BTC%2FUSD&since=1&count=1000 backfill {begin} {begin + 60 * S} 1\n"
        out = take(FrameKind.REST, page + f'{{"error":[],"result":{{"BTC/USD":[{rows}],"last":"2"}}}}')
        given.append([str(trade.price) for trade in out.trades])
    assert given == [["50", "51"], ["100", "101"]]


def test_the_first_touch_of_a_symbol_is_valid_whatever_trades_came_before_it() -> None:
    fold = VenueFold(VENUE, PlainDecoder, BookRules())
    out = fold.take(raw(1, "open", f"trade btc t1 10 1 buy {START}", "snapshot btc 7 100 1 101 1"))
    assert ([quote.bid for quote in out.quotes], len(out.trades), len(out.facts)) == ([Decimal(100)], 1, 1)


def test_a_new_connection_does_not_bring_an_absurd_touch_back() -> None:
    scene = Scene()
    scene.touch("1000", "1001")
    scene.take("close")
    out = scene.fold.take(raw(1, "open", "snapshot btc 7 1000 1 1001 1", "snapshot btc 8 100 1 101 1", epoch=2))
    assert ([quote.bid for quote in out.quotes], [fact.fact.value for fact in out.facts]) == (
        [Decimal(100)],
        ["connected", "rejected_record"],
    )


def test_with_a_confirmation_of_one_nothing_is_refused() -> None:
    scene = Scene(CollarRule(confirm=1))
    assert (len(scene.trade("950000").trades), scene.touch("1", "2").facts) == (1, [])
