"""The life of a parent as scenes: what each command becomes, and what follows in the same commit. CONTINGENT.md 4.

Commands: `later S` (a parent that starts after S seconds), `wait S`, `slice Q @P`, `slice 0 WHY`, `pause WHY`, `keep WHY` (a pause that
keeps the child), `resume`, `amend Q`, `cancel`, `kill`, `end`. What a venue says of the child of slice N: `rest N`, `fill N Q`, `closed N`,
`refused N`, `doubt N`. Behind `>`: each event with the state that it led to.
"""

from decimal import Decimal

import msgspec
import pytest

from domain.groups.parent import AlgoRefused
from domain.order import algo as a
from domain.order import algo_commands as ac
from domain.order import events as e
from tests.domain.groups.algo_scene import AlgoScene
from tests.domain.groups.parents import ALGO_ID, START, submitted

SECOND = 1_000_000_000
LIMIT = Decimal(60)


class Told:
    """A scene in text. `refused`: the code of the last command that was refused."""

    def __init__(self) -> None:
        self.scene = AlgoScene(submitted(10, 60, limit_price=LIMIT))
        self.refused = ""

    def said(self, line: str) -> list[str]:
        """Do what a line says; return what was recorded, as text."""
        before = len(self.scene.events)
        verb, *words = line.split()
        self.refused = ""
        match verb:
            case "later":
                terms = msgspec.structs.replace(submitted(10, 60).terms, start_at=START + int(words[0]) * SECOND)
                self.scene = AlgoScene(a.AlgoSubmitted(order_id=ALGO_ID, at=START, state=a.AlgoState.ACCEPTED, terms=terms))
                before = 0
            case "wait":
                self.scene.now += int(words[0]) * SECOND
            case "rest":
                self.scene.route(int(words[0]))
            case "fill":
                self.scene.fill(int(words[0]), words[1])
            case "closed":
                self.scene.report(int(words[0]), "cancelled", reason="venue")
            case "refused":
                self.scene.report(int(words[0]), "cancel_rejected", reason="too_late")
            case "doubt":
                self.scene.doubt(int(words[0]))
            case _:
                found = self.scene.perform(self.command(verb, words))
                assert found is None or isinstance(found, AlgoRefused)
                self.refused = found.code if found is not None else ""
        return [_told(event) for event in self.scene.events[before:]]

    def command(self, verb: str, words: list[str]) -> ac.AlgoCommand:
        parent = self.scene.parent
        match verb:
            case "slice":
                return ac.SpawnChild(
                    order_id=ALGO_ID,
                    version=parent.version,
                    n=parent.slices + 1,
                    due_at=self.scene.now,
                    inputs=a.SliceInputs(at=self.scene.now),
                    quantity=Decimal(words[0]),
                    price=Decimal(words[1][1:]) if Decimal(words[0]) else None,
                    reason="" if Decimal(words[0]) else words[1],
                )
            case "pause" | "keep":
                return ac.PauseAlgo(order_id=ALGO_ID, source="client", reason=words[0], keeps_child=verb == "keep")
            case "resume":
                return ac.ResumeAlgo(order_id=ALGO_ID, source="client")
            case "amend":
                terms = {"limit_price": parent.limit_price, "end_at": parent.end_at, "params": parent.params}
                return ac.AmendAlgo(order_id=ALGO_ID, quantity=Decimal(words[0]), **terms)  # type: ignore[arg-type]
            case "cancel":
                return ac.CancelAlgo(order_id=ALGO_ID)
            case "kill":
                return ac.CancelAlgo(order_id=ALGO_ID, source="risk_control", reason="killed")
        assert verb == "end", verb
        return ac.EndAlgo(order_id=ALGO_ID)


def _told(event: e.OrderEvent) -> str:
    """The event, and the state of its parent or order after it."""
    return f"{type(event).__name__} {event.state if isinstance(event, a.AnyAlgoEvent) else event.status}"


def check(text: str) -> Told:
    """Play a scene; every line that begins with `>` says what the line before it became."""
    told, found = Told(), list[str]()
    for line in filter(None, map(str.strip, text.splitlines())):
        if not line.startswith(">"):
            found = told.said(line)
        elif line.startswith("> refused"):
            assert (told.refused, found) == (line.split()[-1], []), line
        else:
            assert ", ".join(found) == line.removeprefix(">").strip().replace("nothing", ""), line
    return told


