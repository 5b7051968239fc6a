"""Venues with `session: plain`: programs that use only `orders.<account>.new` and `fills.<account>`, without routes and report numbers.

docs/venues.md states what such a session cannot guarantee. An ambiguous fill is kept and leaves the order in doubt.
"""

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec
import structlog

from adapters.codec import decoder
from apps.journal.shard_host import Landed, ShardHost
from domain.execution.routing import BPS, RoutedVenue
from domain.order.commands import ReportKind, SetReportAside, VenueReport
from domain.order.order import Order, Route
from domain.ports import Unavailable
from domain.values import IDENTIFIER, MONEY_PLACES, ZERO, Side, bounded, derived_id, divide

log = structlog.get_logger()

AMBIGUOUS_MAX: Final = 10_000
HELD_MAX: Final = 10_000
"""Fills kept while the journal is unavailable: they will not be sent again."""


class UnsequencedFill(msgspec.Struct):
    """A fill as the user's own gateway publishes it. Other fields are ignored. `exec_id`, if given, distinguishes equal fills."""

    account: str
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    order_id: str
    exec_id: str | None = None
    fee: Decimal | None = None


SIDES: Final = frozenset(str(side) for side in Side)
_FILL: Final = decoder(UnsequencedFill)

LIMITS: Final = (
    "no resend and no order status request: an order without a report within the deadline stays in doubt; "
    "a fill's id is derived from its content, so a second equal fill is kept and leaves the order in doubt; cancels are not answered"
)


class UnsequencedVenues:
    """Turns fills of unsequenced sessions into reports."""

    def __init__(self, host: ShardHost, venues: Iterable[RoutedVenue]) -> None:
        self._host = host
        self._venues = {venue.name: venue for venue in venues if venue.plain}
        self._ambiguous: dict[str, None] = {}
        self._held: deque[tuple[bytes, bool]] = deque()
        self.fills = 0
        self.repeated = 0
        for name in self._venues:
            log.warning("a venue has an unsequenced session", venue=name, limits=LIMITS)

    @property
    def any(self) -> bool:
        return bool(self._venues)

    def take(self, data: bytes) -> bool:
        """Book a fill of an unsequenced session. Return False when no such venue is configured, or the data is not a valid fill."""
        if not self._venues:
            return False
        try:
            fill: UnsequencedFill = _FILL.decode(data)
        except ValueError:
            return False
        if not IDENTIFIER.fullmatch(fill.order_id) or fill.side.lower() not in SIDES:
            return False
        if not self._host.has(fill.order_id):
            return True  # another shard books it
        self._try(fill, data, again=False)
        return True

    def recovered(self) -> None:
        """Book the fills that arrived while the journal was unavailable, and those that may not have been stored."""
        held, self._held = self._held, deque()
        for data, again in held:
            self._try(_FILL.decode(data), data, again=again)

    def _try(self, fill: UnsequencedFill, data: bytes, *, again: bool) -> None:
        if self._host.ready:
            try:
                self._book(fill, data, again=again)
            except Unavailable:
                self._hold(data, again=again)
        else:
            self._hold(data, again=again)

    def _hold(self, data: bytes, *, again: bool) -> None:
        if self._host.standby:
            again = True  # the unit that owns the shard books it; what it could not book is booked here when this unit takes the shard
            if len(self._held) >= HELD_MAX:
                self._held.popleft()
        if len(self._held) >= HELD_MAX:
            log.error(
                "a fill of an unsequenced session is lost: the journal was unavailable for too long",
                fill=data[:200].decode(errors="replace"),
            )
            return
        self._held.append((data, again))

    def _book(self, fill: UnsequencedFill, data: bytes, *, again: bool) -> None:
        """Book one fill. `again`: an earlier attempt may have been stored without an acknowledgement."""
        order = self._host.find(fill.order_id)
        route = self._route(order)
        venue = self._venues[route.venue] if route else next(iter(self._venues.values()))
        exec_id = fill.exec_id or derived_id("plain", data.decode(errors="replace"))
        if order is not None and route is None:
            self._keep(fill.order_id, venue, data, "not_routed_there")
        elif order is not None and order.trade(venue.name, exec_id) is not None:
            if not again:
                self._repeat(order, venue, data)
        else:
            self.fills += 1
            self._host.execute(self._report(fill, venue, route, exec_id), lambda outcome: self._stored(data, outcome))
            if order is not None and order.order_id in self._ambiguous:
                self._keep(order.order_id, venue, data, "ambiguous_fill")

    def _stored(self, data: bytes, outcome: Landed | Unavailable) -> None:
        if isinstance(outcome, Unavailable):
            self._hold(data, again=True)

    def _repeat(self, order: Order, venue: RoutedVenue, data: bytes) -> None:
        """Keep a repeated fill: it is a duplicate or a second equal trade. oms cannot decide which; the operator asks the venue."""
        self.repeated += 1
        if len(self._ambiguous) >= AMBIGUOUS_MAX:
            del self._ambiguous[next(iter(self._ambiguous))]
        self._ambiguous[order.order_id] = None
        self._keep(order.order_id, venue, data, "ambiguous_fill")

    def _keep(self, order_id: str, venue: RoutedVenue, data: bytes, reason: str) -> None:
        report = data.decode(errors="replace")
        self._host.execute(SetReportAside(order_id=order_id, venue=venue.name, reason=reason, report=report), _nothing)

    def _route(self, order: Order | None) -> Route | None:
        return next((route for route in order.routes if route.venue in self._venues), None) if order else None

    def _report(self, fill: UnsequencedFill, venue: RoutedVenue, route: Route | None, exec_id: str) -> VenueReport:
        return VenueReport(
            report=ReportKind.FILL,
            order_id=fill.order_id,
            route_id=route.route_id if route else "",
            venue=venue.name,
            report_seq=0,
            at=0,
            account=fill.account,
            symbol=fill.symbol,
            side=Side(fill.side.lower()),
            exec_id=exec_id,
            quantity=fill.quantity,
            price=fill.price,
            fee=_fee(fill, venue) if fill.fee is None else fill.fee,
        )


def _fee(fill: UnsequencedFill, venue: RoutedVenue) -> Decimal:
    """Compute the fee from the configured taker rate: the fill does not carry one."""
    if not bounded(fill.quantity) or not bounded(fill.price):
        return ZERO
    return divide(fill.quantity * abs(fill.price) * venue.taker_bps * BPS, Decimal(1), MONEY_PLACES)


def _nothing(outcome: Landed | Unavailable) -> None:
    """Ignore a note that could not be stored: its fill is logged."""
