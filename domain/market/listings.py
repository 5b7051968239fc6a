"""Instruments and currency rates by time. A delisted symbol stays known, and a trade counts at the rate of its time."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final, Generic, NamedTuple, TypeVar

from domain.instruments import Instrument

T = TypeVar("T")

SYMBOLS_MAX: Final = 5_000
"""The most symbols in one event, which has to fit into a message."""


class _Dated(Generic[T]):
    """Values by the time (ns) from which each is valid. The first is valid for all earlier times too."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._values: list[T] = []

    def put(self, at: int, value: T) -> None:
        self._times.append(at)
        self._values.append(value)

    def at(self, when: int) -> T:
        return self._values[max(bisect_right(self._times, when) - 1, 0)]

    @property
    def latest(self) -> T:
        return self._values[-1]


class Change(NamedTuple):
    """What a catalogue adds to the recorded state: rates by currency, currencies by symbol, and the symbols that it lost."""

    rates: Mapping[str, Decimal]
    listed: Mapping[str, str]
    delisted: tuple[str, ...]


class Listings:
    """A fold of the catalogues over time. `delisted` are symbols that were in one and are not in the last."""

    def __init__(self) -> None:
        self._rates: dict[str, _Dated[Decimal]] = {}
        self._currencies: dict[str, _Dated[str]] = {}
        self.delisted: set[str] = set()

    def apply(self, at: int, change: Change) -> None:
        for currency, rate in change.rates.items():
            self._rates.setdefault(currency, _Dated()).put(at, rate)
        for symbol, currency in change.listed.items():
            self._currencies.setdefault(symbol, _Dated()).put(at, currency)
        self.delisted = (self.delisted - change.listed.keys()) | set(change.delisted)

    def currency(self, symbol: str) -> str | None:
        """Return the symbol's latest currency; None for a symbol that was in no catalogue."""
        dated = self._currencies.get(symbol)
        return dated.latest if dated else None

    def rate(self, symbol: str, at: int) -> Decimal | None:
        """Return USD for one unit of the symbol's currency at a time in ns; None for a symbol that was in no catalogue."""
        dated = self._currencies.get(symbol)
        return None if dated is None else self._rates[dated.at(at)].at(at)

    def rates(self) -> Mapping[str, Decimal]:
        """Return the current rates by symbol; a delisted symbol has its currency's last rate."""
        return {symbol: self._rates[dated.latest].latest for symbol, dated in self._currencies.items()}

    def changes(self, currencies: Mapping[str, str], rates: Mapping[str, Decimal], delisted: Mapping[str, str]) -> list[Change]:
        """Return what has to be recorded, in this order, to bring a catalogue into force.

        `currencies` are those of tradable symbols, `delisted` those of formerly tradable ones, both by symbol; `rates` are by currency.
        """
        newly = {name: rate for name, rate in rates.items() if name not in self._rates or self._rates[name].latest != rate}
        back = self.delisted & currencies.keys()
        listed = {symbol: name for symbol, name in {**delisted, **currencies}.items() if self.currency(symbol) != name or symbol in back}
        gone = sorted((self._currencies.keys() | delisted.keys()) - currencies.keys() - (self.delisted - listed.keys()))
        if not (newly or listed or gone):
            return []
        if len(listed) + len(gone) <= SYMBOLS_MAX:
            return [Change(newly, listed, tuple(gone))]
        return [
            Change(newly, {}, ()),
            *(Change({}, dict(part), ()) for part in _parts(list(listed.items()))),
            *(Change({}, {}, tuple(part)) for part in _parts(gone)),
        ]


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + SYMBOLS_MAX] for start in range(0, len(items), SYMBOLS_MAX))


def currency_of(instruments: Mapping[str, Instrument], known: Listings, symbol: str) -> str | None:
    """Return the currency of an instrument, or of a delisted one. None for a symbol that was in no catalogue."""
    instrument = instruments.get(symbol)
    return known.currency(symbol) if instrument is None else instrument.currency