def test_a_parent_trades_slice_by_slice_to_its_end() -> None:
    told = check("""
        slice 4 @50
        > AlgoSliced working, OrderSubmitted new, OrderRiskChecked risk_checked, OrderQueued queued
        rest 1
        > OrderRouted routed, RouteAcknowledged routed
        fill 1 4
        > OrderFilled filled
        slice 0 no_quote
        > AlgoSliced working
        slice 6 @51
        > AlgoSliced working, OrderSubmitted new, OrderRiskChecked risk_checked, OrderQueued queued
        rest 3
        fill 3 2
        > OrderFilled partially_filled
        fill 3 4
        > OrderFilled filled, AlgoEnded done
    """)
    assert (told.scene.parent.reason, told.scene.parent.cum_quantity, told.scene.parent.children) == ("filled", Decimal(10), 2)


def test_a_parent_starts_with_its_first_slice_when_its_time_has_come() -> None:
    check("""
        later 5
        > AlgoSubmitted accepted
        slice 4 @50
        > refused too_early
        wait 5
        slice 4 @50
        > AlgoStarted working, AlgoSliced working, OrderSubmitted new, OrderRiskChecked risk_checked, OrderQueued queued
    """)


def test_a_pause_cancels_the_child_and_a_resumption_continues_with_the_next_slice() -> None:
    check("""
        slice 4 @50
        rest 1
        pause lunch
        > AlgoPaused paused, CancelRequested pending_cancel
        pause lunch
        > nothing
        slice 4 @50
        > refused illegal_transition
        closed 1
        > OrderCancelled cancelled
        resume
        > AlgoResumed working
        resume
        > nothing
        slice 4 @50
        > AlgoSliced working, OrderSubmitted new, OrderRiskChecked risk_checked, OrderQueued queued
        keep lunch
        > AlgoPaused paused
    """)


def test_terms_are_amended_down_to_what_is_committed() -> None:
    check("""
        slice 4 @50
        amend 12
        > AlgoAmended working
        amend 12
        > nothing
        amend 3
        > refused quantity_committed
        amend 4
        > AlgoAmended working
        slice 1 @50
        > refused child_open
        rest 1
        fill 1 4
        > OrderFilled filled, AlgoEnded done
    """)


def test_a_cancel_ends_the_parent_once_its_child_has_ended() -> None:
    told = check("""
        slice 4 @50
        rest 1
        cancel
        > AlgoEnding ending, CancelRequested pending_cancel
        cancel
        > nothing
        resume
        > refused illegal_transition
        refused 1
        > CancelRejected routed
        fill 1 1
        > OrderFilled partially_filled, CancelRequested pending_cancel
        closed 1
        > OrderCancelled cancelled, AlgoEnded cancelled
        cancel
        > nothing
    """)
    assert (told.scene.parent.cum_quantity, told.scene.parent.reason) == (Decimal(1), "cancelled")


@pytest.mark.parametrize(("word", "state", "reason"), [("kill", "cancelled", "killed"), ("end", "expired", "expired")])
def test_a_parent_without_a_child_ends_at_once(word: str, state: str, reason: str) -> None:
    told = check(f"""
        {word}
        > AlgoEnding ending, AlgoEnded {state}
        slice 1 @50
        > refused illegal_transition
        amend 11
        > refused illegal_transition
    """)
    assert told.scene.parent.reason == reason


def test_a_doubt_keeps_its_quantity_and_the_parent_until_there_is_evidence() -> None:
    told = check("""
        slice 4 @50
        rest 1
        doubt 1
        > OrderInDoubt in_doubt
        slice 7 @50
        > refused quantity_beyond_parent
        slice 6 @50
        > AlgoSliced working, OrderSubmitted new, OrderRiskChecked risk_checked, OrderQueued queued
        end
        > AlgoEnding ending, OrderCancelled cancelled
        fill 1 4
        > OrderFilled filled, AlgoEnded expired
    """)
    assert told.scene.parent.cum_quantity == 4


def test_a_slice_keeps_to_the_limit_price_and_to_what_is_left() -> None:
    check("""
        slice 4 @60.01
        > refused beyond_limit_price
        slice 10.1 @50
        > refused quantity_beyond_parent
        slice 0 @50
    """)


def test_the_fold_counts_a_trade_after_the_end_and_flags_it() -> None:
    told = check("""
        slice 4 @50
        rest 1
        cancel
        closed 1
        > OrderCancelled cancelled, AlgoEnded cancelled
        fill 1 4
        > OrderFilled filled
    """)
    parent = told.scene.parent
    assert (parent.cum_quantity, parent.flags, parent.state) == (Decimal(4), ("late_trade",), a.AlgoState.CANCELLED)


def test_after_five_refusals_in_a_row_the_parent_is_paused() -> None:
    told = Told()
    told.scene.denies = "price_collar"
    for _ in range(4):
        told.said("slice 1 @50")
    assert told.said("slice 1 @50")[-1] == "AlgoPaused paused"
    assert (told.scene.parent.reason, told.scene.parent.source, told.scene.parent.free_quantity) == ("refusals", "oms", Decimal(10))
