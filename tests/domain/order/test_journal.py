"""Events of the order journal that belong to no order: every fold goes past them, and nothing moves."""

import pytest

from domain.audit.checker import Audit, ObservedCommit
from domain.execution.projection import Executions
from domain.order.events import ALGO_EVENTS, OF_NO_ORDER, JournalAccepted, OrderEvent, ShardHeld, ShardReleased, ShardTaken
from domain.order.index import Orders
from domain.position.position import PositionBook
from domain.position.rows import EventRow, Owners, table_rows
from tests.domain.risk.scene import new_risk
from tests.given import NOW

ACCEPTED = JournalAccepted(at=NOW, who="ann", reason="the disk was lost", goes_on_from=7, acknowledged_to=9)
TAKEN = ShardTaken(at=NOW, unit="unit-0", sender="exeq-1")
RELEASED = ShardReleased(at=NOW, unit="unit-0", to="unit-1")
HELD = ShardHeld(at=NOW, unit="unit-0")
EACH = pytest.mark.parametrize("event", [ACCEPTED, TAKEN, HELD, RELEASED], ids=lambda event: type(event).__name__)


@EACH
def test_an_event_about_the_journal_belongs_to_no_order(event: OrderEvent) -> None:
    orders, book = Orders(), PositionBook()
    assert orders.apply(event) is None
    assert not any((orders.by_id, orders.states, orders.steps, orders.report_seqs))
    assert book.apply(event, 8) is None
    assert not book.positions


@EACH
def test_risk_and_execution_only_note_the_place_of_an_event_about_the_journal(event: OrderEvent) -> None:
    risk, executions = new_risk(), Executions()
    risk.fold.apply(event, 8)
    executions.apply(event)
    assert risk.fold.seq == 8
    assert not any((risk.exposure.accounts, risk.exposure.orders))
    assert not any((executions.working, executions.to_send, len(executions.queue)))


@EACH
def test_readers_of_the_tables_find_it_without_an_owner(event: OrderEvent) -> None:
    fills, rows = table_rows([EventRow(event=event, seq=8, index=0)], Owners())
    assert not fills
    assert [(row.type, row.account, row.symbol, row.seq) for row in rows] == [(type(event).__name__, None, None, 8)]
    said = '"who":"ann"' if isinstance(event, JournalAccepted) else '"unit":"unit-0"'
    assert said in rows[0].detail


def test_each_kind_is_here() -> None:
    event: OrderEvent
    for event in (TAKEN,):
        assert isinstance(event, ShardTaken)
    for event in (HELD,):
        assert isinstance(event, ShardHeld)
    for event in (RELEASED,):
        assert isinstance(event, ShardReleased)
    assert {type(event) for event in (ACCEPTED, TAKEN, HELD, RELEASED)} == set(OF_NO_ORDER) - set(ALGO_EVENTS)


@EACH
def test_it_breaks_no_invariant(event: OrderEvent) -> None:
    audit = Audit()
    audit._event(event, 8)
    assert audit.violations == []
    assert ObservedCommit(8, 8, "", b"", (event,)).events == (event,)
