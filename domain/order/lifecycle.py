"""The state table: every legal step of an order's life, run by one shared `transitions` Machine.

Code, diagrams, documentation, tests and the status counts all come from `TABLE`. A guard of the lifecycle page (is the order now full?
has it traded?) is part of a trigger's name here (`trade_part`, `trade_full`), so that state and trigger alone decide and no callback runs.
"""

from collections.abc import Iterable
from enum import StrEnum
from functools import cache
from typing import Final, NamedTuple

from transitions import Machine, MachineError


class State(StrEnum):
    NEW = "new"
    RISK_CHECKED = "risk_checked"
    QUEUED = "queued"
    ROUTED = "routed"
    IN_DOUBT = "in_doubt"
    PARTIALLY_FILLED = "partially_filled"
    PENDING_CANCEL = "pending_cancel"
    PENDING_REPLACE = "pending_replace"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"


S = State

CLOSED: Final = frozenset({S.FILLED, S.CANCELLED, S.REJECTED, S.EXPIRED})
UNROUTED: Final = (S.NEW, S.RISK_CHECKED, S.QUEUED)
PENDING: Final = (S.PENDING_CANCEL, S.PENDING_REPLACE)


class Step(NamedTuple):
    """One row: `trigger` leads from each of `sources` to `target`; `rows` are the matching rows of the lifecycle page."""

    trigger: str
    sources: tuple[State, ...]
    target: State
    rows: str


TABLE: Final[tuple[Step, ...]] = (
    Step("risk_pass", (S.NEW,), S.RISK_CHECKED, "3"),
    Step("risk_fail", (S.NEW,), S.REJECTED, "4"),
    Step("enqueue", (S.RISK_CHECKED,), S.QUEUED, "5"),
    Step("cancel", UNROUTED, S.CANCELLED, "6"),
    Step("route", (S.QUEUED,), S.ROUTED, "7"),
    Step("no_route", (S.QUEUED,), S.REJECTED, "8"),
    Step("expire", (S.QUEUED, S.ROUTED, S.PARTIALLY_FILLED, *PENDING, S.IN_DOUBT), S.EXPIRED, "9, 13"),
    # An acknowledgement confirms that the order works at the venue; an order that is not in doubt keeps its state.
    Step("venue_ack", (S.ROUTED, S.IN_DOUBT), S.ROUTED, "10, 13"),
    Step("venue_ack", (S.PARTIALLY_FILLED,), S.PARTIALLY_FILLED, "10"),
    Step("venue_ack", (S.PENDING_CANCEL,), S.PENDING_CANCEL, "10"),
    Step("venue_ack", (S.PENDING_REPLACE,), S.PENDING_REPLACE, "10"),
    Step("venue_ack_traded", (S.IN_DOUBT,), S.PARTIALLY_FILLED, "13"),
    Step("venue_reject", (S.ROUTED, S.IN_DOUBT, *PENDING), S.REJECTED, "11, 13"),
    # One route of several ended. This settles a doubt if no other route is silent.
    Step("leg_ended", (S.ROUTED, S.IN_DOUBT), S.ROUTED, "13, 25"),
    Step("leg_ended_traded", (S.PARTIALLY_FILLED, S.IN_DOUBT), S.PARTIALLY_FILLED, "13, 25"),
    *(Step("leg_ended_waiting", (state,), state, "25") for state in (*PENDING, S.IN_DOUBT)),
    # New terms that wait for the venue's first report are applied in the queue, right after this step.
    Step("venue_reject_requeue", (S.ROUTED, S.PENDING_REPLACE), S.QUEUED, "11"),
    Step("no_answer", (S.ROUTED, S.PARTIALLY_FILLED, *PENDING), S.IN_DOUBT, "12"),
    # A fill is final: every state has a row for it, even where no venue should have had the order.
    Step("trade_part", (*UNROUTED, S.ROUTED, S.PARTIALLY_FILLED, S.IN_DOUBT), S.PARTIALLY_FILLED, "14"),
    Step("trade_part", (S.PENDING_CANCEL,), S.PENDING_CANCEL, "16"),
    Step("trade_part", (S.PENDING_REPLACE,), S.PENDING_REPLACE, "16"),
    Step("trade_part", (S.CANCELLED,), S.CANCELLED, "26"),
    Step("trade_part", (S.EXPIRED,), S.EXPIRED, "26"),
    Step("trade_part", (S.REJECTED,), S.REJECTED, "26"),
    Step("trade_full", tuple(State), S.FILLED, "15, 26"),
    Step("cancel", (S.ROUTED, S.PARTIALLY_FILLED, S.PENDING_REPLACE, S.IN_DOUBT), S.PENDING_CANCEL, "18"),
    Step("venue_cancelled", (S.ROUTED, S.PARTIALLY_FILLED, *PENDING, S.IN_DOUBT), S.CANCELLED, "13, 19, 25"),
    Step("cancel_rejected", (S.PENDING_CANCEL,), S.ROUTED, "20"),
    Step("cancel_rejected_traded", (S.PENDING_CANCEL,), S.PARTIALLY_FILLED, "20"),
    Step("cancel_rejected_replacing", (S.PENDING_CANCEL,), S.PENDING_REPLACE, "20"),
    Step("replace", (S.ROUTED, S.PARTIALLY_FILLED), S.PENDING_REPLACE, "21"),
    # A venue that reports an order's current terms has the order: that settles a doubt, even if no replace was requested.
    Step("replaced", (S.PENDING_REPLACE, S.ROUTED, S.IN_DOUBT), S.ROUTED, "22, 13"),
    Step("replaced_traded", (S.PENDING_REPLACE, S.PARTIALLY_FILLED, S.IN_DOUBT), S.PARTIALLY_FILLED, "22, 13"),
    Step("replaced_full", (S.PENDING_REPLACE, S.PARTIALLY_FILLED, S.IN_DOUBT, S.PENDING_CANCEL), S.FILLED, "22, 13"),
    Step("replace_rejected", (S.PENDING_REPLACE, S.ROUTED, S.IN_DOUBT), S.ROUTED, "23, 13"),
    Step("replace_rejected_traded", (S.PENDING_REPLACE, S.PARTIALLY_FILLED, S.IN_DOUBT), S.PARTIALLY_FILLED, "23, 13"),
    *(
        Step(trigger, (S.PENDING_CANCEL,), S.PENDING_CANCEL, rows)
        for trigger, rows in (("replaced", "22"), ("replaced_traded", "22"), ("replace_rejected", "23"), ("replace_rejected_traded", "23"))
    ),
    Step("replace", (S.NEW,), S.NEW, "24"),
    Step("replace", (S.RISK_CHECKED,), S.RISK_CHECKED, "24"),
    Step("replace", (S.QUEUED,), S.QUEUED, "24"),
    # A bust may reopen a filled order if a route still works; an order that was closed otherwise stays closed.
    Step("bust", (S.FILLED,), S.ROUTED, "27"),
    Step("bust_traded", (S.FILLED, S.PARTIALLY_FILLED), S.PARTIALLY_FILLED, "27"),
    Step("bust", (S.PARTIALLY_FILLED,), S.ROUTED, "27"),
    *(
        Step(trigger, (state,), state, "27")
        for trigger in ("bust", "bust_traded")
        for state in (*PENDING, S.IN_DOUBT, S.CANCELLED, S.EXPIRED, S.REJECTED)
    ),
    Step("bust_full", (S.FILLED,), S.FILLED, "27"),
    Step("bust_ended", (S.FILLED,), S.CANCELLED, "27"),
)

