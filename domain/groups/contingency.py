"""What follows for the members of a list after any event: the rules of `oco`, `oto` and `bracket`.

The rules compare levels, not differences: what each member should be allowed to trade now, given what all have traded, with what it has
or was last asked to become. So they may be applied at any time, applying them twice changes nothing, and fast fills end right whatever
was pending when they came.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from domain.groups.levels import covered, oco_winner, overtraded, share
from domain.groups.status import end_reason
from domain.order import commands as c
from domain.order import events as e
from domain.order import group as g
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.order.replace import reason_against, terms_wanted
from domain.order.slot import asked, may_follow, stopped, traded
from domain.order.terms import again
from domain.shards import ONE_SHARD, Shards
from domain.values import ZERO, derived_id

STEPS_MAX: Final = 16
"""How often the rules are applied after one event: each time all members are compared, so a few times are enough."""
ANSWERS: Final = (State.PENDING_CANCEL, State.PENDING_REPLACE, State.IN_DOUBT)
"""States of a member whose venue must answer before the next request."""

Members = Mapping[str, Order]
Perform = Callable[[c.OrderCommand], Sequence[e.OrderEvent]]


class Rules(msgspec.Struct, frozen=True):
    """What the rules depend on besides the orders.

    `on_lot`: the quantity rounded down to the symbol's lot. `tradable`: whether an order may have this leaves quantity, by the minimum
    notional. `forbids`: whether a control forbids the order to trade now. `shards`: for the ids of new orders.
    """

    on_lot: Callable[[str, Decimal], Decimal]
    tradable: Callable[[Order, Decimal], bool]
    forbids: Callable[[Order], bool]
    shards: Shards = ONE_SHARD


def react(lead: Order, members: Members, events: Sequence[e.OrderEvent], rules: Rules) -> list[c.OrderCommand]:
    """Return the commands that follow. `events` are those that just happened: a refused request is not repeated at once.

    Nothing follows any more once every member is as it should be.
    """
    group = lead.group
    if group is None or group.rejected:
        return []
    found = list(_Look(lead, group, members, events, rules).commands())
    if not found and not group.ended and all(order.closed for order in members.values()):
        return [c.EndList(order_id=lead.order_id, reason=end_reason(group, members))]
    return found


def follow(lead_id: str, members: Members, events: Sequence[e.OrderEvent], rules: Rules, perform: Perform) -> None:
    """Apply the rules until nothing follows. `perform` decides and applies one command, and returns its events.

    `members` is a view of the current orders: `perform` adds those that it submits.
    """
    seen = list(events)
    for _ in range(STEPS_MAX):
        made = [event for command in react(members[lead_id], members, seen, rules) for event in perform(command)]
        if not made:
            return
        seen += made


def waits_for(lead: Order, members: Members, stop: Order) -> tuple[str, ...]:
    """Return the orders that must have ended before a triggered stop is routed: the open other exits of an exclusive bracket."""
    group = lead.group
    if group is None or not group.strict or not stop.exclusive:
        return ()
    return tuple(slot[-1] for slot in group.slots[1:] if stop.order_id not in slot and not members[slot[-1]].closed)


class _Look:
    """One look at all members of a list."""

    def __init__(self, lead: Order, group: g.OrderGroup, members: Members, events: Sequence[e.OrderEvent], rules: Rules) -> None:
        self._lead = lead
        self._group = group
        self._members = members
        self._rules = rules
        self._kept = {event.order_id for event in events if type(event) is e.CancelRejected}
        self._refused = {event.order_id: event.reason for event in events if type(event) is e.ReplaceRejected}
        self._forced = [event for event in events if type(event) is e.OrderReleased and event.forced]
        self._stopped = stopped(group, members.values())
        self._slots = [[members[order_id] for order_id in slot] for slot in group.slots]

    def commands(self) -> Iterator[c.OrderCommand]:
        yield from self._flags()
        match self._group.kind:
            case g.ListType.OCO:
                yield from self._oco()
            case g.ListType.OTO | g.ListType.BRACKET:
                yield from self._entry()
                yield from self._legs()
            case g.ListType.NONE:
                pass
        if self._group.cancelling and self._group.kind in (g.ListType.OCO, g.ListType.NONE):
            for order in self._members.values():
                yield from self._cancel(order, g.LIST_CANCELLED)

    def _flags(self) -> Iterator[c.OrderCommand]:
        """Flag what a person should look at."""
        for event in self._forced:
            yield from self._flag(g.FORCED, event.order_id, "the other exit has not ended in time")
        if leg := overtraded(self._group, self._slots):
            yield from self._flag(g.DOUBLE_EXIT, leg, "the exits have traded more than there was to exit")

    def _flag(self, flag: str, leg: str, reason: str) -> Iterator[c.OrderCommand]:
        if flag not in self._group.flags:
            yield c.FlagList(order_id=self._lead.order_id, flag=flag, leg=leg, reason=reason)

    def _cancel(self, order: Order, reason: str) -> Iterator[c.OrderCommand]:
        """Ask for the cancel once. An order in doubt is not asked: it would leave the doubt without evidence, again and again."""
        asked = order.status in (State.PENDING_CANCEL, State.IN_DOUBT)
        if not order.closed and not asked and order.order_id not in self._kept:
            yield c.CancelOrder(order_id=order.order_id, source=g.SOURCE, reason=reason)

    def _entry(self) -> Iterator[c.OrderCommand]:
        """Cancel the entry of a cancelled list. Held legs follow once it has ended, because it may still trade until then."""
        if self._group.cancelling:
            yield from self._cancel(self._lead, g.LIST_CANCELLED)

    def _oco(self) -> Iterator[c.OrderCommand]:
        """After a trade of one member, cancel the others, or take its quantity off them."""
        orders = [slot[-1] for slot in self._slots]
        if self._group.reduce:
            total = sum(map(traded, self._slots), ZERO)
            for slot in self._slots if total else ():
                yield from self._sized(slot, max(asked(slot[0]) - total, ZERO), g.OTHER_TRADED)
            return
        winner = oco_winner(orders)
        for order in orders if winner is not None else ():
            if order is not winner and not self._doubtful(order):
                yield from self._cancel(order, g.OTHER_TRADED)

    def _legs(self) -> Iterator[c.OrderCommand]:
        """Release, resize or cancel the legs behind an entry."""
        entry, group = self._lead, self._group
        stop = self._stop()
        if stop is not None and group.strict and stop.triggered and not stop.closed:
            yield from self._triggered(stop)
        for slot in self._slots[1:]:
            leg = slot[-1]
            want = covered(group, entry, self._slots) if group.kind is g.ListType.BRACKET else share(group, entry, slot)
            if group.cancelling and group.cancels_exits:
                yield from self._cancel(leg, g.LIST_CANCELLED)
            elif stop is not None and group.strict and stop.triggered and not stop.closed and leg is not stop:
                continue
            else:
                yield from self._sized(slot, want, g.ENTRY_ENDED if entry.closed and not entry.cum_quantity else g.EXITED)

    def _stop(self) -> Order | None:
        found = [slot[-1] for slot in self._slots if slot[-1].role == g.Role.STOP_LOSS]
        return found[0] if found else None

    def _triggered(self, stop: Order) -> Iterator[c.OrderCommand]:
        """Cancel the other exit of a triggered stop, and let the stop be routed once the other has ended."""
        for slot in self._slots[1:]:
            if slot[-1] is not stop:
                yield from self._cancel(slot[-1], g.STOP_TRIGGERED)
        if stop.waits_for and all(self._members[order_id].closed for order_id in stop.waits_for if order_id in self._members):
            yield c.ReleaseOrder(order_id=stop.order_id)

    def _doubtful(self, leg: Order) -> bool:
        """Return whether another exit is in doubt: it may have traded, so this one keeps what it has until there is evidence."""
        others = self._slots[1:] if self._group.kind is not g.ListType.OCO else self._slots
        return any(slot[-1].status is State.IN_DOUBT and slot[-1] is not leg for slot in others)

    def _sized(self, slot: Sequence[Order], want: Decimal, reason: str) -> Iterator[c.OrderCommand]:
        """Make the slot's order trade what it should now: not more, and not less."""
        leg = slot[-1]
        want = self._rules.on_lot(leg.symbol, want)
        if leg.closed:
            yield from self._again(slot, want)
        elif leg.status is State.RISK_CHECKED:
            yield from self._held(leg, want, reason)
        elif leg.status in ANSWERS or leg.leaves_quantity == want or self._depends_on_doubt(leg):
            return
        elif not want or not self._rules.tradable(leg, want):
            yield from self._cancel(leg, reason)
        elif leg.order_id in self._refused:
            yield from self._flag(g.RESIZE_REFUSED, leg.order_id, self._refused[leg.order_id])
            yield from self._cancel(leg, g.RESIZE_REFUSED)
        elif reason_against(leg, terms_wanted(leg, leg.cum_quantity + want, None, None)) is None:
            yield _resize(leg, want)
        else:
            yield from self._cancel(leg, g.RESIZE_REFUSED)

    def _depends_on_doubt(self, leg: Order) -> bool:
        return self._group.kind is not g.ListType.OTO and self._doubtful(leg)

    def _held(self, leg: Order, want: Decimal, reason: str) -> Iterator[c.OrderCommand]:
        if not want or not self._rules.tradable(leg, want):
            if self._lead.closed:
                yield from self._cancel(leg, reason)
            return
        if self._stopped or self._depends_on_doubt(leg):
            return
        if self._rules.forbids(leg):
            yield from self._killed(leg)
            return
        if leg.quantity != want:
            yield _resize(leg, want)
        else:
            yield c.ReleaseOrder(order_id=leg.order_id)

    def _killed(self, leg: Order) -> Iterator[c.OrderCommand]:
        """Record that a control kept a leg from the market: from now on the list releases nothing, also when the control has ended."""
        yield from self._flag(g.KILLED, leg.order_id, "a control forbids it")

    def _again(self, slot: Sequence[Order], want: Decimal) -> Iterator[c.OrderCommand]:
        """Submit another order in the place of one that can no longer grow: it is filled, or the list itself has cancelled it."""
        last, group = slot[-1], self._group
        if not want or self._stopped or not may_follow(group, last):
            return
        if group.kind is g.ListType.OCO and last.reason != g.RESIZE_REFUSED:
            return
        if not self._rules.tradable(last, want) or self._depends_on_doubt(last):
            return
        if self._rules.forbids(last):
            yield from self._killed(last)
            return
        client_order_id = derived_id("again", last.group_id, str(len(group.members)))
        terms = again(last, client_order_id, want, self._rules.shards)
        decision = c.RiskDecision(order_id=terms.order_id, limits_version=0, reference=last.reference, source=g.SOURCE)
        yield c.SubmitOrder(order_id=terms.order_id, terms=terms, decision=decision, at_once=True)
        yield c.ExtendList(order_id=self._lead.order_id, member=terms.order_id, instead_of=last.order_id)


def _resize(leg: Order, want: Decimal) -> c.ReplaceOrder:
    return c.ReplaceOrder(order_id=leg.order_id, replace_id=leg.next_replace_id, quantity=leg.cum_quantity + want, source=g.SOURCE)
