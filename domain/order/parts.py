"""The parts of an order's state: its routes, trades, and what is pending."""

from decimal import Decimal

import msgspec

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


class Trade(msgspec.Struct, frozen=True, gc=False):
    venue: str
    exec_id: str
    route_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    busted: bool = False


class Asked(msgspec.Struct, frozen=True, gc=False):
    """The numbers of an order as first submitted."""

    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None


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
