"""Instruments and venues: what ships is tradable with the recorded data, and nonsense is refused."""

import csv
from decimal import Decimal
from pathlib import Path

import pytest

from config.catalogue import load_instruments, load_venues
from config.text import ConfigError
from domain.instruments import terms_denial
from domain.values import OrderType, is_multiple

DATA = Path(__file__).parents[1] / "data"
RECORDED = ("quotes_crypto_2018-04-04.csv", "quotes_equity_2013-10-04.csv", "daily_closes.csv")
PRICES = {"bid", "ask", "close"}


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_price_is_on_the_tick_of_a_known_instrument(name: str) -> None:
    instruments = load_instruments().instruments
    with (DATA / name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 1000
    off = [row for row in rows for key in PRICES & row.keys() if not is_multiple(Decimal(row[key]), instruments[row["symbol"]].tick)]
    assert off == []


def test_the_users_orders_are_well_formed() -> None:
    bitcoin = load_instruments().instruments["BTCUSDT"]
    for quantity in ("0.001", "0.1"):
        assert terms_denial(bitcoin, OrderType.LIMIT, Decimal(quantity), Decimal(45000), None) is None


def test_the_simulated_market_starts_where_the_user_trades() -> None:
    venues = load_venues(load_instruments().instruments)
    assert venues.simulated["BTCUSDT"].start == 45000
    assert set(venues.simulated) == {"BTCUSDT", "ETHUSDT", "SOLUSDT"}


def test_the_two_venues_differ_in_spread_fee_depth_and_latency() -> None:
    venues = load_venues(load_instruments().instruments).venues
    a, b = venues["PAPER_A"], venues["PAPER_B"]
    assert (a.taker_bps, a.maker_bps, b.taker_bps, b.maker_bps) == (Decimal(10), Decimal(2), Decimal("7.5"), Decimal(1))
    assert a.spread_ticks < b.spread_ticks
    assert a.depth_scale < b.depth_scale
    assert a.latency_ms < b.latency_ms
    assert "BTCUSDT" in a.symbols


VENUE = "fees: {maker_bps: 1, taker_bps: 1}"
GROUP = "{symbols: [X], tick: 0.01, lot: 1, quantity_max: 10, notional_min: 1, currency: USD}"


def test_another_file_may_say_what_is_traded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text(f"currencies: {{USD: 1}}\ngroups: [{GROUP}]")
    monkeypatch.setenv("TRADE_INSTRUMENTS", str(tmp_path / "mine.yaml"))
    assert set(load_instruments().instruments) == {"X"}


def test_a_price_may_be_negative_only_where_it_is_said(tmp_path: Path) -> None:
    signed = GROUP.replace("[X]", "[Y]").replace("lot: 1", "lot: 1, negative_prices: true")
    (tmp_path / "instruments.yaml").write_text(f"currencies: {{USD: 1}}\ngroups: [{GROUP}, {signed}]")
    instruments = load_instruments(tmp_path / "instruments.yaml").instruments
    assert {symbol: one.negative_prices for symbol, one in instruments.items()} == {"X": False, "Y": True}
    quoted = "simulated_quotes: {Y: {start: -37.63, swing_pct: 1, size: 1}}"
    (tmp_path / "venues.yaml").write_text(f"venues: {{A: {{{VENUE}}}}}\n{quoted}")
    assert load_venues(instruments, tmp_path / "venues.yaml").simulated["Y"].start == Decimal("-37.63")


def test_the_shipped_instruments_are_pairs_of_crypto_and_us_equities() -> None:
    instruments = load_instruments().instruments
    assert [(one.pair, one.exchange) for symbol, one in instruments.items() if symbol in ("BTCUSDT", "LTCUSD", "AAPL", "SPY")] == [
        ("BTC/USDT", "CRYPTO"),
        ("LTC/USD", "CRYPTO"),
        ("AAPL", "NASDAQ"),
        ("SPY", "ARCA"),
    ]
    assert (instruments["AAPL"].name, instruments["BTCUSDT"].name) == ("Apple Inc.", "BTC/USDT")


INSTRUMENTS_REFUSED = [
    (f"currencies: {{EUR: 1}}\ngroups: [{GROUP}]", "groups: X is in USD, which has no rate under currencies"),
    (f"currencies: {{USD: 1}}\ngroups: [{GROUP}, {GROUP}]", "groups: X is listed twice"),
    (f"currencies: {{USD: 1}}\ngroups: [{GROUP.replace('lot: 1', 'lot: 3')}]", "quantity_max of X is not on its lot 3"),
    (f"currencies: {{USD: 1}}\ngroups: [{GROUP.replace('[X]', '[X.]')}]", "groups.0.symbols.0: may have letters"),
    (f"currencies: {{USD: 1}}\ngroups: [{GROUP.replace('tick: 0.01', 'tick: 0')}]", "groups.0.tick: must be greater than 0, found 0"),
    (f"currencies: {{USD: 0}}\ngroups: [{GROUP}]", "currencies.USD: must be greater than 0, found 0"),
    (f"currencies: {{USD: 1}}\ngroups: [{GROUP.replace('lot: 1, ', '')}]", "groups.0.lot: is missing"),
    (f"currencies: {{USD: 1}}\ngroups: [{GROUP.replace('lot: 1', 'lot: 1, negative_prices: 1')}]", "groups.0.negative_prices: "),
    (
        f"currencies: {{USD: 1}}\ngroups: [{GROUP.replace('lot: 1', 'lot: 1, class: bond')}]",
        "groups.0.class: must be 'crypto' or 'us_equity'",
    ),
    (f"currencies: {{USD: 1}}\ngroups: [{GROUP.replace('lot: 1', 'lot: 1, exchange: LSE')}]", "groups.0.exchange: must be 'AMEX'"),
    (f"currencies: {{USD: 1}}\ngroups: [{GROUP.replace('lot: 1', 'lot: 1, names: {Y: Why}')}]", "names: Y is not among the symbols"),
]


@pytest.mark.parametrize(("text", "reason"), INSTRUMENTS_REFUSED, ids=[reason for _, reason in INSTRUMENTS_REFUSED])
def test_impossible_instruments_are_refused(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "instruments.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"instruments\.yaml: ") as refused:
        load_instruments(path)
    assert reason in str(refused.value)


VENUES_REFUSED = [
    (f"venues: {{A: {{{VENUE}, symbols: [NOPE]}}}}", "venues.A.symbols: NOPE is not an instrument"),
    (
        f"venues: {{A: {{{VENUE}}}}}\nsimulated_quotes: {{NOPE: {{start: 1, swing_pct: 1, size: 1}}}}",
        "simulated_quotes: NOPE is not an instrument",
    ),
    (
        f"venues: {{A: {{{VENUE}}}}}\nsimulated_quotes: {{SPY: {{start: 1.001, swing_pct: 1, size: 1}}}}",
        "simulated_quotes.SPY.start: is not on the tick",
    ),
    (
        f"venues: {{A: {{{VENUE}}}}}\nsimulated_quotes: {{SPY: {{start: -1, swing_pct: 1, size: 1}}}}",
        "simulated_quotes.SPY.start: must be greater than 0, found -1",
    ),
    (f"venues: {{paper a: {{{VENUE}}}}}", "venues.paper a"),
    ("venues: {}", "venues: "),
    ("venues: {A: {fees: {maker_bps: 1}}}", "venues.A.fees.taker_bps: is missing"),
]


@pytest.mark.parametrize(("text", "reason"), VENUES_REFUSED, ids=[reason for _, reason in VENUES_REFUSED])
def test_impossible_venues_are_refused(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "venues.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"venues\.yaml: ") as refused:
        load_venues(load_instruments().instruments, path)
    assert reason in str(refused.value)
