"""The rules of an order as the venues of this installation make them, for every service that is asked about an order."""

from collections.abc import Callable, Collection, Iterable, Mapping

from config.catalogue import VenueSettings
from domain.execution.auctions import auction_of
from domain.execution.order_rules import OrderRules
from domain.instruments import Denial, Instrument
from domain.market.trading_hours import Calendar
from domain.order.auction import Auction
from domain.ports import Clock
from domain.values import TimeInForce


def order_rules_of(
    instruments: Mapping[str, Instrument], venues: Collection[VenueSettings], may_trade: Callable[[str], bool], clock: Clock
) -> OrderRules:
    """Return the rules by the capabilities and trading hours of these venues. `may_trade`: whether an account is not closed."""
    hours = hours_of(venues)

    def auction(symbol: str, time_in_force: TimeInForce) -> Auction | Denial:
        return auction_of(time_in_force, hours.get(symbol, {}), clock.now_ns())

    return OrderRules(instruments, may_trade, icebergs=icebergs_of(venues), auction_of=auction)


def icebergs_of(venues: Iterable[VenueSettings]) -> frozenset[str]:
    """Return the symbols that some venue trades which supports icebergs."""
    return frozenset(symbol for venue in venues if venue.icebergs for symbol in venue.symbols)


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
