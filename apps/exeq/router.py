"""Applies the routing policy to the quotes, the status of each venue, and the tokens that a route costs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from domain.execution.projection import Executions
from domain.execution.routing import WELL, NoRoute, RoutedVenue, Routing, VenueStatus, route
from domain.execution.token_bucket import TokenBucket
from domain.instruments import Instrument
from domain.market.depth import KnownDepths
from domain.market.quotes import Market
from domain.order.events import OrderSubmitted
from domain.ports import Clock

THROTTLED: Final = VenueStatus(closed="throttled", waits=True)
BACKED_OFF: Final = VenueStatus(closed="backed off")
KILLED: Final = VenueStatus(closed="killed")
DISCONNECTED: Final = VenueStatus(closed="disconnected")


class RoutingRules(msgspec.Struct, frozen=True):
    """The configured routing rules. `hold`: orders that no venue can take wait instead of being rejected. `away_wait_ns`: how long they
    wait in any case when a venue is only temporarily unavailable, for example during a restart."""

    policy: str
    quote_age_max_ns: int
    pin: str | None = None
    hold: bool = False
    health: bool = True
    away_wait_ns: int = 0


def throttles_of(venues: Iterable[RoutedVenue]) -> dict[str, TokenBucket]:
    """Return the rate of each venue."""
    return {venue.name: TokenBucket(venue.orders_per_sec, venue.burst) for venue in venues}


class Router:
    """Decides one order at a time. `disconnected` are venues whose session does not answer; a `killed` venue gets no orders.

    Ages of quotes, tokens and pauses are intervals: they use the monotonic clock, so changes of the wall clock do not affect them.
    """

    def __init__(
        self,
        venues: Mapping[str, RoutedVenue],
        instruments: Mapping[str, Instrument],
        market: Market,
        clock: Clock,
        rules: RoutingRules,
        executions: Executions,
        *,
        killed: Callable[[str], bool],
        depths: KnownDepths | None = None,
        throttles: dict[str, TokenBucket] | None = None,
    ) -> None:
        """`depths` are the books behind the quotes; without them the touch counts. `throttles`: of the venues, if several routers share
        their rates."""
        self.venues = venues
        self.rules = rules
        self.disconnected: set[str] = set()
        self._killed = killed
        self.throttles = throttles or throttles_of(venues.values())
        self._instruments = instruments
        self._market = market
        self._clock = clock
        self._executions = executions
        self._depths = depths

    def decide(self, order: OrderSubmitted, *, take: bool = True) -> Routing | NoRoute:
        """Return a route, with its tokens taken unless `take` is false, or the reason why no venue is available."""
        now, depths = self._clock.monotonic_ns(), self._depths
        since = now - self.rules.quote_age_max_ns
        found = route(
            order,
            self.venues.values(),
            self._market.quotes(order.symbol, since),
            self.rules.policy,
            standings=self.standings(now),
            instrument=self._instruments.get(order.symbol),
            pin=self.rules.pin,
            tried=self._executions.tried(order.order_id),
            depth_of=None if depths is None else lambda quote: depths.of(quote, since),
        )
        if take and isinstance(found, Routing):
            for leg in found.legs:
                self.throttles[leg.venue].take(now)
        return found

    def standings(self, now: int) -> dict[str, VenueStatus]:
        """Return the status of each venue. `now`: monotonic nanoseconds."""
        return {name: self._standing(name, now) for name in self.venues}

    def _standing(self, name: str, now: int) -> VenueStatus:
        if self._killed(name):
            return KILLED
        if name in self.disconnected:
            return DISCONNECTED
        health = self._executions.health.get(name)
        if health is not None and self.rules.health and health.backed_off(now):
            return BACKED_OFF
        if not self.throttles[name].ready(now):
            return THROTTLED
        if health is not None and self.rules.health and (penalty := health.penalty_bps):
            return VenueStatus(penalty_bps=penalty)
        return WELL

    def token_in_s(self) -> float:
        """Return the seconds until the first throttled venue has a token again; 0 when none is throttled."""
        now = self._clock.monotonic_ns()
        waits = [wait for throttle in self.throttles.values() if (wait := throttle.wait_ns(now)) > 0]
        return min(waits, default=0) / 1e9

    def back_off(self, venues: set[str]) -> None:
        """Back off from venues that just rejected too many orders in a row. Empties the set."""
        now = self._clock.monotonic_ns()
        while venues:
            self._executions.health_of(venues.pop()).back_off(now)

    def silent(self, venues: Iterable[str]) -> None:
        """Note for venue health that these venues let a route's deadline pass."""
        now = self._clock.monotonic_ns()
        for name in venues:
            self._executions.health_of(name).silent(now)
