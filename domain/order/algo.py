"""A parent: a quantity that an algo works over time with child orders. What it is, its events, and their fold.

A parent stands beside its children, which are ordinary orders with its id as `group_id` and the role `child`. Its quantities are a fold
of their events: no event of the parent states them while it works.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from domain.instruments import Denial
from domain.order.event import Event, Requested
from domain.order.legs import Candidate
from domain.order.lifecycle import State
from domain.values import ZERO, Side, TimeInForce, derived_id

CHILD: Final = "child"
"""The role of an order that a parent made."""
PARENT: Final = "parent"
"""The role of the terms in which risk is asked about a parent's full quantity. No order has it."""


SECOND_NS: Final = 1_000_000_000


class Strategy(StrEnum):
    TWAP = "twap"
    VWAP = "vwap"
    POV = "pov"
    SHORTFALL = "shortfall"
    ICEBERG = "iceberg"


class AlgoState(StrEnum):
    """`ending`: no further child is made, and the last one is being cancelled or in doubt. The last four are final."""

    ACCEPTED = "accepted"
    WORKING = "working"
    PAUSED = "paused"
    ENDING = "ending"
    DONE = "done"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"


ENDED: Final = frozenset({AlgoState.DONE, AlgoState.CANCELLED, AlgoState.EXPIRED, AlgoState.REJECTED})
LIVE: Final = frozenset({AlgoState.ACCEPTED, AlgoState.WORKING, AlgoState.PAUSED})
"""States in which a parent may be amended, paused, resumed or ended."""


class ChildPlace(StrEnum):
    """Where a child is priced: at the near touch, the mid, the far touch, or at the market."""

    NEAR = "near"
    MID = "mid"
    FAR = "far"
    MARKET = "market"


class CatchUp(StrEnum):
    """When what is behind the curve is made up for: over the remaining slices, with the next one, or not at all."""

    SPREAD = "spread"
    NEXT = "next"
    NONE = "none"


class OnEnd(StrEnum):
    CANCEL = "cancel"
    COMPLETE = "complete"


class PauseOn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """No slice trades while the spread, or the distance of the mid from the arrival mid, is larger. In basis points."""

    spread_bps_max: Decimal | None = None
    away_from_arrival_bps_max: Decimal | None = None


