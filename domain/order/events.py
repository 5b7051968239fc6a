"""Events, in the past tense. Each carries the state that it led to, so that a reader needs no state machine to follow."""

from decimal import Decimal

from domain.order.algo import ALGO_EVENTS as ALGO_EVENTS
from domain.order.algo import AlgoAmended as AlgoAmended
from domain.order.algo import AlgoEnded as AlgoEnded
from domain.order.algo import AlgoEnding as AlgoEnding
from domain.order.algo import AlgoPaused as AlgoPaused
from domain.order.algo import AlgoResumed as AlgoResumed
from domain.order.algo import AlgoSliced as AlgoSliced
from domain.order.algo import AlgoStarted as AlgoStarted
from domain.order.algo import AlgoSubmitted as AlgoSubmitted
from domain.order.algo import AnyAlgoEvent as AnyAlgoEvent
from domain.order.auction import Auction
from domain.order.event import Event as Event
from domain.order.event import Requested as Requested
from domain.order.group import AnyListEvent
from domain.order.group import ListCancelRequested as ListCancelRequested
from domain.order.group import ListEnded as ListEnded
from domain.order.group import ListExtended as ListExtended
from domain.order.group import ListFlagged as ListFlagged
from domain.order.group import ListSubmitted as ListSubmitted
from domain.order.journal_events import Foreign as Foreign
from domain.order.journal_events import JournalAccepted as JournalAccepted
from domain.order.journal_events import ShardHeld as ShardHeld
from domain.order.journal_events import ShardReleased as ShardReleased
from domain.order.journal_events import ShardTaken as ShardTaken
from domain.order.legs import Candidate as Candidate
from domain.order.legs import Leg as Leg
from domain.order.trail import Trail
from domain.values import Liquidity, OrderType, Side, TimeInForce


class OrderSubmitted(Requested, frozen=True, kw_only=True, tag=True, gc=False):
    """The terms as they were asked for.

    `notional`: the client asked for so much money, and oms made `quantity` of it. `quote` is the one that it used; None for a limit order,
    whose price decided. Repetition of the order compares the money, since another quote makes another quantity.

    `auction`: the opening or closing that an order with opg or cls waits for. It is not routed before OrderReleased.
    `group_id` and `role`: the order's list, and what it does there. `exclusive`: a stop that waits at exeq in any case, and once triggered
    until the other exit of its list has ended.
    `display_quantity`: the order is an iceberg, of which a venue shows no more than that at a time.
    `trail`: a trailing stop, which waits at exeq in any case. Its `stop_price` is the first one, if the client gave one.
    `extended_hours`: the client asked for trading outside the session; only orders for venues that never close have it.
    """

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
    auction: Auction | None = None
    priority: int = 0
    post_only: bool = False
    reduce_only: bool = False
    group_id: str = ""
    role: str = ""
    exclusive: bool = False
    notional: Decimal | None = None
    quote: Candidate | None = None
    display_quantity: Decimal | None = None
    trail: Trail | None = None
    extended_hours: bool = False


