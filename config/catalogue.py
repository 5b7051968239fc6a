"""The catalogue: instruments.yaml and venues.yaml, validated."""

import os
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from config.kinds import Exact, Listed, Millis, Percent, Positive, Section, validated
from config.text import ConfigError, read_mapping
from config.venue_sections import CalendarSection, PaperSection
from domain.instruments import AssetClass, Instrument, described
from domain.market.venues.names import ALPACA_CRYPTO, BINANCE_SPOT, COINBASE, KNOWN, KRAKEN, is_kind
from domain.paper.rules import PLAIN, PaperRules
from domain.values import is_multiple, is_symbol, plain

NAME_MAX: Final = 100
"""Characters of an instrument's name."""
TERMS: Final = ("tick", "lot", "quantity_max", "notional_min", "currency", "collar_pct", "shortable", "negative_prices")
HERE: Final = Path(__file__).parent
BOOK_DEPTH: Final = 10
"""Levels of a market's book, unless market_symbols says otherwise."""
SEPARATORS: Final = {KRAKEN: "/", ALPACA_CRYPTO: "/", COINBASE: "-"}
"""Between base and quote currency in a venue's names, by kind. The names of ccxt have a slash for every exchange."""


def _symbol(text: str) -> str:
    if not is_symbol(text):
        raise ValueError("may have letters, digits, - _ / and . only, 64 at most, and each dot between two other characters")
    return text


Symbol = Annotated[str, AfterValidator(_symbol)]
Symbols = Annotated[tuple[Symbol, ...], Listed, Field(min_length=1)]
Price = Annotated[Exact, Field(ge=-(Decimal(10) ** 15), le=Decimal(10) ** 15)]
VenueName = Annotated[str, Field(pattern=r"^[A-Z0-9_]{1,16}$")]


class Group(Section):
    """Instruments that differ only in the symbol."""

    symbols: Symbols
    tick: Positive
    lot: Positive
    quantity_max: Positive
    notional_min: Annotated[Exact, Field(ge=0)]
    currency: str
    collar_pct: Percent | None = None
    shortable: bool = False
    negative_prices: bool = False
    asset_class: Annotated[Literal["crypto", "us_equity"] | None, Field(alias="class")] = None
    base: Annotated[str, Field(pattern=r"^[A-Z0-9._-]{1,16}$")] | None = None
    quote: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,10}$")] | None = None
    exchange: Literal["AMEX", "ARCA", "BATS", "NYSE", "NASDAQ", "NYSEARCA", "OTC", "CRYPTO"] | None = None
    names: Annotated[dict[Symbol, Annotated[str, Field(min_length=1, max_length=NAME_MAX)]], Field(default_factory=dict)]

    @model_validator(mode="after")
    def _names_are_of_the_group(self) -> Self:
        if other := next((symbol for symbol in self.names if symbol not in self.symbols), None):
            raise ValueError(f"names: {other} is not among the symbols of the group")
        return self

    def instruments(self) -> Iterable[Instrument]:
        """Return the instruments, with what the group leaves out of their description derived."""
        terms: dict[str, Any] = {name: getattr(self, name) for name in TERMS}
        terms["asset_class"] = AssetClass(self.asset_class) if self.asset_class else None
        terms |= {name: getattr(self, name) or "" for name in ("base", "quote", "exchange")}
        return (described(Instrument(symbol=symbol, name=self.names.get(symbol, ""), **terms)) for symbol in self.symbols)


class MarketSymbol(Section):
    """What a kind of venue calls one of our symbols, and the levels of the book that are wanted."""

    venue_symbol: Annotated[str, Field(pattern=r"^[!-~]{1,64}$")]
    depth: Annotated[int, Field(ge=1, le=5000)] = BOOK_DEPTH


class InstrumentsFile(Section):
    currencies: dict[Annotated[str, Field(pattern=r"^[A-Z0-9]{2,10}$")], Positive]
    groups: Annotated[tuple[Group, ...], Listed]
    delisted: Annotated[dict[Symbol, str], Field(default_factory=dict)]
    market_symbols: Annotated[dict[str, dict[Symbol, MarketSymbol]], Field(default_factory=dict)]

    @field_validator("market_symbols")
    @classmethod
    def _both_directions(cls, tables: dict[str, dict[str, MarketSymbol]]) -> dict[str, dict[str, MarketSymbol]]:
        for kind, table in tables.items():
            if not is_kind(kind):
                raise ValueError(f"{kind} is no kind of venue; known are {KNOWN}")
            ours: dict[str, str] = {}
            for symbol, row in table.items():
                other = ours.setdefault(row.venue_symbol, symbol)
                if other != symbol:
                    raise ValueError(f"{kind}: {other} and {symbol} have the same venue_symbol {row.venue_symbol}")
        return tables


