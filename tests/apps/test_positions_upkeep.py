"""Positions that were spoiled in the store: found by the journal alone, corrected, counted; the second look finds nothing."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from adapters.codec import encode
from adapters.memory import MemoryJournal, MemoryPositions
from apps.oms.reconciliation import PositionReconciliation, PositionsPass
from apps.runtime.helper_process import Ended, TookTooLong
from apps.tools.history.books import Books
from apps.tools.reconcile import positions as reconciling
from apps.tools.reconcile.positions import reconcile
from domain.ports import Unavailable
from domain.position.comparison import PositionDifference
from tests.apps.test_past import END, HISTORY, folded, journal_of


async def projected(upto: int = END) -> tuple[MemoryJournal, MemoryPositions]:
    journal, store = await journal_of(), MemoryPositions()
    assert await store.store(folded(HISTORY, upto).values(), after=0, seq=upto)
    return journal, store


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no other writer: there is no projector to wait for."""
    monkeypatch.setattr("apps.tools.rebuild.PROJECTOR_LOOKS_S", 0.0)


@pytest.mark.parametrize("upto", [END, END - 2])
async def test_what_is_right_is_left_alone(upto: int) -> None:
    journal, store = await projected(upto)
    before = dict(store.positions)
    assert await reconcile(journal, store) == PositionsPass(upto, len(before))
    assert store.positions == before


@pytest.mark.usefixtures("impatient")
async def test_a_spoiled_a_missing_and_a_foreign_position_are_corrected_and_counted(tmp_path: Path) -> None:
    journal, store = await projected()
    good = dict(store.positions)
    (first, one), (second, _), *_ = good.items()
    store.positions[first] = msgspec.structs.replace(one, quantity=one.quantity + 1)
    del store.positions[second]
    found = await reconcile(journal, store, Books(tmp_path))
    assert found.repaired == 2
    assert PositionDifference(*first, "quantity", one.quantity, one.quantity + 1) in found.differences
    assert (store.positions, store.seq) == (good, END)
    assert (await reconcile(journal, store)).repaired == 0, "a second pass does nothing"
    store.positions["mallory", "BTCUSDT"] = msgspec.structs.replace(one, account="mallory", quantity=Decimal(5))
    assert (await reconcile(journal, store)).repaired == 1
    assert store.positions == good


@pytest.mark.usefixtures("impatient")
async def test_it_continues_from_a_saved_fold_and_still_finds_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "BOOK_EVERY_EVENTS", 1)
    journal, store = await projected()
    books = Books(tmp_path)
    assert (await reconcile(journal, store, books)).repaired == 0
    assert (await books.newest(journal, END))[0].seq == END
    (key, one), *_ = store.positions.items()
    good = dict(store.positions)
    store.positions[key] = msgspec.structs.replace(one, fees=one.fees + 1)
    assert (await reconcile(journal, store, books)).repaired == 1
    assert store.positions == good


async def test_nothing_projected_is_nothing_to_compare_and_another_journal_is_not_touched() -> None:
    assert await reconcile(await journal_of(), MemoryPositions()) == PositionsPass(0, 0)
    journal, store = await projected()
    store.seq = END + 1
    with pytest.raises(Unavailable, match="another journal"):
        await reconcile(journal, store)
    assert store.positions


class Program:
    """Answers as it is told."""

    def __init__(self, *answers: Ended | Exception) -> None:
        self._answers = list(answers)

    async def ask(self) -> Ended:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_passes_and_repairs_are_counted_and_trouble_is_no_end() -> None:
    different = PositionsPass(7, 3, (PositionDifference("alice", "BTCUSDT", "quantity", 1, 2),), 1)
    program = Program(
        Ended(0, encode(PositionsPass(5, 3)), ""),
        Ended(0, encode(different), ""),
        Ended(3, b"", "NATS does not answer"),
        TookTooLong(),
        Ended(0, encode(PositionsPass(9, 3)), ""),
    )
    registry = CollectorRegistry()
    upkeep = PositionReconciliation(60.0, registry, program)  # type: ignore[arg-type]
    for _ in range(5):
        await upkeep.look()
    assert upkeep.stats() == {"passes": 3, "failed": 2, "repaired": 1, "as_of_seq": 9, "positions": 3}
    assert registry.get_sample_value("oms_positions_repaired_total") == 1
    assert registry.get_sample_value("oms_positions_reconciled_total", {"outcome": "failed"}) == 2
