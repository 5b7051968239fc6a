"""The instruments as the facade names them: pairs for crypto, plain symbols for equities, and a stable id for each."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import msgspec

from apps.oms.alpaca.ids import asset_id
from domain.instruments import AssetClass, Instrument, described
from domain.market.trading_hours import ALWAYS, Calendar

CRYPTO: Final = str(AssetClass.CRYPTO)
EQUITY: Final = str(AssetClass.US_EQUITY)


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
    calendars: tuple[Calendar, ...] = (ALWAYS,)
    """The trading hours of the venues that list it."""

    def day_end(self, at_ns: int) -> int:
        """Return when a day order of this moment ends: the last of the venues closes. Nanoseconds UTC."""
        return max(calendar.session_end(at_ns) for calendar in self.calendars)

    @property
    def lot(self) -> Decimal | None:
        return None if self.instrument is None else self.instrument.lot

    @property
    def tick(self) -> Decimal | None:
        return None if self.instrument is None else self.instrument.tick

    @property
    def shortable(self) -> bool:
        return self.instrument is not None and self.instrument.shortable

    @property
    def negative_prices(self) -> bool:
        return self.instrument is not None and self.instrument.negative_prices

    def shortage(self, *, buys: bool) -> str:
        """Return what an order lacks that its account cannot pay: the currency of a buy, the thing itself of a sale."""
        return self.quote if buys else self.base


class AssetBook:
    """Finds instruments by every spelling: as a pair, joined, or by asset id, in any case."""

    def __init__(self, instruments: Iterable[Instrument], calendars: Mapping[str, Sequence[Calendar]] = MappingProxyType({})) -> None:
        """`calendars`: the trading hours of each symbol's venues; without one it never closes.

        An instrument that is neither crypto nor an equity has no class at Alpaca, and cannot be traded here.
        """
        known = (described(instrument) for instrument in instruments)
        self.all: Final = [_asset(each, calendars.get(each.symbol, ())) for each in known if each.asset_class is not None]
        self._by_symbol = {asset.symbol: asset for asset in self.all}
        self._found: dict[str, AlpacaAsset] = {}
        for asset in self.all:
            joined, digits = asset.shown.replace("/", ""), asset.asset_id.replace("-", "")
            for spelling in (asset.shown, joined, asset.symbol, asset.asset_id, digits):
                self._found.setdefault(spelling.upper(), asset)

    def find(self, text: str) -> AlpacaAsset | None:
        """Return the instrument that a client means; None if there is none."""
        return self._found.get(text) or self._found.get(text.upper())

    def of(self, symbol: str) -> AlpacaAsset:
        """Return the instrument of an order or a position by our own symbol, also if it cannot be traded here, or no longer."""
        return self._by_symbol.get(symbol) or _other(symbol)


def _asset(instrument: Instrument, calendars: Sequence[Calendar]) -> AlpacaAsset:
    return AlpacaAsset(
        symbol=instrument.symbol,
        shown=instrument.pair,
        asset_id=asset_id(instrument.symbol),
        asset_class=str(instrument.asset_class),
        exchange=instrument.exchange,
        base=instrument.base,
        quote=instrument.quote,
        name=instrument.name,
        instrument=instrument,
        calendars=tuple(calendars) or (ALWAYS,),
    )


def _other(symbol: str) -> AlpacaAsset:
    kind, exchange = (CRYPTO, "CRYPTO") if "/" in symbol else (EQUITY, "OTC")
    return AlpacaAsset(symbol, symbol, asset_id(symbol), kind, exchange, symbol, "USD", symbol)