class Fees(Section):
    """Fees of a venue, in basis points. A negative fee is a rebate."""

    maker_bps: Annotated[Exact, Field(ge=-100, le=1000)]
    taker_bps: Annotated[Exact, Field(ge=-100, le=1000)]


class ThrottleSection(Section):
    """The token bucket for new orders: a rate per second, and a burst."""

    orders_per_sec: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000


class VenueSection(Section):
    """One venue. `session: plain` is a program that only uses orders.<account>.new and fills.<account>: live-gateway does not host it.

    `market`: the venue of the market that a paper venue shows with `market.mode: config`; None: the best one.
    `live`: whether its trades are real. By default a venue with a plain session is, because its program is not part of this system.
    live-gateway hosts no live venue.
    `supports`: `iceberg` is a venue that shows only the display quantity of an order that has one. None: what a paper venue of live-gateway
    supports, and nothing of any other venue.
    """

    fees: Fees
    spread_ticks: Annotated[int, Field(ge=0, le=1000)] = 0
    depth_scale: Positive = Decimal(1)
    latency_ms: Annotated[Millis, Field(le=10_000)] = 1
    symbols: Literal["all"] | Symbols = "all"
    session: Literal["full", "plain"] = "full"
    live: bool | None = None
    answer_deadline_ms: Annotated[Millis, Field(ge=10, le=3_600_000)] = 2000
    throttle: ThrottleSection = ThrottleSection()
    calendar: CalendarSection = CalendarSection()
    paper: PaperSection = PaperSection()
    market: VenueName | None = None
    supports: Annotated[tuple[Literal["iceberg"], ...] | None, Listed] = None

    def is_live(self) -> bool:
        return self.session == "plain" if self.live is None else self.live

    def takes_icebergs(self) -> bool:
        hosted = self.session == "full" and not self.is_live()
        return hosted if self.supports is None else "iceberg" in self.supports


class SimulatedQuote(Section):
    """The start of a simulated mid price, its range, and the size shown on each side."""

    start: Price
    swing_pct: Percent
    spread_ticks: Annotated[int, Field(ge=1, le=1000)] = 2
    size: Positive


class VenuesFile(Section):
    venues: Annotated[dict[VenueName, VenueSection], Field(min_length=1)]
    simulated_quotes: Annotated[dict[Symbol, SimulatedQuote], Field(default_factory=dict)]


class Catalogue(NamedTuple):
    """All instruments by symbol, and the worth of one unit of each currency in USD. `delisted`: currencies of former instruments."""

    instruments: Mapping[str, Instrument]
    currencies: Mapping[str, Decimal]
    delisted: Mapping[str, str] = MappingProxyType({})
    market_symbols: Mapping[str, Mapping[str, MarketSymbol]] = MappingProxyType({})

    def market_symbol(self, kind: str, symbol: str) -> MarketSymbol:
        """Return what a kind of venue calls one of our symbols: from its table, or derived. Raises ConfigError if neither is possible."""
        if found := self.market_symbols.get(kind, {}).get(symbol):
            return found
        if kind == BINANCE_SPOT:
            return MarketSymbol(venue_symbol=symbol)
        instrument = self.instruments.get(symbol)
        base = symbol.removesuffix(instrument.currency) if instrument else symbol
        if instrument is None or base in ("", symbol):
            raise ConfigError(f"instruments: market_symbols.{kind}: has no row for {symbol}, and the venue's name cannot be derived")
        return MarketSymbol(venue_symbol=f"{base}{SEPARATORS.get(kind, '/')}{instrument.currency}")

    def market_name(self, kind: str, symbol: str) -> str | None:
        """Return what a kind of venue calls one of our symbols that this file has; None for any other symbol."""
        if symbol not in self.instruments and symbol not in self.market_symbols.get(kind, {}):
            return None
        try:
            return self.market_symbol(kind, symbol).venue_symbol
        except ConfigError:
            return None


