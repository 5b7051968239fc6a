"""The instruments as the facade names them: pairs for crypto, plain symbols for equities, and a stable id for each."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from apps.oms.alpaca.ids import asset_id
from domain.instruments import Instrument

CRYPTO: Final = "crypto"
EQUITY: Final = "us_equity"


class AlpacaAsset(msgspec.Struct, frozen=True):
    """One instrument for a client: `symbol` is ours, `shown` what the client sees, `instrument` None if it is no longer traded."""

    symbol: str
    shown: str
    asset_id: str
    asset_class: str
    exchange: str
    base: str
    quote: str
    name: str
    instrument: Instrument | None = None

    @property
    def lot(self) -> Decimal | None:
        return None if self.instrument is None else self.instrument.lot

    @property
    def tick(self) -> Decimal | None:
        return None if self.instrument is None else self.instrument.tick

    @property
    def shortable(self) -> bool:
        return self.instrument is not None and self.instrument.shortable

    def shortage(self, *, buys: bool) -> str:
        """Return what an order lacks that its account cannot pay: the currency of a buy, the thing itself of a sale."""
        return self.quote if buys else self.base


class AssetBook:
    """Finds instruments by every spelling: as a pair, joined, or by asset id, in any case."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self.all: Final = [_listing(instrument) for instrument in instruments]
        self._by_symbol = {listing.symbol: listing for listing in self.all}
        self._found: dict[str, AlpacaAsset] = {}
        for listing in self.all:
            for spelling in (
                listing.shown,
                listing.shown.replace("/", ""),
                listing.symbol,
                listing.asset_id,
                listing.asset_id.replace("-", ""),
            ):
                self._found.setdefault(spelling.upper(), listing)

    def find(self, text: str) -> AlpacaAsset | None:
        """Return the instrument that a client means; None if there is none."""
        return self._found.get(text) or self._found.get(text.upper())

    def of(self, symbol: str) -> AlpacaAsset:
        """Return the instrument of an order or a position by our own symbol, also if it is no longer traded."""
        return self._by_symbol.get(symbol) or _delisted(symbol)


def _listing(instrument: Instrument) -> AlpacaAsset:
    symbol, currency = instrument.symbol, instrument.currency
    base = symbol.removesuffix(currency).rstrip("/-")
    if base and base != symbol and instrument.lot < 1:
        shown, kind, exchange = f"{base}/{currency}", CRYPTO, "CRYPTO"
    else:
        base, shown, kind, exchange = symbol, symbol, EQUITY, "NASDAQ"
    return AlpacaAsset(symbol, shown, asset_id(symbol), kind, exchange, base, currency, shown, instrument)


def _delisted(symbol: str) -> AlpacaAsset:
    kind = CRYPTO if "/" in symbol else EQUITY
    return AlpacaAsset(symbol, symbol, asset_id(symbol), kind, "CRYPTO" if kind == CRYPTO else "OTC", symbol, "USD", symbol)
