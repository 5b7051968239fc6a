"""Every pair of state and trigger, lawful or not, against LIFECYCLE.md and against the stock machine."""

import re

import pytest
from transitions import Machine, MachineError

from domain.order import events as e
from domain.order.index import TRIGGERS_OF
from domain.order.lifecycle import CLOSED, TABLE, TRIGGERS, State, ask_machine, machine, machine_transitions, may, step
from tests.test_tidy import assert_none, name_of, sources

# Written by hand from LIFECYCLE.md; the number behind a trigger is its row there. "." is refused (row: "a pair that the table lacks").
# Guards are in the names: _traded = cum > 0, _full = cum >= quantity, _ended = no leg works any more.
EXPECTED = """
                              new rc  qu  ro  do  pa  pc  pr  | fi  ca  re  ex
risk_pass                3    rc  .   .   .   .   .   .   .   | .   .   .   .
risk_fail                4    re  .   .   .   .   .   .   .   | .   .   .   .
enqueue                  5    .   qu  .   .   .   .   .   .   | .   .   .   .
cancel                6,18    ca  ca  ca  pc  pc  pc  .   pc  | .   .   .   .
route                    7    .   .   ro  .   .   .   .   .   | .   .   .   .
no_route                 8    .   .   re  .   .   .   .   .   | .   .   .   .
expire                9,13    .   .   ex  ex  ex  ex  ex  ex  | .   .   .   .
venue_ack            10,13    .   .   .   ro  ro  pa  pc  pr  | .   .   .   .
venue_ack_traded        13    .   .   .   .   pa  .   .   .   | .   .   .   .
venue_reject         11,13    .   .   .   re  re  .   re  re  | .   .   .   .
venue_reject_requeue    11    .   .   .   qu  .   .   .   qu  | .   .   .   .
leg_ended            13,25    .   .   .   ro  ro  .   .   .   | .   .   .   .
leg_ended_traded     13,25    .   .   .   .   pa  pa  .   .   | .   .   .   .
leg_ended_waiting       25    .   .   .   .   do  .   pc  pr  | .   .   .   .
no_answer               12    .   .   .   do  .   do  do  do  | .   .   .   .
trade_part        14,16,26    pa  pa  pa  pa  pa  pa  pc  pr  | .   ca  re  ex
trade_full           15,26    fi  fi  fi  fi  fi  fi  fi  fi  | fi  fi  fi  fi
venue_cancelled   13,19,25    .   .   .   ca  ca  ca  ca  ca  | .   .   .   .
cancel_rejected         20    .   .   .   .   .   .   ro  .   | .   .   .   .
cancel_rejected_traded  20    .   .   .   .   .   .   pa  .   | .   .   .   .
cancel_rejected_replacing 20  .   .   .   .   .   .   pr  .   | .   .   .   .
replace              21,24    new rc  qu  pr  .   pr  .   .   | .   .   .   .
replaced             13,22    .   .   .   ro  ro  .   pc  ro  | .   .   .   .
replaced_traded      13,22    .   .   .   .   pa  pa  pc  pa  | .   .   .   .
replaced_full        13,22    .   .   .   .   fi  fi  fi  fi  | .   .   .   .
replace_rejected     13,23    .   .   .   ro  ro  .   pc  ro  | .   .   .   .
replace_rejected_traded 13,23 .   .   .   .   pa  pa  pc  pa  | .   .   .   .
bust                    27    .   .   .   .   do  ro  pc  pr  | ro  ca  re  ex
bust_traded             27    .   .   .   .   do  pa  pc  pr  | pa  ca  re  ex
bust_full               27    .   .   .   .   .   .   .   .   | fi  .   .   .
bust_ended              27    .   .   .   .   .   .   .   .   | ca  .   .   .
"""
SHORT = {
    "new": State.NEW,
    "rc": State.RISK_CHECKED,
    "qu": State.QUEUED,
    "ro": State.ROUTED,
    "do": State.IN_DOUBT,
    "pa": State.PARTIALLY_FILLED,
    "pc": State.PENDING_CANCEL,
    "pr": State.PENDING_REPLACE,
    "fi": State.FILLED,
    "ca": State.CANCELLED,
    "re": State.REJECTED,
    "ex": State.EXPIRED,
}


def expected() -> dict[tuple[State, str], State | None]:
    head, *rows = (line.replace("|", " ").split() for line in EXPECTED.strip().splitlines())
    return {(SHORT[name], trigger): SHORT.get(cell) for trigger, _, *cells in rows for name, cell in zip(head, cells, strict=True)}


PAIRS = [(state, trigger) for state in State for trigger in TRIGGERS]


class Model:
    """What the stock machine binds itself to."""

    state: str


@pytest.fixture(scope="module")
def stock() -> tuple[Machine, Model]:
    """A machine as the library's documentation makes it: bound to a model, nothing of ours around it."""
    model = Model()
    return Machine(model, states=[s.value for s in State], transitions=machine_transitions(), initial="new", auto_transitions=False), model


def test_the_hand_written_matrix_has_every_pair() -> None:
    assert set(expected()) == set(PAIRS)


