"""What the catalogue said at which time: rates count from when they were set, symbols that are gone stay known."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.market import listings
from domain.market.listings import Listings
from domain.order import events as e
from domain.risk import projection
from domain.risk.controls import CatalogueChanged, Controls
from domain.risk.engine import Risk
from domain.risk.limits import Limits
from domain.risk.projection import UnknownInstrument
from domain.risk.snapshot import RiskState
from tests.contracts.facts import filled
from tests.domain.risk.scene import WITHOUT_VAR, instrument

USD, EUR = {"USD": Decimal(1)}, {"USD": Decimal(1), "EUR": Decimal("1.25")}
NONE: Mapping[str, str] = {}


def begin(known: Listings, at: int, currencies: Mapping[str, str], rates: Mapping[str, Decimal], delisted: Mapping[str, str] = NONE) -> int:
    """risk begins with a catalogue; how many events that takes."""
    changes = known.changes(currencies, rates, delisted)
    for change in changes:
        known.apply(at, change)
    return len(changes)


def test_the_same_catalogue_is_recorded_once() -> None:
    known = Listings()
    assert begin(known, 10, {"AAPL": "USD", "SAP": "EUR"}, EUR) == 1
    assert begin(known, 20, {"SAP": "EUR", "AAPL": "USD"}, EUR) == 0
    assert known.rates() == {"AAPL": 1, "SAP": Decimal("1.25")}


def test_a_rate_counts_from_when_it_was_set_and_the_first_for_all_before() -> None:
    known = Listings()
    begin(known, 10, {"SAP": "EUR"}, EUR)
    begin(known, 20, {"SAP": "EUR"}, EUR | {"EUR": Decimal("1.5")})
    assert [known.rate("SAP", at) for at in (0, 10, 19, 20, 99)] == [Decimal(rate) for rate in ("1.25", "1.25", "1.25", "1.5", "1.5")]


def test_a_symbol_that_is_gone_stays_known_and_may_come_back() -> None:
    known = Listings()
    begin(known, 10, {"SAP": "EUR", "AAPL": "USD"}, EUR)
    assert begin(known, 20, {"AAPL": "USD"}, USD) == 1
    assert (known.delisted, known.currency("SAP"), known.rate("SAP", 30)) == ({"SAP"}, "EUR", Decimal("1.25"))
    assert begin(known, 25, {"AAPL": "USD"}, USD) == 0
    begin(known, 30, {"AAPL": "USD", "SAP": "USD"}, USD)
    assert (known.delisted, known.rate("SAP", 29), known.rate("SAP", 30)) == (set(), Decimal("1.25"), Decimal(1))


def test_what_was_gone_before_anything_was_recorded_can_be_listed_as_delisted() -> None:
    known = Listings()
    begin(known, 10, {"AAPL": "USD"}, EUR, {"SAP": "EUR"})
    assert (known.delisted, known.rate("SAP", 0)) == ({"SAP"}, Decimal("1.25"))
    assert begin(known, 20, {"AAPL": "USD"}, EUR, {"SAP": "EUR"}) == 0


def test_a_symbol_that_no_catalogue_had_has_no_rate() -> None:
    assert (Listings().currency("SAP"), Listings().rate("SAP", 0)) == (None, None)


def test_many_symbols_take_several_events_of_a_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "SYMBOLS_MAX", 2)
    known, many = Listings(), {f"S{n}": "USD" for n in range(5)}
    assert begin(known, 10, many, USD) == 4
    assert begin(known, 20, {"S0": "USD"}, USD) == 3
    assert (known.delisted, begin(known, 30, {"S0": "USD"}, USD)) == (set(many) - {"S0"}, 0)


catalogues = st.dictionaries(st.sampled_from("ABCD"), st.sampled_from(["USD", "EUR", "GBP"]))
rates = st.fixed_dictionaries({name: st.integers(1, 3).map(Decimal) for name in ("USD", "EUR", "GBP")})


@given(st.lists(st.tuples(catalogues, rates, catalogues), min_size=1, max_size=6))
def test_after_any_starts_the_last_catalogue_is_in_force_and_none_is_forgotten(
    starts: list[tuple[dict[str, str], dict[str, Decimal], dict[str, str]]],
) -> None:
    known, seen, past = Listings(), set[str](), dict[tuple[str, int], Decimal | None]()
    for number, (currencies, by_currency, gone) in enumerate(starts):
        delisted = {symbol: name for symbol, name in gone.items() if symbol not in currencies}
        begin(known, 10 * number, currencies, by_currency, delisted)
        seen |= currencies.keys() | delisted.keys()
        assert {symbol: known.rates()[symbol] for symbol in currencies} == {s: by_currency[name] for s, name in currencies.items()}
        assert known.rates().keys() == seen
        assert known.delisted == seen - currencies.keys()
        assert not known.changes(currencies, by_currency, delisted)
        assert {place: known.rate(*place) for place in past} == past, "what was in force then is what is said of it now"
        past |= {(symbol, 10 * number): known.rate(symbol, 10 * number) for symbol in seen}


# What risk makes of it


def risk_of(*events: CatalogueChanged, rate: str = "0.9") -> Risk:
    controls = Controls()
    for event in events:
        controls.apply(event)
    return Risk(Limits(enabled=WITHOUT_VAR), {"AAPL": instrument("AAPL")}, {"USD": Decimal(1), "EUR": Decimal(rate)}, controls)


def changed(version: int, at: int, **rest: object) -> CatalogueChanged:
    return CatalogueChanged(version=version, at=at, who="catalogue", reason="a start", **rest)  # type: ignore[arg-type]


def test_a_purchase_costs_what_it_cost_then_and_the_position_is_worth_what_it_is_worth_now() -> None:
    first = changed(2, 10, rates={"USD": Decimal(1), "EUR": Decimal(1)}, listed={"SAP": "EUR", "AAPL": "USD"})
    risk = risk_of(first, changed(3, 20, rates={"EUR": Decimal("0.9")}, delisted=("SAP",)))
    risk.fold.apply(filled("E1", "10", "100", symbol="SAP", fee="1", at=15), 1)
    alice = risk.exposure.look("alice")
    assert alice.cash == risk.limits.buying_power_initial - 1001, "paid at 1"
    assert alice.value == 900, "held at 0.9, though it is delisted"
    risk.fold.apply(filled("E2", "10", "100", symbol="SAP", fee="1", side="sell", at=25), 2)
    assert (alice.equity, alice.value) == (risk.limits.buying_power_initial - 1001 + Decimal("899.1"), Decimal(0))


def test_a_bust_takes_back_what_its_trade_booked_whenever_it_comes_and_over_a_snapshot() -> None:
    listed = changed(2, 10, rates={"USD": Decimal(1), "EUR": Decimal(1)}, listed={"SAP": "EUR", "AAPL": "USD"})
    catalogues = (listed, changed(3, 20, rates={"EUR": Decimal("1.5")}), changed(4, 30, rates={"EUR": Decimal("0.9")}))
    risk = risk_of(*catalogues)
    trades = [filled(f"E{at}", "10", "100", symbol="SAP", fee="1", at=at) for at in (15, 25, 35)]
    for seq, trade in enumerate(trades, 1):
        risk.fold.apply(trade, seq)
    again = risk_of(*catalogues)
    again.fold.restore(msgspec.json.decode(msgspec.json.encode(risk.fold.state()), type=RiskState))
    assert again.fold.state() == risk.fold.state()
    for one in (risk, again):
        for seq, trade in enumerate(trades, 4):
            one.fold.apply(busted(trade, at=99), seq)
        account = one.exposure.look("alice")
        assert (account.cash, account.value) == (one.limits.buying_power_initial, Decimal(0))
        assert one.fold.state().earlier == ()


def test_only_the_newest_trades_at_earlier_rates_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "EARLIER_KEPT_MAX", 1)
    listed = changed(2, 10, rates={"USD": Decimal(1), "EUR": Decimal(1)}, listed={"SAP": "EUR"})
    risk = risk_of(listed, changed(3, 20, rates={"EUR": Decimal("0.9")}))
    for exec_id in ("E1", "E2"):
        risk.fold.apply(filled(exec_id, "10", "100", symbol="SAP", fee="0", at=15), 1)
    assert [exec_id for _, exec_id, _ in risk.fold.state().earlier] == ["E2"]


def busted(trade: e.OrderFilled, at: int) -> e.TradeBusted:
    names = ("order_id", "account", "symbol", "side", "quantity", "price", "fee", "exec_id", "venue", "status")
    return e.TradeBusted(at=at, **{name: getattr(trade, name) for name in names})


def test_a_symbol_that_no_catalogue_had_ends_the_reading_with_a_way_on() -> None:
    with pytest.raises(UnknownInstrument, match=r"list it in instruments\.yaml under delisted"):
        risk_of().fold.apply(filled("E1", symbol="SAP"), 1)


def test_a_state_that_was_counted_at_other_rates_is_not_continued() -> None:
    listed = changed(2, 10, rates={"USD": Decimal(1), "EUR": Decimal(1)}, listed={"SAP": "EUR"})
    before = risk_of(listed, rate="1")
    before.fold.apply(filled("E1", "10", "100", symbol="SAP", at=15), 1)
    risk_of(listed, changed(3, 20, delisted=("SAP",))).fold.restore(before.fold.state())
    with pytest.raises(ValueError, match="SAP"):
        risk_of(listed, changed(3, 20, rates={"EUR": Decimal("0.9")})).fold.restore(before.fold.state())
