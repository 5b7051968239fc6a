"""The kinds of venues that this build speaks, by the name that a configuration and an `open` frame use."""

import re
from typing import Final

BINANCE_SPOT: Final = "binance_spot"
KRAKEN: Final = "kraken"
COINBASE: Final = "coinbase"
ALPACA_CRYPTO: Final = "alpaca_crypto"
KINDS: Final = (BINANCE_SPOT, KRAKEN, COINBASE, ALPACA_CRYPTO)
CCXT: Final = "ccxt"
CCXT_EXCHANGE: Final = re.compile(r"ccxt:([a-z0-9_]{1,32})", re.ASCII)
KNOWN: Final = f"{', '.join(KINDS)}, ccxt:<exchange>"
"""What a message says of the kinds."""


def exchange_of(kind: str) -> str | None:
    """Return the exchange of a kind `ccxt:<exchange>`; None for another kind."""
    found = CCXT_EXCHANGE.fullmatch(kind)
    return found[1] if found else None


def is_kind(text: str) -> bool:
    return text in KINDS or exchange_of(text) is not None
