"""What every order store promises for parents: saved with the orders, found again exactly, newest first, damage told from absence."""

import sqlite3
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from adapters.codec import encode
from adapters.orderstore import SqliteOrderStore
from domain.order.algo import AlgoFilter, AlgoState, OpenChild, Parent
from domain.ports import OrderStore, Unavailable
from tests.contracts.test_order_store import HEAD, MakeStore
from tests.contracts.test_order_store import opened as opened
from tests.domain.groups.parents import parent


def a_parent(name: str, at: int, state: AlgoState = AlgoState.WORKING, account: str = "alice") -> Parent:
    child = OpenChild(order_id="c1", n=2, leaves_quantity=Decimal("0.100000000001"), doubtful=True)
    found = parent(seconds=60, pause_on={"spread_bps_max": 5})
    return msgspec.structs.replace(
        found, algo_id=name, account=account, created_at=at, state=state, open_children=(child,), seqs=(1, 4), seen=5
    )


def save(store: OrderStore, *parents: Parent) -> None:
    store.save([], checkpoint=7, head=HEAD, report_seqs={}, parents=[(each, encode(each)) for each in parents])


def test_a_parent_comes_back_to_the_last_digit(opened: MakeStore) -> None:
    store = opened()
    assert store.parent("p-1") is None
    save(store, msgspec.structs.replace(a_parent("p-1", 1), commit=3))
    store.close()
    again = opened()
    assert again.parent("p-1") == a_parent("p-1", 1), "the ticket is of one process"
    changed = msgspec.structs.replace(a_parent("p-1", 1), version=2, state=AlgoState.DONE)
    save(again, changed)
    assert again.parent("p-1") == changed
    again.close()


def test_a_restart_begins_with_the_parents_that_have_not_ended(opened: MakeStore) -> None:
    store = opened()
    save(store, a_parent("p-1", 1), a_parent("p-2", 2, AlgoState.DONE), a_parent("p-3", 3, AlgoState.ENDING))
    found = store.load()
    assert found is not None
    assert sorted(each.algo_id for each in found.parents) == ["p-1", "p-3"]
    store.clear()
    assert store.parent("p-1") is None
    store.close()


def test_pages_go_from_the_newest_to_the_oldest_by_account_and_state(opened: MakeStore) -> None:
    store = opened()
    save(
        store,
        *(a_parent(f"p-{n}", n // 2, AlgoState.DONE if n % 2 else AlgoState.WORKING) for n in range(6)),
        a_parent("b", 9, account="bob"),
    )

    def names(wanted: AlgoFilter, below: tuple[int, str] | None = None, limit: int = 10) -> list[str]:
        return [each.algo_id for each in store.parents(wanted, below, limit)]

    assert names(AlgoFilter(account="alice"), limit=2) == ["p-5", "p-4"]
    assert names(AlgoFilter(account="alice"), (2, "p-4")) == ["p-3", "p-2", "p-1", "p-0"]
    assert names(AlgoFilter(states=(AlgoState.DONE, AlgoState.EXPIRED))) == ["p-5", "p-3", "p-1"]
    assert names(AlgoFilter(), limit=1) == ["b"]
    store.close()


def test_a_damaged_parent_is_not_taken_for_an_absent_one(tmp_path: Path) -> None:
    store = SqliteOrderStore(tmp_path / "orders.db")
    save(store, a_parent("p-1", 1, AlgoState.CANCELLED))
    store.close()
    with sqlite3.connect(tmp_path / "orders.db") as file:
        file.execute("UPDATE parents SET state = 'done' WHERE algo_id = 'p-1'")
    file.close()
    again = SqliteOrderStore(tmp_path / "orders.db")
    with pytest.raises(Unavailable, match="the checksum of parent p-1 is wrong"):
        again.parent("p-1")
    assert again.load() is None, "it is rebuilt from the journal"
    again.close()