class AlgoParams(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How a parent works its quantity. A parameter that its strategy does not use has its default.

    `interval_sec`: from slice to slice. `child_life_sec`: how long a child works at most; None: one interval. `child_quantity_min` and
    `child_quantity_max` bound the quantity of a child, `participation_max_pct` its share of the size shown at the far touch.
    `variance_pct` (size) and `jitter_pct` (time) are drawn from `seed`. `display_quantity` and `display_variance_pct`: of an iceberg.
    """

    seed: int
    interval_sec: Decimal = Decimal(10)
    child: ChildPlace = ChildPlace.NEAR
    offset_ticks: int = 0
    child_life_sec: Decimal | None = None
    child_quantity_min: Decimal | None = None
    child_quantity_max: Decimal | None = None
    participation_max_pct: Decimal | None = None
    variance_pct: Decimal = ZERO
    jitter_pct: Decimal = ZERO
    catch_up: CatchUp = CatchUp.SPREAD
    on_end: OnEnd = OnEnd.CANCEL
    pause_on: PauseOn | None = None
    display_quantity: Decimal | None = None
    display_variance_pct: Decimal = ZERO


class AlgoTerms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A parent as its client asked for it. Times are nanoseconds UTC. `start_at` None: at once; `end_at` None: of an iceberg, never.

    `time_in_force` day: `end_at` was made from the end of the session. `seeded`: the seed was made here.
    """

    algo_id: str
    account: str
    client_algo_id: str
    symbol: str
    side: Side
    quantity: Decimal
    strategy: Strategy
    limit_price: Decimal | None = None
    start_at: int | None = None
    end_at: int | None = None
    params: AlgoParams
    time_in_force: TimeInForce = TimeInForce.GTC
    seeded: bool = False


class SliceInputs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """All that the decision on a slice depended on, besides the parent's terms: a later look at them must give the same quantity.

    `at`: when exeq looked (ns UTC). `quote`: the touch that it saw; None without one. `displayed`: the size shown at the far touch of all
    venues. `cum_quantity`, `working_quantity`, `doubtful_quantity`: of the parent, as exeq knew them. `lot`, `tick` and `notional_min`: of
    the catalogue.
    """

    at: int
    quote: Candidate | None = None
    displayed: Decimal | None = None
    cum_quantity: Decimal = ZERO
    working_quantity: Decimal = ZERO
    doubtful_quantity: Decimal = ZERO
    lot: Decimal | None = None
    tick: Decimal | None = None
    notional_min: Decimal | None = None


class AlgoEvent(Event, frozen=True, kw_only=True, gc=False):
    """An event of a parent. `order_id` is the parent's id; no order has it. `state` is the parent's after the event.

    It belongs to no order: `status` has no meaning, and folds of orders ignore it.
    """

    status: State = State.NEW
    state: AlgoState


class AlgoRequested(Requested, frozen=True, kw_only=True, gc=False):
    """An event of a parent that can follow from a client's request at once. Fields as in AlgoEvent."""

    status: State = State.NEW
    state: AlgoState


class AlgoSubmitted(AlgoRequested, frozen=True, kw_only=True, tag=True, gc=False):
    """A parent was accepted, or rejected with `denial`. `arrival` is the quote of that time; None if there was none.

    `reference` is the price that valued its quantity at risk, in the currency of its symbol.
    """

    terms: AlgoTerms
    arrival: Candidate | None = None
    denial: Denial | None = None
    source: str = ""
    limits_version: int = 0
    checks: str = ""
    reference: Decimal | None = None


class AlgoStarted(AlgoEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """The parent's time has come: slices follow."""


class AlgoSliced(AlgoEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """Slice `n`, counted from 1, was decided: its child was submitted in the same commit, after this event.

    With the quantity 0 it has no child, and `reason` says why. `due_at`: when the slice was due (ns UTC). `target`: what should have been
    done by then, or None for an iceberg.
    """

    n: int
    due_at: int
    inputs: SliceInputs
    target: Decimal | None = None
    quantity: Decimal
    child: str = ""
    reason: str = ""


class AlgoPaused(AlgoRequested, frozen=True, kw_only=True, tag=True, gc=False):
    """No slice follows until AlgoResumed. `keeps_child`: the open child is not cancelled."""

    source: str
    reason: str
    keeps_child: bool = False


class AlgoResumed(AlgoRequested, frozen=True, kw_only=True, tag=True, gc=False):
    source: str
    reason: str = ""


class AlgoAmended(AlgoRequested, frozen=True, kw_only=True, tag=True, gc=False):
    """The parent has these terms now: changed ones, and those that stay.

    `amend_id`: under which risk reserved what they may add, if it was asked; `reference` and the checks are then those of its decision.
    """

    amend_id: str = ""
    quantity: Decimal
    limit_price: Decimal | None = None
    end_at: int | None = None
    params: AlgoParams
    limits_version: int = 0
    checks: str = ""
    reference: Decimal | None = None


class AlgoEnding(AlgoRequested, frozen=True, kw_only=True, tag=True, gc=False):
    """No slice follows. The parent ends once its last child has. `reason`: cancelled, killed, symbol_blocked, expired or filled."""

    source: str
    reason: str


class AlgoEnded(AlgoEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """The parent has ended, with what it has traded by then. A later trade of a child still counts."""

    reason: str
    cum_quantity: Decimal
    notional: Decimal


AnyAlgoEvent = AlgoSubmitted | AlgoStarted | AlgoSliced | AlgoPaused | AlgoResumed | AlgoAmended | AlgoEnding | AlgoEnded
ALGO_EVENTS: Final[tuple[type[Event], ...]] = AnyAlgoEvent.__args__
"""Events of parents."""


class OpenChild(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A child that may still trade `leaves_quantity`. `doubtful`: its venue did not answer. `since`: when it was submitted (ns UTC)."""

    order_id: str
    n: int
    leaves_quantity: Decimal
    doubtful: bool = False
    since: int = 0


CANCELLED: Final = "cancelled"
KILLED: Final = "killed"
EXPIRED: Final = "expired"
FILLED: Final = "filled"
"""The reasons of the end of a parent; a block of its symbol is another one."""
REFUSALS: Final = "refusals"
"""The reason of a pause: its children were refused one after another."""
OMS: Final = "oms"
"""The source of what a parent's own rules decide."""
LATE_TRADE: Final = "late_trade"
OVERFILL: Final = "overfill"


class Parent(msgspec.Struct, kw_only=True, gc=False):
    """State of one parent.

    `start_at`: when it starts or has started, `end_at` when it must end (ns UTC). `slices` is the number of the last slice, and `due_at`
    when it was due. `children` counts the slices with an order; `open_children` are those that may still trade. `refusals`: children
    refused one after another. `keeps_child`: see AlgoPaused. `reason`: why it was paused, is ending or has ended. `flags` are never
    removed.
    `seqs`, `seen` and `commit` are bookkeeping of the host: the commits with its own events, the last commit that it contains with those
    of its children, and the ticket of its newest event.
    """

    algo_id: str
    account: str
    client_algo_id: str
    symbol: str
    side: Side
    quantity: Decimal
    strategy: Strategy
    limit_price: Decimal | None
    start_at: int
    end_at: int | None
    params: AlgoParams
    arrival: Candidate | None
    state: AlgoState
    created_at: int
    updated_at: int
    asked: AlgoTerms
    version: int = 1
    denial: Denial | None = None
    reference: Decimal | None = None
    limits_version: int = 0
    slices: int = 0
    due_at: int = 0
    children: int = 0
    open_children: tuple[OpenChild, ...] = ()
    cum_quantity: Decimal = ZERO
    notional: Decimal = ZERO
    fees: Decimal = ZERO
    refusals: int = 0
    keeps_child: bool = False
    source: str | None = None
    reason: str | None = None
    flags: tuple[str, ...] = ()
    seqs: tuple[int, ...] = ()
    seen: int = 0
    commit: int = 0

    @property
    def closed(self) -> bool:
        return self.state in ENDED

    @property
    def working_quantity(self) -> Decimal:
        """What children may still trade, without those in doubt."""
        return sum((child.leaves_quantity for child in self.open_children if not child.doubtful), ZERO)

    @property
    def doubtful_quantity(self) -> Decimal:
        """What children in doubt may have traded or may still trade: neither done nor to be sliced again."""
        return sum((child.leaves_quantity for child in self.open_children if child.doubtful), ZERO)

    @property
    def leaves_quantity(self) -> Decimal:
        return max(self.quantity - self.cum_quantity, ZERO)

    @property
    def free_quantity(self) -> Decimal:
        """What neither has traded nor is in a child that may trade: the most that another child may have."""
        return max(self.quantity - self.cum_quantity - self.working_quantity - self.doubtful_quantity, ZERO)

    @property
    def alert(self) -> bool:
        """Whether a person should look at it."""
        stopped = self.state is AlgoState.PAUSED and self.source == OMS
        return bool(self.flags) or stopped or any(child.doubtful for child in self.open_children)


class AlgoFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Selects parents of an account and in one of these states; None and empty select all."""

    account: str | None = None
    states: tuple[AlgoState, ...] = ()

    def takes(self, parent: Parent) -> bool:
        return self.account in (None, parent.account) and (not self.states or parent.state in self.states)


def algo_id_of(account: str, client_algo_id: str) -> str:
    """Return the parent's id, derived from what the client sent, so that a repeated request finds the same parent."""
    return derived_id("algo", account, client_algo_id)


def child_name_of(algo_id: str, n: int) -> str:
    """Return the client_order_id of the child of slice `n`; its order id follows from that and the account, as of every order."""
    return derived_id("child", algo_id, str(n))


def slices_total(parent: Parent) -> int | None:
    """Return how many slices the horizon has; None of an iceberg, which has a child whenever the last one has ended."""
    if parent.end_at is None or parent.strategy is Strategy.ICEBERG:
        return None
    return slices_between(parent.start_at, parent.end_at, parent.params)


def slices_between(start_at: int, end_at: int, params: AlgoParams) -> int:
    """Return how many intervals begin between two times (ns), at least one."""
    return max(-(-(end_at - start_at) // int(params.interval_sec * SECOND_NS)), 1)
