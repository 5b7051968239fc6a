"""Facts, in the past tense. Each carries the state it led to, so that a reader needs no machine to follow."""

from decimal import Decimal

import msgspec

from domain.order.lifecycle import State
from domain.values import Liquidity, OrderType, Side, TimeInForce


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="type", gc=False):
    """What every event says: whose it is, when it was decided (nanoseconds UTC), and the order's state after it."""

    order_id: str
    at: int
    status: State


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One venue as the router saw it. `cost` is the all-in price of one unit: the touch plus (buy) or minus (sell) the taker fee.

    `penalty_bps` is what the venue's ill health added when costs were compared; `note` says why it could not be chosen.
    """

    venue: str
    bid: Decimal | None = None
    ask: Decimal | None = None
    size: Decimal | None = None
    cost: Decimal | None = None
    note: str | None = None
    penalty_bps: Decimal | None = None


class Leg(msgspec.Struct, frozen=True, gc=False):
    """A part of an order sent to one venue."""

    route_id: str
    venue: str
    quantity: Decimal


class OrderSubmitted(Event, frozen=True, kw_only=True, tag=True, gc=False):
    account: str
    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    expire_at: int | None = None
    priority: int = 0
    post_only: bool = False
    reduce_only: bool = False


class OrderRiskChecked(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """All checks passed; the exposure is reserved. `reference`: what the order was valued at. `checks`: see risk/decision_record.py."""

    limits_version: int
    checks: str = ""
    reference: Decimal | None = None


class OrderQueued(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """It waits for a venue; with a `venue`, again: that one refused it for a reason of its own, and others may be left."""

    route_id: str | None = None
    venue: str | None = None
    reason: str | None = None
    report_seq: int | None = None


class OrderTriggered(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """The market has come to its stop price, while no venue had it: from now on it is a market or limit order. `price` is the touch."""

    venue: str
    price: Decimal


class OrderRejected(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """Refused by `source` (oms, risk, exeq or venue), with its numbers."""

    source: str
    reason: str
    found: str | None = None
    limit: str | None = None
    unit: str | None = None
    limits_version: int | None = None
    checks: str = ""
    route_id: str | None = None
    venue: str | None = None
    report_seq: int | None = None


class OrderRouted(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """Logged before the wire: the legs are sent only by the exeq that reads this back from the journal and is named here.

    `unit` and `epoch` are those of the exeq that asked for it. Without an epoch (older journals) no exeq sends it; it is asked about.
    """

    legs: tuple[Leg, ...]
    policy: str
    candidates: tuple[Candidate, ...] = ()
    unit: str = ""
    epoch: int = 0


class RouteAcknowledged(Event, frozen=True, kw_only=True, tag=True, gc=False):
    route_id: str
    venue: str
    venue_order_id: str
    report_seq: int | None = None


class RouteClosed(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """One leg ended without a trade of its own ending the order; others still work. Without a `report_seq` no venue said so."""

    route_id: str
    venue: str
    reason: str
    report_seq: int | None = None


class OrderInDoubt(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A venue did not answer for a route. Counted at the worst case until there is evidence."""

    route_id: str
    venue: str
    reason: str


