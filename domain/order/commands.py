"""Commands to an order, in the imperative. A venue's reports are commands too, and may not be refused."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from domain.order.algo_commands import AlgoCommand as AlgoCommand
from domain.order.algo_commands import AlgoServiceCommand as AlgoServiceCommand
from domain.order.auction import Auction
from domain.order.command import ClientCommand as ClientCommand
from domain.order.command import Command as Command
from domain.order.command import ExeqCommand as ExeqCommand
from domain.order.command import RiskDecision as RiskDecision
from domain.order.events import Candidate, Leg
from domain.order.group import ListTerms as ListTerms
from domain.order.trail import Trail
from domain.values import Liquidity, OrderType, Side, TimeInForce


class Terms(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The terms that the client asked for, validated and with an order id."""

    order_id: str
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
    """The money that `quantity` was made from, and the quote that it was made with (None for a limit order, whose price decided)."""
    display_quantity: Decimal | None = None
    """Of an iceberg: how much of it a venue shows at a time."""
    replaces: str = ""
    """The order that would get these terms. `order_id` is then the id of the replace, and `quantity` what would be left to trade."""
    trail: Trail | None = None
    extended_hours: bool = False
    """The client asked for trading outside the session. Only orders for venues that never close have it."""


class SubmitOrder(ClientCommand, frozen=True, kw_only=True, tag="submit", gc=False):
    """`at_once`: a held leg is queued too, because what it covers has traded already."""

    terms: Terms
    decision: RiskDecision
    at_once: bool = False


class CancelOrder(ClientCommand, frozen=True, kw_only=True, tag="cancel", gc=False):
    source: str = "client"
    reason: str = "requested"


class ReplaceOrder(ClientCommand, frozen=True, kw_only=True, tag="replace", gc=False):
    """New terms; a term that is None stays unchanged.

    `replace_id` names the terms that these follow. `decision` is risk's, set if the new terms can increase exposure. `client_order_id` is
    the client's name for the new terms: the sender has checked that nothing else in the account has it.
    """

    replace_id: str
    client_order_id: str = ""
    quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    source: str = "client"
    decision: RiskDecision | None = None
    trail: Trail | None = None


class ExpireOrder(Command, frozen=True, kw_only=True, tag="expire", gc=False):
    """The order's time is over. Without a venue it expires at once; otherwise its venue is asked to cancel it."""

    reason: str


class TakeShard(Command, frozen=True, kw_only=True, tag="take_shard", gc=False):
    """An exeq takes over the sending. Recorded only if `before` is the current epoch, so a late or duplicate request has no effect.

    `met` is the largest epoch that a venue has seen; the new epoch is above it.
    """

    order_id: str = ""
    unit: str
    sender: str
    before: int = 0
    met: int = 0


class TriggerOrder(ExeqCommand, frozen=True, kw_only=True, tag="trigger", gc=False):
    """The market reached the stop price of an order that waits at exeq. oms fills in `waits_for`: see OrderTriggered.

    `stop_price` and `best`: those of a trailing stop, which may be tighter than the last recorded ones.
    """

    venue: str
    price: Decimal
    waits_for: tuple[str, ...] = ()
    stop_price: Decimal | None = None
    best: Decimal | None = None


class TrailStop(ExeqCommand, frozen=True, kw_only=True, tag="trail", gc=False):
    """A trailing stop followed the market: `best` is the best price that it has seen, at `venue`."""

    venue: str
    stop_price: Decimal
    best: Decimal


class ReleaseHeld(ExeqCommand, frozen=True, kw_only=True, tag="release_held", gc=False):
    """The opening or closing that an order waits for at exeq has come. It may be routed from now on."""


class RouteOrder(ExeqCommand, frozen=True, kw_only=True, tag="route", gc=False):
    legs: tuple[Leg, ...]
    policy: str
    candidates: tuple[Candidate, ...] = ()


class RefuseRoute(ExeqCommand, frozen=True, kw_only=True, tag="refuse_route", gc=False):
    """exeq found no venue that accepts the order, or (with `route_id`) did not send a recorded route."""

    reason: str
    route_id: str | None = None
    detail: str | None = None


class DoubtRoute(ExeqCommand, frozen=True, kw_only=True, tag="doubt_route", gc=False):
    """A venue has not answered for a route within its deadline.

    `anyway`: the route is in doubt even if the venue answered before, because the venue went away or its report cannot be read.
    """

    route_id: str
    reason: str
    anyway: bool = False


class ConfirmRoute(ExeqCommand, frozen=True, kw_only=True, tag="confirm_route", gc=False):
    """Evidence: the venue, asked for the route, reports that it works. `cancelling`: the venue has not answered its cancel yet."""

    route_id: str
    venue_order_id: str = ""
    cancelling: bool = False


class Outcome(StrEnum):
    """What an operator found at the venue."""

    NEVER_ARRIVED = "never_arrived"
    CANCELLED = "cancelled"
    WORKING = "working"
    FILLED = "filled"


