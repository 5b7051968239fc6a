"""What each kind of venue is sent, and how its frames are decoded."""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from domain.market.venues.alpaca_crypto import AlpacaCryptoDialect
from domain.market.venues.binance_spot import BinanceSpotDialect
from domain.market.venues.ccxt_books import CcxtDialect, CcxtScript
from domain.market.venues.coinbase import CoinbaseDialect
from domain.market.venues.decoder import Dialect, VenueDecoder
from domain.market.venues.feed import Decoder, Opening, VenueScript
from domain.market.venues.history import history
from domain.market.venues.instruments import instrument_list
from domain.market.venues.kraken import KrakenDialect
from domain.market.venues.names import ALPACA_CRYPTO, BINANCE_SPOT, CCXT, COINBASE, KNOWN, KRAKEN, exchange_of, is_kind
from domain.market.venues.replies import Replies
from domain.market.venues.scripts import AlpacaCryptoScript, BinanceSpotScript, CoinbaseScript, KrakenScript
from domain.market.venues.session import FeedSession

Made = TypeVar("Made")

_SCRIPTS: Final[Mapping[str, Callable[[str, Mapping[str, str], int], VenueScript]]] = {
    BINANCE_SPOT: BinanceSpotScript,
    KRAKEN: KrakenScript,
    COINBASE: CoinbaseScript,
    ALPACA_CRYPTO: AlpacaCryptoScript,
    CCXT: CcxtScript,
}
_DIALECTS: Final[Mapping[str, Callable[[FeedSession, Opening], Dialect]]] = {
    BINANCE_SPOT: lambda session, opening: BinanceSpotDialect(session),
    KRAKEN: lambda session, opening: KrakenDialect(session, opening.depth),
    COINBASE: lambda session, opening: CoinbaseDialect(session),
    ALPACA_CRYPTO: lambda session, opening: AlpacaCryptoDialect(session),
    CCXT: lambda session, opening: CcxtDialect(session),
}

_FORMS: Final[Mapping[str, Callable[[str], str]]] = {BINANCE_SPOT: str.upper}
"""How a venue writes its names, where that differs from the configuration."""


def script(kind: str, ws_url: str, symbols: Mapping[str, str], depth: int) -> VenueScript:
    """Return what a connection to this kind of venue sends. `symbols` maps our names to the venue's; `depth` is the levels wanted.

    Raises ValueError for an unknown kind, and for more symbols than the venue allows on one connection.
    """
    return _known(_SCRIPTS, kind)(ws_url, symbols, depth)


def decoder(venue: str, opening: Opening, epoch: int) -> Decoder:
    """Return the fold of one connection. Raises ValueError for an unknown kind."""
    session = FeedSession(venue, opening, epoch, _FORMS.get(opening.kind, str))
    dialect = _known(_DIALECTS, opening.kind)(session, opening)
    return VenueDecoder(session, dialect, Replies(session, history(opening.kind), instrument_list(opening.kind)))


def _known(by_kind: Mapping[str, Made], kind: str) -> Made:
    if not is_kind(kind):
        raise ValueError(f"{kind!r} is no kind of venue; known are {KNOWN}")
    return by_kind[CCXT if exchange_of(kind) else kind]
