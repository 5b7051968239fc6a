"""The rules of parents: what a command to one becomes, and what follows for it and its children after any event. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from domain.order import algo as a
from domain.order import algo_commands as ac
from domain.order import commands as c
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.shards import ONE_SHARD, Shards
from domain.values import ZERO, OrderType, Side

SOURCE: Final = "algo"
"""The source of the cancels that a parent requests."""
OVER: Final = "algo_over"
PAUSED: Final = "algo_paused"
BEYOND_LIMIT: Final = "beyond_limit_price"
"""The reasons of these cancels."""
OPEN_CHILDREN_MAX: Final = 1
"""Children that work at once. One in doubt is not among them: its parent works on with the rest."""


class AlgoRefused(msgspec.Struct, frozen=True):
    """A command that the parent's state does not allow: a stable code, and the state."""

    code: str
    state: a.AlgoState


class Decided(msgspec.Struct, frozen=True):
    """The events of the parent that follow from a command, and then the commands to its orders. Empty: a repeated command."""

    events: tuple[a.AnyAlgoEvent, ...] = ()
    orders: tuple[c.OrderCommand, ...] = ()
    refused: AlgoRefused | None = None


def decide(parent: a.Parent | None, command: c.AlgoCommand, now: int, *, slices_max: int, shards: Shards = ONE_SHARD) -> Decided:
    """Return what follows from the command; it changes nothing. `now`: ns UTC."""
    if isinstance(command, ac.SubmitAlgo):
        return Decided((_submitted(command, now),)) if parent is None else Decided()
    assert parent is not None, f"the host loads the parent before it decides: {command.order_id}"
    if isinstance(command, ac.SpawnChild):
        return _spawned(parent, command, now, slices_max, shards)
    return _COMMANDS[type(command)](parent, command, now)


def _submitted(command: ac.SubmitAlgo, now: int) -> a.AlgoSubmitted:
    terms, decision = command.terms, command.decision
    starts = terms.start_at is None or terms.start_at <= now
    state = a.AlgoState.WORKING if starts else a.AlgoState.ACCEPTED
    return a.AlgoSubmitted(
        order_id=terms.algo_id,
        at=now,
        state=state if decision.approved else a.AlgoState.REJECTED,
        by=command.by,
        terms=terms,
        arrival=command.arrival,
        denial=decision.denial,
        source="" if decision.approved else decision.source,
        limits_version=decision.limits_version,
        checks=decision.checks,
        reference=decision.reference,
    )


def _spawned(parent: a.Parent, command: ac.SpawnChild, now: int, slices_max: int, shards: Shards) -> Decided:
    if command.n <= parent.slices:
        return Decided()
    if parent.state not in (a.AlgoState.ACCEPTED, a.AlgoState.WORKING):
        return _refused(parent, "illegal_transition")
    if (parent.end_at is not None and now >= parent.end_at) or command.n > slices_max:
        return _ending(parent, now, a.OMS, a.EXPIRED)
    if (code := against(parent, command, now)) is not None:
        return _refused(parent, code)
    began: tuple[a.AnyAlgoEvent, ...] = ()
    if parent.state is a.AlgoState.ACCEPTED:
        began = (a.AlgoStarted(order_id=parent.algo_id, at=now, state=a.AlgoState.WORKING),)
    terms = child_terms(parent, command, shards)
    sliced = a.AlgoSliced(
        order_id=parent.algo_id,
        at=now,
        state=a.AlgoState.WORKING,
        n=command.n,
        due_at=command.due_at,
        inputs=command.inputs,
        target=command.target,
        quantity=command.quantity,
        child="" if terms is None else terms.order_id,
        reason=command.reason,
    )
    if terms is None:
        return Decided((*began, sliced))
    assert command.decision is not None, "oms asks risk before a child is submitted"
    return Decided((*began, sliced), (c.SubmitOrder(order_id=terms.order_id, terms=terms, decision=command.decision),))


