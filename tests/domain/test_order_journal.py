"""An event of the order journal that belongs to no order: every fold goes past it, and nothing moves."""

from domain.checker import Audit, Commit
from domain.events import JournalAccepted
from domain.executions import Executions
from domain.orders import Orders
from domain.ports import EventRow
from domain.position import Book
from domain.projections import Owners, table_rows
from tests.domain.risk_scene import new_risk
from tests.given import NOW

ACCEPTED = JournalAccepted(at=NOW, who="ann", reason="the disk was lost", goes_on_from=7, acknowledged_to=9)


def test_nobody_has_an_order_for_it() -> None:
    orders, book = Orders(), Book()
    assert orders.apply(ACCEPTED) is None
    assert not any((orders.by_id, orders.states, orders.steps, orders.report_seqs))
    assert book.apply(ACCEPTED, 8) is None
    assert not book.positions


def test_risk_and_execution_only_note_its_place() -> None:
    risk, executions = new_risk(), Executions()
    risk.fold.apply(ACCEPTED, 8)
    executions.apply(ACCEPTED)
    assert risk.fold.seq == 8
    assert not any((risk.exposure.accounts, risk.exposure.orders))
    assert not any((executions.working, executions.to_send, len(executions.queue)))


def test_readers_of_the_tables_find_it_without_an_owner() -> None:
    fills, rows = table_rows([EventRow(event=ACCEPTED, seq=8, index=0)], Owners())
    assert not fills
    assert [(row.type, row.account, row.symbol, row.seq) for row in rows] == [("JournalAccepted", None, None, 8)]
    assert '"who":"ann"' in rows[0].detail


def test_it_breaks_no_invariant() -> None:
    for event in (ACCEPTED,):
        assert isinstance(event, JournalAccepted)
        audit = Audit()
        audit._event(event, 8)
        assert audit.violations == []
        assert Commit(8, 8, "", b"", (event,)).events == (event,)