class OrderRiskChecked(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """All checks passed; the exposure is reserved. `reference` is the price used for valuation. `checks`: see risk/decision_record.py."""

    limits_version: int
    checks: str = ""
    reference: Decimal | None = None


class OrderQueued(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """The order waits for a venue.

    With a `venue`, it waits again: that venue refused it for a reason of its own, and others may be left.
    """

    route_id: str | None = None
    venue: str | None = None
    reason: str | None = None
    report_seq: int | None = None


class OrderTriggered(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """The market reached the stop price while no venue had the order: it is a market or limit order from now on. `price` is the touch.

    `waits_for`: orders of its list that must have ended first. It is not routed before OrderReleased. Of a trailing stop: `stop_price` and
    `best` are the ones that it had then, `price` is of the kind that it follows, and `limit_price` is its limit, if it has one.
    """

    venue: str
    price: Decimal
    waits_for: tuple[str, ...] = ()
    stop_price: Decimal | None = None
    best: Decimal | None = None
    limit_price: Decimal | None = None


class StopTrailed(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A trailing stop followed the market to a tighter stop price. `best` is the best price that it has seen, at `venue`."""

    venue: str
    stop_price: Decimal
    best: Decimal


class OrderReleased(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A triggered stop no longer waits for another exit of its list. `forced`: the other had not ended within its time.

    With a `venue`, the order waited for the opening or closing of a session there, which has come.
    """

    forced: bool = False
    venue: str = ""


class OrderRejected(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """The order was refused by `source` (oms, risk, exeq or venue); the measured values are included."""

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
    """Journaled before it is sent: only the exeq named here sends the routes, after it reads this event back from the journal.

    `unit` and `epoch` are those of the exeq that requested it. Without an epoch (older journals) no exeq sends it; its venue is queried.
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
    """One route ended, and not because a trade of its own ended the order; others still work.

    Without a `report_seq` no venue reported it.
    """

    route_id: str
    venue: str
    reason: str
    report_seq: int | None = None


class OrderInDoubt(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A venue did not answer for a route. Exposure is counted at the worst case until there is evidence."""

    route_id: str
    venue: str
    reason: str


class DoubtSettled(Requested, frozen=True, kw_only=True, tag=True, gc=False):
    """An operator settled an order in doubt; the events that follow from it come next.

    `outcome`: never_arrived, cancelled, working or filled.
    """

    route_id: str
    venue: str
    outcome: str
    who: str
    reason: str


class OrderFilled(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A trade, partial or last.

    `late`: after the order was closed. `overfill`: beyond its quantity. `corrects`: the trade that it replaces.
    """

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

    Without a `report_seq` the bust arrived before its trade and was pending until then.
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


class CancelRequested(Requested, frozen=True, kw_only=True, tag=True, gc=False):
    """Journaled before it is sent, like a route."""

    source: str
    reason: str


class CancelRejected(Event, frozen=True, kw_only=True, tag=True, gc=False):
    reason: str
    venue: str
    report_seq: int | None = None


class ReplaceRequested(Requested, frozen=True, kw_only=True, tag=True, gc=False):
    """A replace, journaled before it is sent. `leg` is the route with its new terms.

    The old terms apply until the venue has answered; the order is counted at the worse of both. In the three events of a replace
    `leaves_quantity` and `reference` are what the order may still trade and the price it is counted at. `client_order_id` is the client's
    name for the new terms, never used for anything else in the account; empty if it gave none.
    """

    replace_id: str
    client_order_id: str = ""
    leg: Leg
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    leaves_quantity: Decimal
    reference: Decimal | None = None
    limits_version: int | None = None
    checks: str = ""


class OrderReplaced(Requested, frozen=True, kw_only=True, tag=True, gc=False):
    """The order has these terms now: its venue reported them, or no venue had the order yet.

    `client_order_id`: as in ReplaceRequested, for a replace that no venue was asked for. `trail`: of a trailing stop, if it changed.
    """

    replace_id: str
    client_order_id: str = ""
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
    trail: Trail | None = None


class ReplaceRejected(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """The venue keeps the old terms."""

    replace_id: str
    reason: str
    leaves_quantity: Decimal
    reference: Decimal | None = None
    venue: str
    report_seq: int | None = None


class ReplaceRefused(Requested, frozen=True, kw_only=True, tag=True, gc=False):
    """Risk refused the new terms, so no venue was asked. The order is unchanged."""

    source: str
    reason: str
    found: str | None = None
    limit: str | None = None
    unit: str | None = None
    limits_version: int | None = None
    checks: str = ""


class OrderCancelled(Requested, frozen=True, kw_only=True, tag=True, gc=False):
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
    """A step was requested that the table does not have. Counted and alarmed; the order is unchanged.

    Recorded only if a venue's report caused it.
    """

    trigger: str
    source: str
    detail: str | None = None


class ReportQuarantined(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A venue's report that cannot be applied yet: it names an unknown order, or contradicts a booked trade. It is never dropped."""

    reason: str
    venue: str
    report_seq: int | None = None
    report: str


OrderEvent = (
    OrderSubmitted
    | OrderRiskChecked
    | OrderQueued
    | OrderTriggered
    | StopTrailed
    | OrderReleased
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
    | AnyListEvent
    | AnyAlgoEvent
    | JournalAccepted
    | ShardTaken
    | ShardHeld
    | ShardReleased
)

OF_NO_ORDER: tuple[type[Event], ...] = (*ALGO_EVENTS, JournalAccepted, ShardTaken, ShardHeld, ShardReleased)
"""Events of parents and about the journal itself; every fold of orders ignores them."""

EVENTS: tuple[type[Event], ...] = OrderEvent.__args__  # all event types, in the order of an order's life