def against(parent: a.Parent, command: ac.SpawnChild, now: int) -> str | None:
    """Return the code of the rule that a new slice breaks; None if it may be recorded."""
    if command.n != parent.slices + 1 or command.due_at < parent.due_at:
        return "slice_out_of_turn"
    if command.version != parent.version:
        return "slice_outdated"
    if now < parent.start_at:
        return "too_early"
    if command.quantity < ZERO or (not command.quantity and not command.reason):
        return "malformed"
    if not command.quantity:
        return None
    if sum(not child.doubtful for child in parent.open_children) >= OPEN_CHILDREN_MAX:
        return "child_open"
    if command.quantity > parent.free_quantity:
        return "quantity_beyond_parent"
    if (command.price is None) is not (command.order_type is OrderType.MARKET):
        return "malformed"
    return BEYOND_LIMIT if _beyond(parent, command.price) else None


def _beyond(parent: a.Parent, price: Decimal | None) -> bool:
    """Return whether an order at this price may trade beyond the parent's limit."""
    if parent.limit_price is None:
        return False
    if price is None:
        return True
    return price > parent.limit_price if parent.side is Side.BUY else price < parent.limit_price


def child_terms(parent: a.Parent, command: ac.SpawnChild, shards: Shards = ONE_SHARD) -> c.Terms | None:
    """Return the terms of the slice's child; None if it has none."""
    if not command.quantity:
        return None
    name = a.child_name_of(parent.algo_id, command.n)
    return c.Terms(
        order_id=shards.order_id(parent.account, name),
        account=parent.account,
        client_order_id=name,
        symbol=parent.symbol,
        side=parent.side,
        order_type=command.order_type,
        quantity=command.quantity,
        price=command.price,
        time_in_force=command.time_in_force,
        post_only=command.post_only,
        group_id=parent.algo_id,
        role=a.CHILD,
    )


def _pause(parent: a.Parent, command: ac.PauseAlgo, now: int) -> Decided:
    if parent.state is a.AlgoState.PAUSED:
        return Decided()
    if parent.state not in (a.AlgoState.ACCEPTED, a.AlgoState.WORKING):
        return _refused(parent, "illegal_transition")
    return Decided((_paused(parent, now, command.source, command.reason, by=command.by, keeps_child=command.keeps_child),))


def _paused(parent: a.Parent, now: int, source: str, reason: str, *, by: str = "", keeps_child: bool = False) -> a.AlgoPaused:
    return a.AlgoPaused(
        order_id=parent.algo_id, at=now, state=a.AlgoState.PAUSED, by=by, source=source, reason=reason, keeps_child=keeps_child
    )


def _resume(parent: a.Parent, command: ac.ResumeAlgo, now: int) -> Decided:
    if parent.state in (a.AlgoState.ACCEPTED, a.AlgoState.WORKING):
        return Decided()
    if parent.state is not a.AlgoState.PAUSED:
        return _refused(parent, "illegal_transition")
    state = a.AlgoState.WORKING if parent.slices or now >= parent.start_at else a.AlgoState.ACCEPTED
    event = a.AlgoResumed(order_id=parent.algo_id, at=now, state=state, by=command.by, source=command.source, reason=command.reason)
    return Decided((event,))


def is_committed(parent: a.Parent, quantity: Decimal) -> bool:
    """Return whether a parent has traded more than this quantity, or has it in children: it cannot be changed to it."""
    return quantity < parent.quantity - parent.free_quantity or quantity <= parent.cum_quantity


