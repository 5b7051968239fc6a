"""The parts of an order's state: its routes, trades, and what is pending."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from domain.order.trail import Trail
from domain.values import ZERO


class Route(msgspec.Struct, frozen=True, gc=False):
    """The part of an order at one venue. `live` while the venue may still trade it; `ended` once the venue reported that it will not."""

    route_id: str
    venue: str
    quantity: Decimal
    cum_quantity: Decimal = ZERO
    venue_order_id: str = ""
    ended: bool = False

    @property
    def live(self) -> bool:
        return not self.ended and self.cum_quantity < self.quantity

    @property
    def leaves_quantity(self) -> Decimal:
        return self.quantity - self.cum_quantity if self.live else ZERO


Routes = tuple[Route, ...]


class Trade(msgspec.Struct, frozen=True, gc=False):
    venue: str
    exec_id: str
    route_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    busted: bool = False


class Asked(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The numbers of an order as first submitted, or as wanted."""

    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    trail: Trail | None = None


class Replacing(msgspec.Struct, frozen=True, gc=False):
    """New terms that a venue was asked for and has not answered, and the price at which they would be counted."""

    replace_id: str
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    reference: Decimal | None


class Parked(msgspec.Struct, frozen=True, gc=False):
    """A bust or correction that arrived before its trade: the whole report, as JSON."""

    venue: str
    exec_id: str
    report: str


class _Named(msgspec.Struct):
    """The trade that a pending report refers to."""

    exec_id: str = ""
    ref_exec_id: str = ""


def parked(venue: str, report: str) -> Parked:
    """Return what is kept of a report in JSON, under the trade that it is about."""
    named = msgspec.json.decode(report, type=_Named)
    return Parked(venue, named.ref_exec_id or named.exec_id, report)


def changed(routes: Routes, route_id: str, changes: Mapping[str, object]) -> Routes:
    return tuple(msgspec.structs.replace(r, **changes) if r.route_id == route_id else r for r in routes)


def counted(routes: Routes, trades: Sequence[Trade]) -> Routes:
    """Return the routes with what each of them has traded."""
    return tuple([_counted(route, trades) for route in routes])


def _counted(route: Route, trades: Sequence[Trade]) -> Route:
    cum = ZERO
    for trade in trades:
        if trade.route_id == route.route_id:
            cum += trade.quantity
    return route if cum == route.cum_quantity else msgspec.structs.replace(route, cum_quantity=cum)
