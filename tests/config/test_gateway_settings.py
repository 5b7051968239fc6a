"""gateway's configuration: venues, and what a kind of venue calls our symbols."""

from pathlib import Path

import pytest

from apps.gateway.link import Credentials
from apps.gateway.wiring import credentials_of, dial_of, listing_of
from config.catalogue import load_instruments
from config.loading import load_market_gateway
from config.text import ConfigError

NOWHERE: dict[str, str] = {}
INSTRUMENTS = """\
currencies: {USD: 1, USDT: 1}
groups:
  - {symbols: [BTCUSD], tick: 0.01, lot: 0.00001, quantity_max: 100, notional_min: 1, currency: USD}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("venue", "trouble"),
    [
        (
            "kind: binance, ws_url: 'ws://x', symbols: [A]",
            "venues.V.kind: must be one of binance_spot, kraken, coinbase, alpaca_crypto, ccxt:<exchange>, found",
        ),
        ("kind: 'ccxt:', symbols: [A]", "venues.V.kind: must be one of"),
        ("kind: 'ccxt:okx', ws_url: 'ws://x', symbols: [A]", "venues.V: ws_url: every kind needs it but ccxt:<exchange>, which polls"),
        ("kind: kraken, symbols: [A]", "venues.V: ws_url: every kind needs it but ccxt:<exchange>, which polls"),
        ("kind: kraken, ws_url: 'http://x', symbols: [A]", "venues.V.ws_url: must be an address that starts with ws:// or wss://"),
        ("kind: kraken, ws_url: 'ws://x', symbols: []", "venues.V.symbols: "),
        ("kind: kraken, ws_url: 'ws://x', symbols: ['A B']", "venues.V.symbols.0: may have letters"),
        ("kind: kraken, ws_url: 'ws://x', symbols: [A, A]", "venues.V: symbols: lists a symbol twice"),
        ("kind: binance_spot, ws_url: 'ws://x', symbols: [A]", "venues.V: rest_url is missing"),
        ("kind: kraken, ws_url: 'ws://u:p@x', symbols: [A]", "venues.V: an address must have no user and password"),
        ("kind: kraken, ws_url: 'ws://x', symbols: [A], depht: 1", "venues.V.depht: is not a known key"),
    ],
)
def test_a_venue_that_cannot_be_used_is_refused_with_its_key(tmp_path: Path, venue: str, trouble: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_market_gateway(written(tmp_path, f"venues: {{V: {{{venue}}}}}"), NOWHERE)
    assert trouble in str(error.value)


@pytest.mark.parametrize(("key", "text"), [("venues", "{}"), ("venues", "{'x y': {}}"), ("liveness", "{mute_after_sec: 3}")])
def test_sections_that_make_no_sense_are_refused(tmp_path: Path, key: str, text: str) -> None:
    with pytest.raises(ConfigError, match=key):
        load_market_gateway(written(tmp_path, f"{key}: {text}"), NOWHERE)


def test_the_memory_for_frames_is_divided_among_the_venues() -> None:
    settings = load_market_gateway(environ=NOWHERE)
    assert settings.pending_bytes_max() * 3 <= settings.raw.pending_bytes_max < (settings.pending_bytes_max() + 1) * 3


@pytest.mark.parametrize(
    ("kind", "symbol", "name"),
    [
        ("binance_spot", "BTCUSDT", "BTCUSDT"),
        ("binance_spot", "NOTLISTED", "NOTLISTED"),
        ("kraken", "BTCUSD", "BTC/USD"),
        ("coinbase", "BTCUSD", "BTC-USD"),
        ("alpaca_crypto", "BTCUSD", "BTC/USD"),
        ("ccxt:okx", "BTCUSD", "BTC/USD"),
    ],
)
def test_a_name_at_the_venue_is_derived_where_that_is_certain(tmp_path: Path, kind: str, symbol: str, name: str) -> None:
    assert load_instruments(written(tmp_path, INSTRUMENTS)).market_symbol(kind, symbol).venue_symbol == name


def test_a_row_of_the_table_comes_first_and_may_be_of_no_instrument(tmp_path: Path) -> None:
    table = "market_symbols: {kraken: {BTCUSD: {venue_symbol: XBT/USD, depth: 100}, DOGE: {venue_symbol: DOGE/EUR}}}\n"
    catalogue = load_instruments(written(tmp_path, INSTRUMENTS + table))
    venues = load_market_gateway(
        written(tmp_path, "venues: {K: {kind: kraken, ws_url: 'ws://x', symbols: [BTCUSD, DOGE]}}"), NOWHERE
    ).venues
    listing = listing_of("K", venues["K"], catalogue)
    assert (listing.symbols, listing.depth) == ({"BTCUSD": "XBT/USD", "DOGE": "DOGE/EUR"}, 100)
    assert listing.opening("ws://x", {}).symbols == {"XBT/USD": "BTCUSD", "DOGE/EUR": "DOGE"}


def test_a_symbol_without_a_row_and_without_an_instrument_is_refused_with_its_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"market_symbols\.kraken: has no row for ETHUSD"):
        load_instruments(written(tmp_path, INSTRUMENTS)).market_symbol("kraken", "ETHUSD")


@pytest.mark.parametrize(
    ("table", "trouble"),
    [
        ("{okx: {}}", "okx is no kind of venue"),
        ("{kraken: {A: {venue_symbol: X}, B: {venue_symbol: X}}}", "kraken: A and B have the same venue_symbol X"),
        ("{kraken: {A: {venue_symbol: 'X Y'}}}", "market_symbols.kraken.A.venue_symbol"),
        ("{kraken: {A: {venue_symbol: X, depth: 0}}}", "market_symbols.kraken.A.depth"),
        ("{kraken: {A: {}}}", "market_symbols.kraken.A.venue_symbol: is missing"),
    ],
)
def test_a_table_that_leads_nowhere_or_to_two_symbols_is_refused(tmp_path: Path, table: str, trouble: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_instruments(written(tmp_path, f"{INSTRUMENTS}market_symbols: {table}\n"))
    assert trouble in str(error.value)


def test_a_table_and_a_derived_name_that_meet_are_refused(tmp_path: Path) -> None:
    catalogue = load_instruments(written(tmp_path, INSTRUMENTS + "market_symbols: {kraken: {XBT: {venue_symbol: BTC/USD}}}\n"))
    settings = load_market_gateway(written(tmp_path, "venues: {K: {kind: kraken, ws_url: 'ws://x', symbols: [XBT, BTCUSD]}}"), NOWHERE)
    with pytest.raises(ConfigError, match="XBT and BTCUSD are both BTC/USD there"):
        listing_of("K", settings.venues["K"], catalogue)


def test_an_exchange_of_ccxt_needs_the_library_which_the_usual_installation_has_not(tmp_path: Path) -> None:
    venue = load_market_gateway(written(tmp_path, "venues: {V: {kind: 'ccxt:nowhere', symbols: [BTCUSD]}}"), NOWHERE).venues["V"]
    assert venue.address == "ccxt:nowhere"
    with pytest.raises(ConfigError, match=r"venues\.V\.kind: ccxt (is not installed: make ccxt|has no exchange 'nowhere')"):
        dial_of("V", venue)


def test_a_venue_with_keys_has_them_from_the_secrets_file_or_is_refused(tmp_path: Path) -> None:
    text = "venues: {ALPACA: {kind: alpaca_crypto, ws_url: 'ws://x', symbols: [BTCUSD]}}"
    venues = load_market_gateway(written(tmp_path, text), NOWHERE).venues
    with pytest.raises(ConfigError, match=r"venues\.ALPACA: needs a key"):
        credentials_of(venues, {})
    assert credentials_of(venues, {"venues.ALPACA": ("key", "secret")}) == {"ALPACA": Credentials("key", "secret")}