def _amend(parent: a.Parent, command: ac.AmendAlgo, now: int) -> Decided:
    if parent.state not in a.LIVE:
        return _refused(parent, "illegal_transition")
    if is_committed(parent, command.quantity):
        return _refused(parent, "quantity_committed")
    wanted = command.quantity, command.limit_price, command.end_at, command.params
    if wanted == (parent.quantity, parent.limit_price, parent.end_at, parent.params):
        return Decided()
    decision = command.decision
    return Decided(
        (
            a.AlgoAmended(
                order_id=parent.algo_id,
                at=now,
                state=parent.state,
                by=command.by,
                amend_id=decision.order_id if decision else "",
                quantity=command.quantity,
                limit_price=command.limit_price,
                end_at=command.end_at,
                params=command.params,
                limits_version=decision.limits_version if decision else 0,
                checks=decision.checks if decision else "",
                reference=decision.reference if decision else None,
            ),
        )
    )


def _cancel(parent: a.Parent, command: ac.CancelAlgo, now: int) -> Decided:
    if parent.state in (a.AlgoState.ENDING, a.AlgoState.CANCELLED):
        return Decided()
    if parent.closed:
        return _refused(parent, "illegal_transition")
    return _ending(parent, now, command.source, command.reason, by=command.by)


def _end(parent: a.Parent, command: ac.EndAlgo, now: int) -> Decided:
    return _ending(parent, now, command.source, command.reason) if parent.state in a.LIVE else Decided()


def _ending(parent: a.Parent, now: int, source: str, reason: str, *, by: str = "") -> Decided:
    event = a.AlgoEnding(order_id=parent.algo_id, at=now, state=a.AlgoState.ENDING, by=by, source=source, reason=reason)
    return Decided((event,))


def _refused(parent: a.Parent, code: str) -> Decided:
    return Decided(refused=AlgoRefused(code, parent.state))


_COMMANDS: Final[Mapping[type[c.AlgoCommand], Callable[[a.Parent, Any, int], Decided]]] = {
    ac.PauseAlgo: _pause,
    ac.ResumeAlgo: _resume,
    ac.AmendAlgo: _amend,
    ac.CancelAlgo: _cancel,
    ac.EndAlgo: _end,
}


def follows(parent: a.Parent, now: int, *, refusals_max: int) -> Decided:
    """Return what follows for the parent itself from its present state, until nothing does."""
    live, traded = parent.state in a.LIVE, parent.cum_quantity >= parent.quantity
    if not parent.open_children and ((live and traded) or parent.state is a.AlgoState.ENDING):
        return Decided((_end_of(parent, now),))
    if live and traded:
        return _ending(parent, now, a.OMS, a.FILLED)
    if parent.state is a.AlgoState.WORKING and parent.refusals >= refusals_max:
        return Decided((_paused(parent, now, a.OMS, a.REFUSALS),))
    return Decided()


_ENDS: Final = {a.FILLED: a.AlgoState.DONE, a.EXPIRED: a.AlgoState.EXPIRED}


def _end_of(parent: a.Parent, now: int) -> a.AlgoEnded:
    """Return the end: a parent that has traded all of its quantity is done, whatever ended it."""
    reason = a.FILLED if parent.cum_quantity >= parent.quantity else parent.reason or a.EXPIRED
    state = _ENDS.get(reason, a.AlgoState.CANCELLED)
    return a.AlgoEnded(
        order_id=parent.algo_id, at=now, state=state, reason=reason, cum_quantity=parent.cum_quantity, notional=parent.notional
    )


def unwanted(parent: a.Parent, children: Iterable[Order], refused: Iterable[str] = ()) -> Iterator[c.OrderCommand]:
    """Yield the cancels of open children that may not work any more. Of `refused` orders a venue has just refused the cancel.

    An order in doubt is not asked: it would leave the doubt without evidence.
    """
    over = parent.closed or parent.state is a.AlgoState.ENDING
    paused = parent.state is a.AlgoState.PAUSED and not parent.keeps_child
    for order in children:
        reason = OVER if over else PAUSED if paused else BEYOND_LIMIT if _beyond(parent, order.price) else None
        asked = order.status in (State.PENDING_CANCEL, State.IN_DOUBT)
        if reason is not None and not order.closed and not asked and order.order_id not in refused:
            yield c.CancelOrder(order_id=order.order_id, source=SOURCE, reason=reason)
