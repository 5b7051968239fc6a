"""The settings of gateway: the venues of the market, how frames are gathered and kept, and when a connection counts as mute."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from config.catalogue import Symbols, VenueName
from config.kinds import Bytes, HttpUrl, Port, Seconds, Section, Wait, WsUrl
from config.sections import MarketNatsSection, MonitoringSection, ServiceSection
from config.settings import Settings
from domain.market.venues.names import ALPACA_CRYPTO, BINANCE_SPOT, COINBASE, KNOWN, KRAKEN, exchange_of, is_kind

WITH_KEYS: Final = (ALPACA_CRYPTO,)
"""Kinds of venues that want an account's key."""
WITH_REST: Final = (BINANCE_SPOT,)
"""Kinds of venues whose books need snapshots over REST."""
MIB: Final = 1024 * 1024


def _kind(text: str) -> str:
    if not is_kind(text):
        raise ValueError(f"must be one of {KNOWN}")
    return text


class VenueFeedSection(Section):
    """One venue of the market. `symbols` are ours: config/instruments.yaml has the venue's names under market_symbols.

    A kind ccxt:<exchange> has no ws_url: ccxt has the exchange's address; `rest_url` replaces it.
    """

    kind: Annotated[str, AfterValidator(_kind)]
    ws_url: WsUrl | None = None
    rest_url: HttpUrl | None = None
    symbols: Symbols

    @property
    def address(self) -> str:
        """What a connection is opened to."""
        return self.ws_url or self.kind

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind in WITH_REST and self.rest_url is None:
            raise ValueError(f"rest_url is missing: a venue of the kind {self.kind} needs it for snapshots")
        if (exchange_of(self.kind) is None) == (self.ws_url is None):
            raise ValueError("ws_url: every kind needs it but ccxt:<exchange>, which polls")
        for url in (self.ws_url or "", self.rest_url or ""):
            if urlsplit(url).username is not None:
                raise ValueError("an address must have no user and password: a venue's key is in the secrets file")
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError("symbols: lists a symbol twice")
        return self


class RawSection(Section):
    """The stream of frames. `pending_bytes_max`: memory for frames that are not acknowledged yet, of all venues together.

    `max_bytes`: the size of the stream, which drops its oldest messages beyond it.
    """

    raw_wait_ms: Wait = 5
    pending_bytes_max: Annotated[Bytes, Field(ge=MIB)] = 64 * MIB
    max_bytes: Annotated[Bytes, Field(ge=MIB)] = 2048 * MIB


class VenueLivenessSection(Section):
    """When a connection is stale, when it is mute and made again, and how old it may become before a new one takes its place."""

    stale_after_sec: Seconds = 10
    mute_after_sec: Seconds = 30
    connection_age_max_sec: Seconds = 84_600

    @model_validator(mode="after")
    def _stale_first(self) -> Self:
        if self.mute_after_sec <= self.stale_after_sec:
            raise ValueError("mute_after_sec must be greater than stale_after_sec")
        return self


class VenueInstrumentsSection(Section):
    """`check_sec`: how often each symbol is looked up in the venue's own list, which has its steps and whether it is listed."""

    check_sec: Annotated[Seconds, Field(ge=60)] = 3600


class MarketGatewayService(ServiceSection):
    name: Literal["gateway"] = "gateway"
    port: Port = 8080


class MarketGatewayMonitoring(MonitoringSection):
    metrics_port: Port = 9080


VENUES: Final[Mapping[str, VenueFeedSection]] = {
    "BINANCE": VenueFeedSection(
        kind=BINANCE_SPOT,
        ws_url="wss://stream.binance.com:9443",
        rest_url="https://api.binance.com",
        symbols=("BTCUSDT", "ETHUSDT", "SOLUSDT"),
    ),
    "KRAKEN": VenueFeedSection(
        kind=KRAKEN, ws_url="wss://ws.kraken.com/v2", rest_url="https://api.kraken.com", symbols=("BTCUSD", "ETHUSD")
    ),
    "COINBASE": VenueFeedSection(
        kind=COINBASE,
        ws_url="wss://advanced-trade-ws.coinbase.com",
        rest_url="https://api.coinbase.com",
        symbols=("BTCUSD", "ETHUSD"),
    ),
}
"""The public addresses of the venues, for market data without a key."""


class MarketGatewaySettings(Settings):
    service: MarketGatewayService = MarketGatewayService()
    market_nats: MarketNatsSection = MarketNatsSection()
    venues: Annotated[dict[VenueName, VenueFeedSection], Field(min_length=1)] = Field(default_factory=lambda: dict(VENUES))
    raw: RawSection = RawSection()
    liveness: VenueLivenessSection = VenueLivenessSection()
    instruments: VenueInstrumentsSection = VenueInstrumentsSection()
    monitoring: MarketGatewayMonitoring = MarketGatewayMonitoring()

    def pending_bytes_max(self) -> int:
        """Return the memory of one venue for frames that are not acknowledged yet."""
        return self.raw.pending_bytes_max // len(self.venues)
