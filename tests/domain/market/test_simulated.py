"""The made-up market stays within its swing, repeats itself by its seed, and takes the shape of each venue."""

from decimal import Decimal
from itertools import islice

from domain.instruments import Instrument
from domain.market.quotes import Quote, unsound
from domain.market.simulated import SimulatedMarket, shaped

BTC = Instrument(
    symbol="BTCUSDT",
    tick=Decimal("0.01"),
    lot=Decimal("0.00001"),
    quantity_max=Decimal(10**6),
    notional_min=Decimal(5),
    currency="USDT",
)


def market(seed: int = 1) -> SimulatedMarket:
    return SimulatedMarket(BTC, Decimal(45000), Decimal("0.05"), Decimal(2), 2, seed)


def test_the_same_seed_makes_the_same_market_and_another_seed_another() -> None:
    first, again, other = (list(islice(market(seed).quotes(), 50)) for seed in (1, 1, 2))
    assert first == again != other


def test_the_first_ask_is_at_or_below_the_start() -> None:
    assert all(next(market(seed).quotes()).ask <= 45000 for seed in range(50))


def test_quotes_stay_within_the_swing_on_tick_and_lot() -> None:
    for quote in islice(market().quotes(), 5_000):
        assert Decimal("44977.49") <= quote.bid < quote.ask <= Decimal("45022.51")
        assert quote.ask - quote.bid == Decimal("0.02")
        assert not any(price % BTC.tick for price in (quote.bid, quote.ask))
        assert not any(size % BTC.lot for size in (quote.bid_size, quote.ask_size))
        assert Decimal(1) <= quote.ask_size <= Decimal(3)


def test_a_limit_at_the_start_is_never_far_from_a_fill() -> None:
    quotes = list(islice(market().quotes(), 5_000))
    for touched in ([q.ask <= 45000 for q in quotes], [q.bid >= 45000 for q in quotes]):
        longest = max(len(run) for run in "".join("x" if hit else "." for hit in touched).split("x"))
        assert longest < 60, "quotes in a row without a touch"


def test_a_venue_widens_the_spread_and_cuts_its_size_to_lots() -> None:
    base = Quote(symbol="BTCUSDT", venue="", bid=Decimal(100), bid_size=Decimal("1.00003"), ask=Decimal(101), ask_size=Decimal(2), at=0)
    quote = shaped(base, "B", BTC, 3, Decimal("0.5"), 7)
    assert (quote.venue, quote.at) == ("B", 7)
    assert (quote.bid, quote.ask) == (Decimal("99.97"), Decimal("101.03"))
    assert (quote.bid_size, quote.ask_size) == (Decimal("0.50001"), Decimal(1))


def test_what_venues_make_of_it_passes_the_rule_for_quotes() -> None:
    for quote in islice(market().quotes(), 2_000):
        for spread, depth in ((0, "1"), (7, "0"), (9_000_000, "0.0001")):
            assert unsound(shaped(quote, "B", BTC, spread, Decimal(depth), 1)) is None


def test_a_bid_never_falls_below_one_tick() -> None:
    base = Quote(symbol="BTCUSDT", venue="", bid=Decimal("0.02"), bid_size=Decimal(1), ask=Decimal("0.03"), ask_size=Decimal(1), at=0)
    assert shaped(base, "B", BTC, 5, Decimal(1), 0).bid == Decimal("0.01")
