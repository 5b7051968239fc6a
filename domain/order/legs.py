"""Where an order may go and where it goes: the venues as the router saw them, and the parts sent to them."""

from decimal import Decimal

import msgspec


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One venue as the router saw it. `cost` is the all-in price of one unit: the touch plus (buy) or minus (sell) the taker fee.

    `penalty_bps` is what poor venue health added when costs were compared; `note` is the reason why the venue could not be chosen.
    `quote_seq` is the venue's own number of the quote, so that the comparison can be repeated on recorded market data; None for quotes
    without a number (simulated ones).

    `levels` are the prices and shown sizes that the whole order would have met there, touch first, of the book with the number `depth_seq`;
    `cost` is then the average over them, rounded to 12 places. They are empty if the touch showed enough, or the venue showed no depth.
    """

    venue: str
    bid: Decimal | None = None
    ask: Decimal | None = None
    size: Decimal | None = None
    cost: Decimal | None = None
    note: str | None = None
    penalty_bps: Decimal | None = None
    quote_seq: int | None = None
    levels: tuple[tuple[Decimal, Decimal], ...] = ()
    depth_seq: int | None = None


class Leg(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A part of an order sent to one venue.

    `display_quantity`: how much of it the venue may show at a time; None: all, and in a replace as before.
    """

    route_id: str
    venue: str
    quantity: Decimal
    display_quantity: Decimal | None = None
