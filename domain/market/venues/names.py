"""The kinds of venues that this build speaks, by the name that a configuration and an `open` frame use."""

from typing import Final

BINANCE_SPOT: Final = "binance_spot"
KRAKEN: Final = "kraken"
COINBASE: Final = "coinbase"
ALPACA_CRYPTO: Final = "alpaca_crypto"
KINDS: Final = (BINANCE_SPOT, KRAKEN, COINBASE, ALPACA_CRYPTO)