TRIGGERS: Final = tuple(dict.fromkeys(step.trigger for step in TABLE))


def machine_transitions(table: Iterable[Step] = TABLE) -> list[dict[str, object]]:
    """Return the table in the format of the `transitions` library."""
    return [{"trigger": s.trigger, "source": [str(x) for x in s.sources], "dest": str(s.target)} for s in table]


@cache
def machine() -> Machine:
    """Return the one shared Machine. Orders are not bound to it: binding costs 13 KB an order."""
    return Machine(
        model=None, states=[str(s) for s in State], transitions=machine_transitions(), initial=str(S.NEW), auto_transitions=False
    )


class _Probe:
    """A state without an order, to query the machine for the target of a trigger."""

    def __init__(self, state: str) -> None:
        self.state = state


def ask_machine(state: State, trigger: str) -> State | None:
    """Return the target state of the stock Machine, or None if it has no such step."""
    probe = _Probe(str(state))
    try:
        machine().events[trigger].trigger(probe)
    except MachineError:
        return None
    return State(probe.state)


@cache
def _answers() -> dict[tuple[State, str], State]:
    """Return every target of the machine, queried once. Valid because the table has no callbacks: state and trigger alone decide."""
    return {(state, trigger): target for state in State for trigger in TRIGGERS if (target := ask_machine(state, trigger)) is not None}


def step(state: State, trigger: str) -> State | None:
    """Return the target of `trigger` from `state`; None if the table has no such row. Raises KeyError for an unknown trigger."""
    target = _answers().get((state, trigger))
    if target is None and trigger not in TRIGGERS:
        raise KeyError(trigger)
    return target


def may(state: State, trigger: str) -> bool:
    return step(state, trigger) is not None
