"""Instruments: what can be traded, and the steps of price and quantity."""

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from domain.values import AT_SESSIONS, ZERO, OrderType, TimeInForce, divide, is_multiple, plain

RESTING: Final = (TimeInForce.GTC, TimeInForce.GTD, TimeInForce.DAY)
"""The times in force of orders that can rest in a book, where others see them."""
PARTS_MAX: Final = 1000
"""How many times an iceberg's display quantity may fit into its quantity: one trade may meet them all."""


class Denial(msgspec.Struct, frozen=True):
    """The reason of a refusal: a stable code, the value found and the limit it broke. Prose is added at the endpoints."""

    code: str
    found: str | None = None
    limit: str | None = None
    unit: str | None = None


class AssetClass(StrEnum):
    CRYPTO = "crypto"
    US_EQUITY = "us_equity"


EXCHANGES: Final[dict[AssetClass, str]] = {AssetClass.CRYPTO: "CRYPTO", AssetClass.US_EQUITY: "NASDAQ"}
"""Where instruments of a class are listed, unless the catalogue says otherwise."""
_SEPARATORS: Final = "/-_"


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One tradable instrument. A price is a whole number of `tick`, a quantity a whole number of `lot`; both are exact.

    Prices are above zero, or with `negative_prices` any whole number of ticks: futures, power, spreads. The last five fields describe it
    to people and decide nothing: see `described`. An `asset_class` of None is neither of the two.
    """

    symbol: str
    tick: Decimal
    lot: Decimal
    quantity_max: Decimal
    notional_min: Decimal
    currency: str
    collar_pct: Decimal | None = None
    shortable: bool = False
    negative_prices: bool = False
    asset_class: AssetClass | None = None
    base: str = ""
    quote: str = ""
    exchange: str = ""
    name: str = ""

    @property
    def pair(self) -> str:
        """The usual name of what is traded: BASE/QUOTE of crypto, the symbol of everything else."""
        return f"{self.base}/{self.quote}" if self.asset_class is AssetClass.CRYPTO else self.symbol


def described(instrument: Instrument) -> Instrument:
    """Return the instrument with the empty ones of its describing fields derived.

    A symbol that ends with its currency is a crypto pair (BTCUSDT, BTC/USD); one whose price may be negative is neither crypto nor equity;
    all others are US equities.
    """
    quote = instrument.quote or instrument.currency
    stem = instrument.symbol.removesuffix(quote).rstrip(_SEPARATORS)
    is_pair = instrument.symbol.endswith(quote) and bool(stem)
    by_form = AssetClass.CRYPTO if is_pair else None if instrument.negative_prices else AssetClass.US_EQUITY
    kind = instrument.asset_class or by_form
    base = instrument.base or (stem if kind is AssetClass.CRYPTO and is_pair else instrument.symbol)
    found = msgspec.structs.replace(
        instrument, asset_class=kind, base=base, quote=quote, exchange=instrument.exchange or (EXCHANGES[kind] if kind else "")
    )
    return msgspec.structs.replace(found, name=instrument.name or found.pair)


def negative_prices(instruments: Iterable[Instrument]) -> frozenset[str]:
    """Return the symbols whose prices may be zero or below."""
    return frozenset(instrument.symbol for instrument in instruments if instrument.negative_prices)


def price_denial(instrument: Instrument, price: Decimal, name: str) -> Denial | None:
    if price <= ZERO and not instrument.negative_prices:
        return Denial(f"{name}_not_positive", plain(price), "0")
    if not is_multiple(price, instrument.tick):
        return Denial(f"{name}_off_tick", plain(price), plain(instrument.tick))
    return None


def quantity_denial(instrument: Instrument, quantity: Decimal) -> Denial | None:
    if quantity <= ZERO:
        return Denial("quantity_not_positive", plain(quantity), "0")
    if not is_multiple(quantity, instrument.lot):
        return Denial("quantity_off_lot", plain(quantity), plain(instrument.lot))
    if quantity > instrument.quantity_max:
        return Denial("quantity_too_large", plain(quantity), plain(instrument.quantity_max))
    return None


def terms_denial(
    instrument: Instrument,
    type_: OrderType,
    quantity: Decimal,
    price: Decimal | None,
    stop_price: Decimal | None,
    *,
    reduce_only: bool = False,
) -> Denial | None:
    """Return the first reason why these terms cannot trade, in a fixed order: presence, steps, size.

    A reduce-only order has no minimum notional: otherwise the rest of a position could not be closed.
    """
    needs_price = type_ in (OrderType.LIMIT, OrderType.STOP_LIMIT)
    needs_stop = type_ in (OrderType.STOP, OrderType.STOP_LIMIT)
    if needs_price and price is None:
        return Denial("price_required")
    if price is not None and not needs_price:
        return Denial("price_not_allowed", plain(price))
    if needs_stop and stop_price is None:
        return Denial("stop_price_required")
    if stop_price is not None and not needs_stop and type_ is not OrderType.TRAILING_STOP:
        return Denial("stop_price_not_allowed", plain(stop_price))
    if denial := quantity_denial(instrument, quantity):
        return denial
    if price is not None and (denial := price_denial(instrument, price, "price")):
        return denial
    if stop_price is not None and (denial := price_denial(instrument, stop_price, "stop_price")):
        return denial
    worst = price if price is not None else stop_price
    if not reduce_only and worst is not None and is_too_small(instrument, quantity, worst):
        return Denial("notional_too_small", plain(abs(worst * quantity)), plain(instrument.notional_min), instrument.currency)
    return None


def quantity_worth(instrument: Instrument, notional: Decimal, price: Decimal) -> Decimal:
    """Return the largest quantity on the lot that is worth no more than `notional` at a price above zero."""
    return notional // (price * instrument.lot) * instrument.lot


def notional_denial(instrument: Instrument, quantity: Decimal, price: Decimal, *, reduce_only: bool) -> Denial | None:
    """Return why a quantity that was made from money is too little: less than a lot, or below the minimum notional."""
    least = instrument.lot * price if reduce_only else max(instrument.notional_min, instrument.lot * price)
    if quantity * price >= least:
        return None
    return Denial("notional_too_small", plain(quantity * price), plain(least), instrument.currency)


def is_too_small(instrument: Instrument, quantity: Decimal, price: Decimal) -> bool:
    """Return whether |price| x quantity is below the minimum notional. A price of zero is exempt: no quantity could reach it."""
    return abs(price * quantity) < instrument.notional_min and bool(price)


def flags_denial(type_: OrderType, time_in_force: TimeInForce, post_only: bool) -> Denial | None:
    """Refuse post-only for an order that cannot rest: it needs a limit price and a time in force that rests.

    Only market and limit orders wait for a session.
    """
    at_session = time_in_force in AT_SESSIONS
    if at_session and type_ not in (OrderType.MARKET, OrderType.LIMIT):
        return Denial("time_in_force_not_allowed", f"{type_} {time_in_force}")
    rests = type_ in (OrderType.LIMIT, OrderType.STOP_LIMIT) and time_in_force not in (TimeInForce.IOC, TimeInForce.FOK)
    if post_only and (at_session or not rests):
        return Denial("post_only_not_allowed")
    return None


class DisplayTerms(Protocol):
    """What decides, beside its type, whether an order may be an iceberg. The terms of an order and a request to a venue have it."""

    @property
    def time_in_force(self) -> TimeInForce: ...
    @property
    def quantity(self) -> Decimal: ...
    @property
    def price(self) -> Decimal | None: ...
    @property
    def reduce_only(self) -> bool: ...
    @property
    def display_quantity(self) -> Decimal | None: ...


def display_denial(instrument: Instrument, type_: OrderType, terms: DisplayTerms, *, may_cover: bool = False) -> Denial | None:
    """Return why an order cannot show only its display quantity: it must be a limit order that rests, and show a part of it.

    None for an order that is shown whole. `may_cover`: the display quantity may be the whole quantity or more, as when the quantity was
    reduced.
    """
    display, quantity, price = terms.display_quantity, terms.quantity, terms.price
    if display is None:
        return None
    if type_ is not OrderType.LIMIT or price is None or terms.time_in_force not in RESTING:
        return Denial("display_quantity_not_allowed", f"{type_} {terms.time_in_force}")
    if display <= ZERO:
        return Denial("display_quantity_not_positive", plain(display), "0")
    if not is_multiple(display, instrument.lot):
        return Denial("display_quantity_off_lot", plain(display), plain(instrument.lot))
    if display >= quantity and not may_cover:
        return Denial("display_quantity_too_large", plain(display), plain(quantity))
    if not terms.reduce_only and is_too_small(instrument, display, price):
        return Denial("display_quantity_too_small", plain(abs(price * display)), plain(instrument.notional_min), instrument.currency)
    if display * PARTS_MAX < quantity:
        return Denial("display_quantity_too_small", plain(display), plain(divide(quantity, Decimal(PARTS_MAX))))
    return None
