"""Which bar is the close of a day: complete days only, each once; what a person loaded or removed stays."""

from decimal import Decimal

from domain.market.bar_closes import DayBar, HeldClose, bar_closes
from domain.market.price_history import DailyClose

DAY = 20_000


def bar(venue: str, close: str, volume: str = "1", day: int = DAY) -> DayBar:
    return DayBar(day, venue, "BTCUSD", Decimal(close), Decimal(volume))


def complete(*venues: str) -> set[tuple[int, str, str]]:
    return {(DAY, venue, "BTCUSD") for venue in venues}


def test_a_complete_day_gets_the_close_of_its_bar_and_an_incomplete_one_none() -> None:
    bars = [bar("KRAKEN", "95000.5"), bar("KRAKEN", "96000", day=DAY + 1)]
    assert bar_closes(bars, {}, complete("KRAKEN"), ()) == [DailyClose(DAY, "BTCUSD", Decimal("95000.5"), "bars:KRAKEN")]
    assert bar_closes(bars, {}, set(), ()) == []


def test_the_first_named_complete_venue_counts_and_else_the_largest_volume() -> None:
    bars = [bar("COINBASE", "100", "5"), bar("KRAKEN", "101", "9"), bar("ALPACA", "102", "9")]
    everywhere = complete("COINBASE", "KRAKEN", "ALPACA")
    assert [close.source for close in bar_closes(bars, {}, everywhere, ())] == ["bars:ALPACA"]
    assert [close.source for close in bar_closes(bars, {}, everywhere, ("KRAKEN", "COINBASE"))] == ["bars:KRAKEN"]
    assert [close.source for close in bar_closes(bars, {}, complete("COINBASE"), ("KRAKEN", "COINBASE"))] == ["bars:COINBASE"]


def test_a_day_is_written_once_and_again_only_when_a_late_trade_corrects_its_own_venue() -> None:
    held = {(DAY, "BTCUSD"): HeldClose("bars:KRAKEN", Decimal(100))}
    larger = bar("COINBASE", "105", "99")
    assert bar_closes([bar("KRAKEN", "100"), larger], held, complete("KRAKEN", "COINBASE"), ("COINBASE",)) == []
    assert bar_closes([bar("KRAKEN", "100.5"), larger], held, set(), ()) == [DailyClose(DAY, "BTCUSD", Decimal("100.5"), "bars:KRAKEN")]


def test_what_a_person_loaded_or_removed_stays() -> None:
    for held in (HeldClose("closes.csv", Decimal(90)), HeldClose("forgotten", None)):
        assert bar_closes([bar("KRAKEN", "100")], {(DAY, "BTCUSD"): held}, complete("KRAKEN"), ()) == []


def test_a_close_has_the_twelve_places_that_prices_have() -> None:
    (close,) = bar_closes([bar("KRAKEN", "0.0000012345678901234")], {}, complete("KRAKEN"), ())
    assert close.price == Decimal("0.000001234568")
