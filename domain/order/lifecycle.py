"""THE table: every lawful step of an order's life, run by one shared `transitions` Machine.

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
    """One row: `trigger` leads from each of `sources` to `target`; `rows` are the rows of the lifecycle page that it says."""

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
    # An acknowledgement says "it works here"; where nothing was in doubt the order stays where it is.
    Step("venue_ack", (S.ROUTED, S.IN_DOUBT), S.ROUTED, "10, 13"),
    Step("venue_ack", (S.PARTIALLY_FILLED,), S.PARTIALLY_FILLED, "10"),
    Step("venue_ack", (S.PENDING_CANCEL,), S.PENDING_CANCEL, "10"),
    Step("venue_ack", (S.PENDING_REPLACE,), S.PENDING_REPLACE, "10"),
    Step("venue_ack_traded", (S.IN_DOUBT,), S.PARTIALLY_FILLED, "13"),
    Step("venue_reject", (S.ROUTED, S.IN_DOUBT, *PENDING), S.REJECTED, "11, 13"),
    # One leg of several ended. What was in doubt is settled by it when no other leg is silent.
    Step("leg_ended", (S.ROUTED, S.IN_DOUBT), S.ROUTED, "13, 25"),
    Step("leg_ended_traded", (S.PARTIALLY_FILLED, S.IN_DOUBT), S.PARTIALLY_FILLED, "13, 25"),
    *(Step("leg_ended_waiting", (state,), state, "25") for state in (*PENDING, S.IN_DOUBT)),
    # New terms that wait for the first word are applied in the queue, right behind this step.
    Step("venue_reject_requeue", (S.ROUTED, S.PENDING_REPLACE), S.QUEUED, "11"),
    Step("no_answer", (S.ROUTED, S.PARTIALLY_FILLED, *PENDING), S.IN_DOUBT, "12"),
    # A fill is a fact: there is a row for it in every state, also where no venue should have had the order.
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
    # A venue that says how an order now stands has the order: that settles a doubt, and needs nobody to have asked.
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
    # A bust may open a filled order again where a leg still works; what was closed otherwise stays closed.
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
    """The table in the words of the `transitions` library."""
    return [{"trigger": s.trigger, "source": [str(x) for x in s.sources], "dest": str(s.target)} for s in table]


@cache
def machine() -> Machine:
    """The one shared Machine. Orders are not bound to it: binding costs 13 KB an order."""
    return Machine(
        model=None, states=[str(s) for s in State], transitions=machine_transitions(), initial=str(S.NEW), auto_transitions=False
    )


class _Probe:
    """A state without an order, to ask the machine where a trigger leads."""

    def __init__(self, state: str) -> None:
        self.state = state


def ask_machine(state: State, trigger: str) -> State | None:
    """Where the stock Machine goes, or None where it has no such step."""
    probe = _Probe(str(state))
    try:
        machine().events[trigger].trigger(probe)
    except MachineError:
        return None
    return State(probe.state)


@cache
def _answers() -> dict[tuple[State, str], State]:
    """Every answer of the machine, asked once. Legal because the table has no callbacks: state and trigger decide alone."""
    return {(state, trigger): target for state in State for trigger in TRIGGERS if (target := ask_machine(state, trigger)) is not None}


def step(state: State, trigger: str) -> State | None:
    """Where `trigger` leads from `state`; None when the table has no such row. KeyError for a word that is no trigger."""
    target = _answers().get((state, trigger))
    if target is None and trigger not in TRIGGERS:
        raise KeyError(trigger)
    return target


def may(state: State, trigger: str) -> bool:
    return step(state, trigger) is not None
