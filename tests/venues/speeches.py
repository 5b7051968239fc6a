"""The kinds of venues that the simulator speaks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tests.venues.alpaca import AlpacaSpeech
from tests.venues.binance import BinanceSpeech
from tests.venues.coinbase import CoinbaseSpeech
from tests.venues.connection import Speech
from tests.venues.faults import Faults
from tests.venues.kraken import KrakenSpeech

SPEECHES: Final[Mapping[str, Callable[[Faults, int, Sequence[str]], Speech]]] = {
    "binance_spot": BinanceSpeech,
    "kraken": KrakenSpeech,
    "coinbase": CoinbaseSpeech,
    "alpaca_crypto": AlpacaSpeech,
}
