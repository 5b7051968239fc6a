"""A list of orders that belong together. Its state is kept with its first order, the lead, and is a fold of events on that order."""

from enum import StrEnum
from typing import Final

import msgspec

from domain.order.event import Event, Requested
from domain.values import derived_id


class ListType(StrEnum):
    OCO = "oco"
    OTO = "oto"
    BRACKET = "bracket"
    NONE = "none"


class Trigger(StrEnum):
    """When held legs are released: with each trade of the entry, or only once it has ended, for what it has traded."""

    PARTIAL = "partial"
    FULL = "full"


class Role(StrEnum):
    """What a member of a list does. `leg` and `alternative` work from the start: the latter take each other's quantity when they trade.

    `held` and `closing` are the legs of an `oto` list; the latter only close what its entry opens.
    """

    ENTRY = "entry"
    TAKE_PROFIT = "take_profit"
    STOP_LOSS = "stop_loss"
    HELD = "held"
    CLOSING = "closing"
    LEG = "leg"
    ALTERNATIVE = "alternative"


HELD_ROLES: Final = frozenset({Role.TAKE_PROFIT, Role.STOP_LOSS, Role.HELD, Role.CLOSING})
"""Roles of orders that wait in `risk_checked` until their entry trades. Their quantity follows the entry."""
UNCOUNTED_ROLES: Final = frozenset({Role.TAKE_PROFIT, Role.STOP_LOSS, Role.CLOSING})
"""Held roles that only close what their entry opens: risk counts them for what it has traded, and nothing before."""
ALTERNATIVE_ROLES: Final = frozenset({Role.TAKE_PROFIT, Role.STOP_LOSS, Role.ALTERNATIVE})
"""Roles of orders of which only the largest counts at risk: all of them together trade no more than that."""

DOUBLE_EXIT: Final = "double_exit"
FORCED: Final = "forced"
RESIZE_REFUSED: Final = "resize_refused"
KILLED: Final = "killed"
RULES_FAILED: Final = "rules_failed"

ENTRY_ENDED: Final = "entry_ended"
EXITED: Final = "exited"
STOP_TRIGGERED: Final = "stop_triggered"
OTHER_TRADED: Final = "other_traded"
LIST_CANCELLED: Final = "list_cancelled"
"""The reasons of cancels that a list itself requests, with RESIZE_REFUSED."""
SOURCE: Final = "list"
"""The source of what a list itself requests."""
LIST_REJECTED: Final = "list_rejected"
"""The reason of an order that was rejected because another one of its list was."""


class OrderGroup(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The state of a list.

    `slots`: the ids of its orders. A slot has one order, and behind it those that took its place: a filled or cancelled order cannot grow.
    The first slot is the entry's. `strict`: both exits never work at once. `reduce`: a trade of one `oco` member takes its quantity off the
    others instead of cancelling them. `flags` are never removed. `ended` is why the list ended; empty while it has not.
    """

    client_list_id: str
    kind: ListType
    trigger: Trigger = Trigger.PARTIAL
    strict: bool = False
    reduce: bool = False
    slots: tuple[tuple[str, ...], ...]
    created_at: int
    updated_at: int
    version: int = 1
    rejected: bool = False
    flags: tuple[str, ...] = ()
    cancelling: bool = False
    cancels_exits: bool = False
    ended: str = ""

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(order_id for slot in self.slots for order_id in slot)


class ListEvent(Event, frozen=True, kw_only=True, gc=False):
    """An event of a list. `order_id` is its lead, whose state it does not change."""


class ListSubmitted(Requested, frozen=True, kw_only=True, tag=True, gc=False):
    """A list was accepted or rejected as a whole. Its orders were submitted in the same commit, before this event."""

    client_list_id: str
    kind: ListType
    trigger: Trigger = Trigger.PARTIAL
    strict: bool = False
    reduce: bool = False
    members: tuple[str, ...]
    rejected: bool = False


class ListCancelRequested(Requested, frozen=True, kw_only=True, tag=True, gc=False):
    """A client cancels the list: its entry and held legs, and with `exits` also those that protect a position."""

    exits: bool = False


class ListFlagged(ListEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """Something a person should look at: `double_exit`, `forced`, `resize_refused`, `killed` or `rules_failed`, and its leg."""

    flag: str
    leg: str
    reason: str = ""


class ListExtended(ListEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """The order `member` takes the place of `instead_of`, which has ended, for the quantity that is still to be covered."""

    member: str
    instead_of: str


class ListEnded(ListEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """All orders of the list have ended. `reason`: filled, cancelled, expired, killed or rejected."""

    reason: str


AnyListEvent = ListSubmitted | ListCancelRequested | ListFlagged | ListExtended | ListEnded
LIST_EVENTS: Final[tuple[type[Event], ...]] = AnyListEvent.__args__
"""Events of lists. They change the group that the lead order keeps, never the order's own life."""


def group_after(group: OrderGroup | None, event: AnyListEvent) -> OrderGroup:
    """Return the group after the event. It never refuses."""
    if isinstance(event, ListSubmitted):
        return OrderGroup(
            client_list_id=event.client_list_id,
            kind=event.kind,
            trigger=event.trigger,
            strict=event.strict,
            reduce=event.reduce,
            slots=tuple((member,) for member in event.members),
            created_at=event.at,
            updated_at=event.at,
            rejected=event.rejected,
            ended="rejected" if event.rejected else "",
        )
    assert group is not None, f"{type(event).__name__} before ListSubmitted for {event.order_id}"
    return msgspec.structs.replace(group, updated_at=event.at, version=group.version + 1, **_changed(group, event))


def _changed(group: OrderGroup, event: AnyListEvent) -> dict[str, object]:
    match event:
        case ListCancelRequested():
            return {"cancelling": True, "cancels_exits": group.cancels_exits or event.exits}
        case ListFlagged():
            return {} if event.flag in group.flags else {"flags": (*group.flags, event.flag)}
        case ListExtended():
            slots = tuple((*slot, event.member) if event.instead_of in slot else slot for slot in group.slots)
            return {"slots": slots}
        case ListEnded():
            return {"ended": event.reason}
    return {}


def list_id_of(account: str, client_list_id: str) -> str:
    """Return the list's id, derived from what the client sent, so that a repeated request finds the same list."""
    return derived_id("list", account, client_list_id)


class ListTerms(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A list as the client asked for it, without its orders."""

    list_id: str
    account: str
    client_list_id: str
    kind: ListType
    trigger: Trigger = Trigger.PARTIAL
    strict: bool = False
    reduce: bool = False