class SettleOrder(ClientCommand, frozen=True, kw_only=True, tag="settle", gc=False):
    """An operator settles an order in doubt.

    Only `filled` has a trade. `route_id` may be omitted if only one route can be meant.
    """

    outcome: Outcome
    who: str
    reason: str
    route_id: str | None = None
    venue_order_id: str = ""
    exec_id: str = ""
    quantity: Decimal | None = None
    price: Decimal | None = None
    fee: Decimal | None = None


class RouteAbsent(ExeqCommand, frozen=True, kw_only=True, tag="route_absent", gc=False):
    """Evidence: the venue, asked repeatedly for all orders it ever had, does not know the route."""

    route_id: str
    evidence: str


class ReportKind(StrEnum):
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    FILL = "fill"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    CANCEL_REJECTED = "cancel_rejected"
    REPLACED = "replaced"
    REPLACE_REJECTED = "replace_rejected"
    BUST = "bust"
    CORRECTION = "correction"


class VenueReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One execution report, as it travels in lists on `venue.<venue>.reports.<shard>`, and alone on `fills.<account>`.

    `report_seq` has no gaps per venue and shard; 0 means no number. `ref_exec_id` of a correction is the trade that it replaces.
    A report of a replaced order carries its terms.
    """

    report: ReportKind
    order_id: str
    route_id: str
    venue: str
    report_seq: int
    at: int
    account: str
    symbol: str
    side: Side
    venue_order_id: str = ""
    exec_id: str = ""
    quantity: Decimal | None = None
    price: Decimal | None = None
    fee: Decimal | None = None
    liquidity: Liquidity | None = None
    reason: str = ""
    stop_price: Decimal | None = None
    replace_id: str = ""
    ref_exec_id: str = ""


class VenueRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One request, as it travels in lists on `venue.<venue>.requests.<shard>`, and alone on `orders.<account>.<verb>`.

    A replace carries the new terms of the route. `display_quantity`: the venue shows no more than that of the route at a time; all of it if
    the quantity is not larger. `unit` and `epoch` name the exeq that sends it: a venue takes nothing of an epoch below
    the largest that it has seen.
    """

    order_id: str
    route_id: str
    venue: str
    account: str
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    expire_at: int | None = None
    shard: int = 0
    unit: str = ""
    epoch: int = 0
    sent_at: int = 0
    post_only: bool = False
    reduce_only: bool = False
    replace_id: str = ""
    display_quantity: Decimal | None = None


class BookReport(Command, frozen=True, kw_only=True, tag="book_report", gc=False):
    """The venue has what the journal lacks, or the reverse, found outside of its session. Booked like the venue's own report."""

    report: VenueReport


class SetReportAside(Command, frozen=True, kw_only=True, tag="set_report_aside", gc=False):
    """A venue sent a report that cannot be applied, whatever was requested, and that may have been a trade. `report` is its text."""

    venue: str
    report: str
    report_seq: int = 0
    reason: str = "unreadable"


class ReleaseOrder(Command, frozen=True, kw_only=True, tag="release", gc=False):
    """A held leg is queued, or a triggered stop no longer waits for the other exit of its list (`forced`: which has not ended)."""

    forced: bool = False


class RecordList(ClientCommand, frozen=True, kw_only=True, tag="record_list", gc=False):
    """A list was accepted or rejected, in the commit that submits its orders. `order_id`, here and below, is the lead's."""

    list: ListTerms
    members: tuple[str, ...]
    rejected: bool = False


class CancelList(ClientCommand, frozen=True, kw_only=True, tag="cancel_list", gc=False):
    """A client cancels a list; with `exits` also the legs that protect a position."""

    exits: bool = False


class FlagList(Command, frozen=True, kw_only=True, tag="flag_list", gc=False):
    flag: str
    leg: str
    reason: str = ""


class ExtendList(Command, frozen=True, kw_only=True, tag="extend_list", gc=False):
    """`member`, which was just submitted, takes the place of `instead_of`."""

    member: str
    instead_of: str


class EndList(Command, frozen=True, kw_only=True, tag="end_list", gc=False):
    reason: str


ListCommand = RecordList | CancelList | FlagList | ExtendList | EndList

OrderCommand = (
    SubmitOrder
    | CancelOrder
    | ReplaceOrder
    | ExpireOrder
    | TriggerOrder
    | ReleaseHeld
    | TrailStop
    | RouteOrder
    | RefuseRoute
    | DoubtRoute
    | ConfirmRoute
    | RouteAbsent
    | SettleOrder
    | VenueReport
    | BookReport
    | SetReportAside
    | ReleaseOrder
    | ListCommand
)

ServiceCommand = (
    CancelOrder
    | TriggerOrder
    | TrailStop
    | ReleaseHeld
    | RouteOrder
    | RefuseRoute
    | DoubtRoute
    | ConfirmRoute
    | RouteAbsent
    | BookReport
    | TakeShard
    | AlgoServiceCommand
)
"""The commands that other services may send to oms, in lists."""


class CommandAnswer(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The reply of oms to a service command: recorded in the journal at `seq`, or refused with a stable `code`.

    `state` is set if the order's state allows no such step, `epoch` (the owner's) if another exeq has the shard, `detail` if the command
    cannot be read.
    """

    ok: bool
    code: str | None = None
    seq: int | None = None
    state: str | None = None
    epoch: int = 0
    detail: str | None = None