class VenueSettings(NamedTuple):
    """A venue: how a paper venue differs from the quotes it receives. Fees are in basis points, latency in milliseconds."""

    name: str
    maker_bps: Decimal
    taker_bps: Decimal
    spread_ticks: int
    depth_scale: Decimal
    latency_ms: float
    symbols: frozenset[str]
    session: str
    answer_deadline_ms: float = 2000
    orders_per_sec: int = 10_000
    burst: int = 10_000
    jitter_ms: float = 0
    rules: PaperRules = PLAIN
    live: bool = False
    market: str = ""
    icebergs: bool = False


class VenueCatalogue(NamedTuple):
    venues: Mapping[str, VenueSettings]
    simulated: Mapping[str, SimulatedQuote]


def load_instruments(path: Path | None = None) -> Catalogue:
    """Load instruments.yaml, or the file that TRADE_INSTRUMENTS names. Raises ConfigError."""
    path = path or Path(os.environ.get("TRADE_INSTRUMENTS") or HERE / "instruments.yaml")
    file = validated(InstrumentsFile, read_mapping(path), lambda _: str(path))
    instruments: dict[str, Instrument] = {}
    for instrument in (one for group in file.groups for one in group.instruments()):
        if instrument.symbol in instruments:
            raise ConfigError(f"{path}: groups: {instrument.symbol} is listed twice")
        if instrument.currency not in file.currencies:
            raise ConfigError(f"{path}: groups: {instrument.symbol} is in {instrument.currency}, which has no rate under currencies")
        if not is_multiple(instrument.quantity_max, instrument.lot):
            raise ConfigError(f"{path}: groups: quantity_max of {instrument.symbol} is not on its lot {plain(instrument.lot)}")
        instruments[instrument.symbol] = instrument
    for symbol, currency in file.delisted.items():
        if symbol in instruments:
            raise ConfigError(f"{path}: delisted: {symbol} is an instrument")
        if currency not in file.currencies:
            raise ConfigError(f"{path}: delisted: {symbol} was in {currency}, which has no rate under currencies")
    return Catalogue(instruments, file.currencies, file.delisted, file.market_symbols)


def load_venues(instruments: Mapping[str, Instrument], path: Path | None = None) -> VenueCatalogue:
    """Load venues.yaml, or the file that TRADE_VENUES names. Its symbols must be instruments. Raises ConfigError."""
    path = path or _venues_path()
    file = validated(VenuesFile, read_mapping(path), lambda _: str(path))
    for name, section in file.venues.items():
        for symbol in () if section.symbols == "all" else section.symbols:
            if symbol not in instruments:
                raise ConfigError(f"{path}: venues.{name}.symbols: {symbol} is not an instrument")
    for symbol, quote in file.simulated_quotes.items():
        if symbol not in instruments:
            raise ConfigError(f"{path}: simulated_quotes: {symbol} is not an instrument")
        if quote.start <= 0 and not instruments[symbol].negative_prices:
            raise ConfigError(f"{path}: simulated_quotes.{symbol}.start: must be greater than 0, found {plain(quote.start)}")
        if not is_multiple(quote.start, instruments[symbol].tick):
            raise ConfigError(f"{path}: simulated_quotes.{symbol}.start: is not on the tick {plain(instruments[symbol].tick)}")
    return VenueCatalogue({name: _venue(name, section, instruments) for name, section in file.venues.items()}, file.simulated_quotes)


def live_venues(path: Path | None = None) -> tuple[str, ...]:
    """Return the names of the venues whose trades are real. Raises ConfigError."""
    path = path or _venues_path()
    file = validated(VenuesFile, read_mapping(path), lambda _: str(path))
    return tuple(name for name, section in file.venues.items() if section.is_live())


def _venues_path() -> Path:
    return Path(os.environ.get("TRADE_VENUES") or HERE / "venues.yaml")


def _venue(name: str, section: VenueSection, instruments: Iterable[str]) -> VenueSettings:
    return VenueSettings(
        name=name,
        maker_bps=section.fees.maker_bps,
        taker_bps=section.fees.taker_bps,
        spread_ticks=section.spread_ticks,
        depth_scale=section.depth_scale,
        latency_ms=section.latency_ms,
        symbols=frozenset(instruments if section.symbols == "all" else section.symbols),
        session=section.session,
        answer_deadline_ms=section.answer_deadline_ms,
        orders_per_sec=section.throttle.orders_per_sec,
        burst=section.throttle.burst,
        jitter_ms=section.paper.jitter_ms,
        rules=section.paper.rules(section.calendar.calendar()),
        live=section.is_live(),
        market=section.market or "",
        icebergs=section.takes_icebergs(),
    )