class DoubtSettled(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """An operator's word on an order in doubt, before what follows from it. `outcome`: never_arrived, cancelled, working or filled."""

    route_id: str
    venue: str
    outcome: str
    who: str
    reason: str


class OrderFilled(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A trade, partial or last. `late`: after the order was closed; `overfill`: beyond its quantity; `corrects`: the one it replaces."""

    account: str
    client_order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    liquidity: Liquidity
    exec_id: str
    venue: str
    route_id: str
    report_seq: int | None = None
    late: bool = False
    overfill: bool = False
    corrects: str | None = None


class TradeBusted(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """The venue took a trade back. Quantity, price and fee are those of the trade, so that a fold can reverse it.

    Without a `report_seq` the bust had come before its trade and was parked until then.
    """

    account: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    exec_id: str
    venue: str
    report_seq: int | None = None


class CancelRequested(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """Logged before the wire, like a route."""

    source: str
    reason: str


class CancelRejected(Event, frozen=True, kw_only=True, tag=True, gc=False):
    reason: str
    venue: str
    report_seq: int | None = None


class ReplaceRequested(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """Logged before the wire: `leg` as it is to be. The old terms rule until the venue has answered; the order counts at the worse of both.

    In the three events of a replace `leaves_quantity` and `reference` are what the order may still trade and the price it is counted at.
    """

    replace_id: str
    leg: Leg
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    leaves_quantity: Decimal
    reference: Decimal | None = None
    limits_version: int | None = None
    checks: str = ""


class OrderReplaced(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """The order has these terms now: its venue said so, or no venue had it yet."""

    replace_id: str
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    leaves_quantity: Decimal
    reference: Decimal | None = None
    limits_version: int | None = None
    checks: str = ""
    route_id: str | None = None
    venue: str | None = None
    report_seq: int | None = None


class ReplaceRejected(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """The venue keeps the old terms."""

    replace_id: str
    reason: str
    leaves_quantity: Decimal
    reference: Decimal | None = None
    venue: str
    report_seq: int | None = None


class ReplaceRefused(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """Never asked of a venue: risk would not have the new terms. The order did not move."""

    source: str
    reason: str
    found: str | None = None
    limit: str | None = None
    unit: str | None = None
    limits_version: int | None = None
    checks: str = ""


class OrderCancelled(Event, frozen=True, kw_only=True, tag=True, gc=False):
    source: str
    reason: str
    route_id: str | None = None
    venue: str | None = None
    report_seq: int | None = None


class OrderExpired(Event, frozen=True, kw_only=True, tag=True, gc=False):
    source: str
    reason: str
    route_id: str | None = None
    venue: str | None = None
    report_seq: int | None = None


class TransitionRefused(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """Somebody asked for a step that the table lacks. Counted and alarmed; the order did not move. Recorded only when a venue said it."""

    trigger: str
    source: str
    detail: str | None = None


class ReportQuarantined(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A venue's report that nobody may apply yet: it names an unknown order, or contradicts a trade already booked. Never dropped."""

    reason: str
    venue: str
    report_seq: int | None = None
    report: str


class Foreign(msgspec.Struct, frozen=True, gc=False):
    """A message in a journal's stream that is no commit: no writer of ours made it, so nothing in it was ever acknowledged."""

    seq: int
    sha256: str


class JournalAccepted(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """An operator accepted that the journal continues from a sequence, although it had been acknowledged up to another.

    `skipped` are foreign messages that the operator named; the chain leads past them. The event belongs to no order: `order_id` and
    `status` say nothing, and every fold ignores it.
    """

    order_id: str = ""
    status: State = State.NEW
    who: str
    reason: str
    goes_on_from: int
    acknowledged_to: int
    skipped: tuple[Foreign, ...] = ()


class ShardTaken(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A process took over the sending for this shard. Its epoch is the number of this commit; `before` is the epoch that it ends.

    `sender` names the process, so that it recognises its own. `met` is the largest epoch that a venue had met: where a journal was
    accepted after a loss, its commits are numbered from a lower number again, and the epoch is then one above `met`.
    It belongs to no order: `order_id` and `status` say nothing.
    """

    order_id: str = ""
    status: State = State.NEW
    unit: str
    sender: str
    before: int = 0
    met: int = 0


class ShardHeld(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """The writer of this shard could write: what it knew then was the truth. Appended on a cluster when a read needs that proof.

    It belongs to no order: `order_id` and `status` say nothing.
    """

    order_id: str = ""
    status: State = State.NEW
    unit: str


OrderEvent = (
    OrderSubmitted
    | OrderRiskChecked
    | OrderQueued
    | OrderTriggered
    | OrderRejected
    | OrderRouted
    | RouteAcknowledged
    | RouteClosed
    | OrderInDoubt
    | DoubtSettled
    | OrderFilled
    | TradeBusted
    | CancelRequested
    | CancelRejected
    | ReplaceRequested
    | OrderReplaced
    | ReplaceRejected
    | ReplaceRefused
    | OrderCancelled
    | OrderExpired
    | TransitionRefused
    | ReportQuarantined
    | JournalAccepted
    | ShardTaken
    | ShardHeld
)

OF_NO_ORDER = (JournalAccepted, ShardTaken, ShardHeld)
"""Facts about the journal itself: every fold of orders goes past them."""

EVENTS: tuple[type[Event], ...] = OrderEvent.__args__  # every kind of fact, in the order of an order's life
