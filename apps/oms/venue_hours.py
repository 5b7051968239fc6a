"""The trading hours of the configured venues, by symbol."""

from collections.abc import Iterable

from config.catalogue import VenueSettings
from domain.market.trading_hours import Calendar


def calendars_of(venues: Iterable[VenueSettings]) -> dict[str, list[Calendar]]:
    """Collect the trading hours of every venue of a symbol: the day of an unrouted order ends when the last of them closes."""
    return {symbol: list(by_venue.values()) for symbol, by_venue in hours_of(venues).items()}


def hours_of(venues: Iterable[VenueSettings]) -> dict[str, dict[str, Calendar]]:
    """Return the trading hours of every venue of a symbol, by symbol and venue."""
    found: dict[str, dict[str, Calendar]] = {}
    for venue in venues:
        for symbol in venue.symbols:
            found.setdefault(symbol, {})[venue.name] = venue.rules.calendar
    return found
