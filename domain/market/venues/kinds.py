"""The kinds of venues that this build speaks, by the name that a configuration and an `open` frame use."""

from collections.abc import Callable, Mapping
from typing import Final

from domain.market.venues.feed import VenueScript
from domain.market.venues.scripts import AlpacaCryptoScript, BinanceSpotScript, CoinbaseScript, KrakenScript

BINANCE_SPOT: Final = "binance_spot"
KRAKEN: Final = "kraken"
COINBASE: Final = "coinbase"
ALPACA_CRYPTO: Final = "alpaca_crypto"

_SCRIPTS: Final[Mapping[str, Callable[[str, Mapping[str, str], int], VenueScript]]] = {
    BINANCE_SPOT: BinanceSpotScript,
    KRAKEN: KrakenScript,
    COINBASE: CoinbaseScript,
    ALPACA_CRYPTO: AlpacaCryptoScript,
}
KINDS: Final = tuple(_SCRIPTS)


def script(kind: str, ws_url: str, symbols: Mapping[str, str], depth: int) -> VenueScript:
    """Return what a connection to this kind of venue sends. `symbols` maps our names to the venue's; `depth` is the levels wanted.

    Raises ValueError for an unknown kind, and for more symbols than the venue allows on one connection.
    """
    made = _SCRIPTS.get(kind)
    if made is None:
        raise ValueError(f"{kind!r} is no kind of venue; known are {', '.join(KINDS)}")
    return made(ws_url, symbols, depth)
