"""What a venue's own list of instruments says of a symbol: the steps of its prices and quantities, and whether it is listed and trades.

A reply of the list is a `rest` frame whose first line ends in `listing`. gateway and the decoders read it with the same functions.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple, Protocol
from urllib.parse import quote

import msgspec

from domain.market.venues.history import VenueRefusal, kraken_result
from domain.market.venues.names import BINANCE_SPOT, COINBASE, KRAKEN
from domain.market.venues.wire import NumberReader
from domain.values import plain

LISTING: Final = "listing"
OK: Final = 200
BINANCE_UNKNOWN: Final = -1121
KRAKEN_UNKNOWN: Final = "EQuery:Unknown asset pair"
KRAKEN_TRADES: Final = frozenset({"online", "limit_only", "reduce_only"})
"""States of a pair in which it trades."""
COINBASE_UNKNOWN: Final = frozenset({"NOT_FOUND", "INVALID_ARGUMENT"})


class ListedSymbol(NamedTuple):
    """A listed symbol: `tick` is the step of prices, `lot` that of quantities."""

    tick: Decimal
    lot: Decimal
    trades: bool = True

    @property
    def steps(self) -> tuple[str, str]:
        return plain(self.tick), plain(self.lot)


class InstrumentList(Protocol):
    """The list of one kind of venue, read symbol by symbol. `weight`: of a request, against the venue's limit."""

    weight: int

    def path(self, name: str) -> str: ...

    def read(self, name: str, status: int, body: str) -> ListedSymbol | None:
        """Return what the list says; None only if the venue says that it does not list the symbol.

        Raises VenueRefusal, or what decoding raises for a body that says neither.
        """
        ...


class _BinanceFilter(msgspec.Struct, gc=False):
    filterType: str  # noqa: N815 - the venue's name
    tickSize: str = ""  # noqa: N815
    stepSize: str = ""  # noqa: N815


class _BinanceSymbol(msgspec.Struct, gc=False):
    symbol: str
    status: str
    filters: list[_BinanceFilter] = []


class _BinanceInfo(msgspec.Struct, gc=False):
    symbols: list[_BinanceSymbol] = []
    code: int = 0
    msg: str = ""


_BINANCE: Final = msgspec.json.Decoder(_BinanceInfo)


class BinanceInstruments:
    weight = 20

    def path(self, name: str) -> str:
        return f"/api/v3/exchangeInfo?symbol={name.upper()}"

    def read(self, name: str, status: int, body: str) -> ListedSymbol | None:
        info = _BINANCE.decode(body)
        if info.code == BINANCE_UNKNOWN:
            return None
        if status != OK:
            raise VenueRefusal(f"{status} {info.msg}")
        found = [row for row in info.symbols if row.symbol == name.upper()]
        steps = {row.filterType: row.tickSize or row.stepSize for row in found[0].filters} if found else {}
        return _listed(steps.get("PRICE_FILTER", ""), steps.get("LOT_SIZE", ""), bool(found) and found[0].status == "TRADING")


class _KrakenPair(msgspec.Struct, gc=False):
    tick_size: str
    lot_decimals: int
    status: str = ""


_KRAKEN_PAIR: Final = msgspec.json.Decoder(_KrakenPair)


class KrakenInstruments:
    weight = 1

    def path(self, name: str) -> str:
        return f"/0/public/AssetPairs?pair={quote(name, safe='')}"

    def read(self, name: str, status: int, body: str) -> ListedSymbol | None:
        try:
            pairs = kraken_result(body)
        except VenueRefusal as refusal:
            if KRAKEN_UNKNOWN in str(refusal):
                return None
            raise
        if len(pairs) != 1 or status != OK:
            raise VenueRefusal(f"{status}, {len(pairs)} pairs")
        pair = _KRAKEN_PAIR.decode(next(iter(pairs.values())))
        return _listed(pair.tick_size, str(Decimal(1).scaleb(-pair.lot_decimals)), pair.status in KRAKEN_TRADES)


class _CoinbaseProduct(msgspec.Struct, gc=False):
    price_increment: str = ""
    base_increment: str = ""
    is_disabled: bool = False
    trading_disabled: bool = False
    error: str = ""
    message: str = ""


_COINBASE: Final = msgspec.json.Decoder(_CoinbaseProduct)


class CoinbaseInstruments:
    weight = 1

    def path(self, name: str) -> str:
        return f"/api/v3/brokerage/market/products/{quote(name, safe='')}"

    def read(self, name: str, status: int, body: str) -> ListedSymbol | None:
        product = _COINBASE.decode(body)
        if product.is_disabled or product.error in COINBASE_UNKNOWN:
            return None
        if status != OK:
            raise VenueRefusal(f"{status} {product.error} {product.message}")
        return _listed(product.price_increment, product.base_increment, not product.trading_disabled)


_LISTS: Final[Mapping[str, type[InstrumentList]]] = {
    BINANCE_SPOT: BinanceInstruments,
    KRAKEN: KrakenInstruments,
    COINBASE: CoinbaseInstruments,
}


def instrument_list(kind: str) -> InstrumentList | None:
    """Return the list of a kind of venue; None for a kind whose list is not public."""
    made = _LISTS.get(kind)
    return made() if made else None


def _listed(tick: str, lot: str, trades: bool) -> ListedSymbol:
    numbers = NumberReader()
    found = numbers.above_zero(tick), numbers.above_zero(lot)
    if found[0] is None or found[1] is None:
        raise VenueRefusal(f"no steps: tick {tick!r}, lot {lot!r}")
    return ListedSymbol(found[0], found[1], trades)