@pytest.mark.parametrize(("state", "trigger"), PAIRS)
def test_fast_path_shared_machine_and_stock_machine_say_what_the_page_says(
    state: State, trigger: str, stock: tuple[Machine, Model]
) -> None:
    machine_, model = stock
    machine_.set_state(state.value, model)
    try:
        getattr(model, trigger)()
        went = State(model.state)
    except MachineError:
        went = None
        assert model.state == state.value, "a refused step moves nothing"
    assert went == expected()[state, trigger] == step(state, trigger) == ask_machine(state, trigger)
    assert may(state, trigger) is (went is not None)


def test_a_word_that_is_no_trigger_is_a_mistake_and_not_a_refusal() -> None:
    for state in State:
        with pytest.raises(KeyError):
            step(state, "explode")


def test_the_shared_machine_holds_no_orders_and_offers_no_way_around_the_table() -> None:
    assert machine() is machine()
    assert machine().models == []
    assert not [name for name in machine().events if name.startswith("to_")], "auto transitions are off"
    assert set(machine().events) == set(TRIGGERS)
    assert len({(state, s.trigger) for s in TABLE for state in s.sources}) == sum(len(s.sources) for s in TABLE), "one target a pair"


def test_the_table_has_no_callbacks() -> None:
    # this is what makes asking once and remembering lawful
    for event in machine().events.values():
        for transition in (t for ts in event.transitions.values() for t in ts):
            assert not [*transition.conditions, *transition.before, *transition.after, *transition.prepare]
    for state in machine().states.values():
        assert not [*state.on_enter, *state.on_exit]


def test_every_state_is_reached_from_new_and_every_open_one_can_end() -> None:
    assert reached_from(State.NEW) == set(State)
    for state in set(State) - CLOSED:
        assert reached_from(state) & CLOSED == CLOSED, f"{state} can end in each way"


def reached_from(start: State) -> set[State]:
    seen, ahead = {start}, [start]
    while ahead:
        here = ahead.pop()
        targets = {target for trigger in TRIGGERS if (target := step(here, trigger))} - seen
        seen |= targets
        ahead += targets
    return seen


def test_a_trade_has_a_row_in_every_state() -> None:
    # FAILURES 28-30: a fill is a fact
    for state in State:
        assert step(state, "trade_full") is State.FILLED
        assert may(state, "trade_part") or state is State.FILLED, "no part is left of a filled order"


def test_only_trades_busts_and_corrections_leave_or_keep_a_closed_state() -> None:
    for state, trigger in PAIRS:
        if state in CLOSED and may(state, trigger):
            assert trigger.startswith(("trade", "bust"))


# Which triggers an event tells of. Those that move nothing have none.
STORY: dict[type[e.Event], tuple[str, ...]] = {
    e.OrderSubmitted: (),
    e.OrderRiskChecked: ("risk_pass",),
    e.OrderQueued: ("enqueue", "venue_reject_requeue"),
    e.OrderTriggered: (),
    e.StopTrailed: (),
    e.OrderReleased: (),
    e.OrderRejected: ("risk_fail", "no_route", "venue_reject"),
    e.OrderRouted: ("route",),
    e.RouteAcknowledged: ("venue_ack", "venue_ack_traded"),
    e.RouteClosed: ("leg_ended", "leg_ended_traded", "leg_ended_waiting"),
    e.OrderInDoubt: ("no_answer",),
    e.DoubtSettled: (),
    e.OrderFilled: ("trade_part", "trade_full"),
    e.TradeBusted: ("bust", "bust_traded", "bust_full", "bust_ended"),
    e.CancelRequested: ("cancel",),
    e.CancelRejected: ("cancel_rejected", "cancel_rejected_traded", "cancel_rejected_replacing"),
    e.ReplaceRequested: ("replace",),
    e.OrderReplaced: ("replace", "replaced", "replaced_traded", "replaced_full"),
    e.ReplaceRejected: ("replace_rejected", "replace_rejected_traded"),
    e.ReplaceRefused: (),
    e.OrderCancelled: ("cancel", "venue_cancelled"),
    e.OrderExpired: ("expire",),
    e.TransitionRefused: (),
    e.ReportQuarantined: (),
    e.ListSubmitted: (),
    e.ListCancelRequested: (),
    e.ListFlagged: (),
    e.ListExtended: (),
    e.ListEnded: (),
    e.AlgoSubmitted: (),
    e.AlgoStarted: (),
    e.AlgoSliced: (),
    e.AlgoPaused: (),
    e.AlgoResumed: (),
    e.AlgoAmended: (),
    e.AlgoEnding: (),
    e.AlgoEnded: (),
    e.JournalAccepted: (),
    e.ShardTaken: (),
    e.ShardHeld: (),
    e.ShardReleased: (),
}


def test_every_event_has_its_place_in_the_table_and_every_trigger_its_event() -> None:
    assert tuple(STORY) == e.EVENTS
    assert {trigger for triggers in STORY.values() for trigger in triggers} == set(TRIGGERS)


def test_the_counts_know_every_step_that_an_event_tells() -> None:
    assert {kind: set(triggers) for kind, triggers in STORY.items() if triggers} == {k: set(t) for k, t in TRIGGERS_OF.items()}


def test_every_event_has_its_place_in_the_table_and_its_scene() -> None:
    assert set(STORY) == set(e.EVENTS)
    scenes = "".join(path.read_text() for path in sources("tests") if re.search(r"/domain/order/test_", name_of(path)))
    names = [kind.__name__ for kind in e.EVENTS]
    assert_none(name for name in names if not re.search(rf"> .*\b{name}\b|isinstance\(event, {name}\)", scenes))
