"""What every order store promises: saved together with its checkpoint, found again exactly, newest first, damage told from absence."""

import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters.codec import encode
from adapters.memory import MemoryOrderStore
from adapters.orderstore import CONDITIONS, SqliteOrderStore
from domain.order.index import EQUAL_FIELDS, OrderFilter
from domain.order.lifecycle import State
from domain.order.order import Order, Route, Trade
from domain.ports import Head, OrderStore, Unavailable
from domain.values import OrderType, Side, TimeInForce, order_id_of

MakeStore = Callable[[], OrderStore]
HEAD = Head(7, 7, "chain")


@pytest.fixture(params=["memory", "sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> MakeStore:
    """Opens the same store again and again, as restarts do."""
    if request.param == "memory":
        only = MemoryOrderStore()
        return lambda: only
    return lambda: SqliteOrderStore(tmp_path / "orders.db")


def an_order(name: str, *, at: int = 1, status: State = State.FILLED, account: str = "alice", symbol: str = "BTCUSDT") -> Order:
    return Order(
        order_id=order_id_of(account, name),
        account=account,
        client_order_id=name,
        symbol=symbol,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal("0.100000000001"),
        price=Decimal("64250.123456789012"),
        stop_price=None,
        time_in_force=TimeInForce.GTC,
        expire_at=None,
        priority=0,
        created_at=at,
        updated_at=at,
        status=status,
        routes=(Route("r-1", "PAPER_A", Decimal("0.1"), Decimal("0.1"), "o1"),),
        trades=(Trade("PAPER_A", "x1", "r-1", Decimal("0.1"), Decimal("1E-8"), Decimal(0)),),
        seqs=(1, 2),
    )


def save(store: OrderStore, *orders: Order, checkpoint: int = 7, head: Head = HEAD) -> None:
    store.save([(order, encode(order)) for order in orders], checkpoint=checkpoint, head=head, report_seqs={"PAPER_A": 3})


def test_an_empty_store_has_nothing_to_begin_with(opened: MakeStore) -> None:
    store = opened()
    assert store.load() is None
    assert store.find("absent") is None
    assert store.page(OrderFilter(), None, 10) == []
    store.close()


def test_an_order_comes_back_to_the_last_digit(opened: MakeStore) -> None:
    store = opened()
    save(store, an_order("a"))
    assert store.find(order_id_of("alice", "a")) == an_order("a")
    store.close()


def test_a_restart_begins_with_the_open_orders_and_the_checkpoint(opened: MakeStore) -> None:
    store = opened()
    save(store, an_order("done"), an_order("open", status=State.ROUTED), checkpoint=5)
    store.close()
    again = opened()
    found = again.load()
    assert found is not None
    assert (found.checkpoint, found.head, found.report_seqs) == (5, HEAD, {"PAPER_A": 3})
    assert [order.client_order_id for order in found.open] == ["open"]
    assert found.counts == {"filled": 1, "routed": 1}
    again.close()


def held_by(store: OrderStore) -> dict[tuple[str, str], Decimal]:
    found = store.load()
    assert found is not None
    return found.held


def test_what_accounts_hold_comes_back_exactly_and_what_is_flat_is_gone(opened: MakeStore) -> None:
    store = opened()
    first = {("alice", "BTCUSDT"): Decimal("0.100000000001"), ("alice", "ETH/USD"): Decimal("-1E-8"), ("bob", "BTCUSDT"): Decimal(2)}
    store.save([], checkpoint=7, head=HEAD, report_seqs={}, held=first)
    assert held_by(store) == first
    with store.picture() as picture:
        assert picture is not None
        assert dict(picture.held) == first
    store.save([], checkpoint=8, head=HEAD, report_seqs={}, held={("alice", "BTCUSDT"): Decimal(0), ("bob", "BTCUSDT"): Decimal(3)})
    store.close()
    again = opened()
    assert held_by(again) == {("alice", "ETH/USD"): Decimal("-1E-8"), ("bob", "BTCUSDT"): Decimal(3)}
    save(again, an_order("a"))
    assert len(held_by(again)) == 2, "a save that names none changes none"
    again.clear()
    save(again, an_order("a"))
    assert held_by(again) == {}
    again.close()


@pytest.mark.parametrize("harm", ["quantity = '9'", "account = 'carol'", "checksum = 1", "quantity = 'much'"])
def test_a_holding_that_was_changed_is_never_believed(tmp_path: Path, harm: str) -> None:
    store = SqliteOrderStore(tmp_path / "orders.db")
    store.save([], checkpoint=7, head=HEAD, report_seqs={}, held={("alice", "BTCUSDT"): Decimal(2)})
    with sqlite3.connect(tmp_path / "orders.db") as other:
        other.execute(f"UPDATE held SET {harm}")
    other.close()
    assert store.load() is None
    store.close()


def test_saving_again_replaces(opened: MakeStore) -> None:
    store = opened()
    save(store, an_order("a", status=State.ROUTED))
    save(store, an_order("a", status=State.CANCELLED), checkpoint=9)
    found = store.find(order_id_of("alice", "a"))
    assert found is not None
    assert found.status is State.CANCELLED
    loaded = store.load()
    assert loaded is not None
    assert (loaded.checkpoint, loaded.open) == (9, [])
    store.close()


def test_where_an_order_stood_in_an_open_commit_is_forgotten(opened: MakeStore) -> None:
    store = opened()
    order = an_order("a")
    order.commit = 99
    save(store, order)
    found = store.find(order.order_id)
    assert found is not None
    assert found.commit == 0
    store.close()


def test_pages_go_from_new_to_old_without_gap_or_repeat(opened: MakeStore) -> None:
    store = opened()
    save(store, *(an_order(f"n{n}", at=n // 2, account="alice" if n % 3 else "bob") for n in range(20)))
    seen: list[Order] = []
    below = None
    while page := store.page(OrderFilter(account="alice"), below, 4):
        seen += page
        below = (page[-1].created_at, page[-1].order_id)
    assert len(seen) == len({order.order_id for order in seen}) == 13
    assert [order.created_at for order in seen] == sorted((order.created_at for order in seen), reverse=True)
    store.close()


def test_pages_go_from_old_to_new_if_they_are_asked_to(opened: MakeStore) -> None:
    store = opened()
    save(store, *(an_order(f"n{n}", at=n // 2) for n in range(10)))
    seen: list[Order] = []
    behind = None
    while page := store.page(OrderFilter(), behind, 3, oldest_first=True):
        seen += page
        behind = (page[-1].created_at, page[-1].order_id)
    assert seen == store.page(OrderFilter(), None, 20)[::-1]
    store.close()


def test_orders_are_chosen_by_being_open_and_by_when_they_came(opened: MakeStore) -> None:
    store = opened()
    save(store, *(an_order(f"n{n}", at=n, status=State.ROUTED if n % 2 else State.FILLED) for n in range(6)))

    def found(**wanted: Any) -> list[str]:
        return [order.client_order_id for order in store.page(OrderFilter(**wanted), None, 10)]

    assert (found(closed=False), found(closed=True)) == (["n5", "n3", "n1"], ["n4", "n2", "n0"])
    assert found(since_ns=2, until_ns=4) == ["n3", "n2"], "the first moment is in, the last is not"
    assert found(since_ns=2, until_ns=5, closed=False) == ["n3"]
    for beyond in (10**30, -(10**30)):
        assert found(since_ns=beyond) == ([] if beyond > 0 else [f"n{n}" for n in reversed(range(6))])
        assert found(until_ns=beyond) == ([] if beyond < 0 else [f"n{n}" for n in reversed(range(6))])
    store.close()


def test_every_field_of_a_filter_is_held_by_memory_and_by_the_store() -> None:
    assert set(CONDITIONS) == set(OrderFilter.__struct_fields__) == {*EQUAL_FIELDS, "client_order_id", "since_ns", "until_ns"}


def test_filters_hold_together(opened: MakeStore) -> None:
    store = opened()
    save(store, an_order("a"), an_order("b", status=State.ROUTED), an_order("c", symbol="ETHUSDT"), an_order("a", account="bob"))
    found = store.page(OrderFilter(account="alice", status=State.FILLED, symbol="BTCUSDT"), None, 10)
    assert [order.client_order_id for order in found] == ["a"]
    assert len(store.page(OrderFilter(client_order_id="a"), None, 10)) == 2
    store.close()


def test_a_cleared_store_is_empty(opened: MakeStore) -> None:
    store = opened()
    save(store, an_order("a"))
    store.clear()
    assert store.load() is None
    assert store.find(order_id_of("alice", "a")) is None
    store.close()


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE orders SET checksum = checksum + 1",
        "UPDATE orders SET body = zeroblob(40)",
        "UPDATE orders SET status = 'cancelled'",
        "UPDATE orders SET closed = 1",
        "UPDATE orders SET status = 'cancelled', closed = 1",
        "UPDATE orders SET account = 'bob'",
        "UPDATE orders SET created_at = 2",
    ],
)
def test_a_damaged_row_is_never_an_order(tmp_path: Path, harm: str) -> None:
    # FAILURES 51
    store = SqliteOrderStore(tmp_path / "orders.db")
    save(store, an_order("a", status=State.ROUTED))
    with sqlite3.connect(tmp_path / "orders.db") as other:
        other.execute(harm)
    other.close()
    with pytest.raises(Unavailable):
        store.find(order_id_of("alice", "a"))
    with pytest.raises(Unavailable):
        store.page(OrderFilter(), None, 10)
    assert store.load() is None
    store.close()


@pytest.mark.parametrize("harm", ["status = 'rejected'", "closed = 0", "status = 'routed', closed = 0"])
def test_a_closed_order_that_was_changed_is_found_at_the_start_although_nothing_reads_it(tmp_path: Path, harm: str) -> None:
    store = SqliteOrderStore(tmp_path / "orders.db")
    save(store, an_order("a"), an_order("b"))
    assert store.load() is not None
    store.close()
    with sqlite3.connect(tmp_path / "orders.db") as other:
        other.execute(f"UPDATE orders SET {harm} WHERE client_order_id = 'a'")
    other.close()
    again = SqliteOrderStore(tmp_path / "orders.db")
    assert again.load() is None
    again.close()


def test_a_file_that_is_no_database_is_made_again(tmp_path: Path) -> None:
    # FAILURES 51
    (tmp_path / "orders.db").write_bytes(b"rubbish" * 1000)
    store = SqliteOrderStore(tmp_path / "orders.db")
    assert store.load() is None
    store.clear()
    save(store, an_order("a"))
    assert store.find(order_id_of("alice", "a")) is not None
    store.close()


def test_a_picture_has_every_row_in_order_and_says_where_it_was_taken(opened: MakeStore) -> None:
    with opened().picture() as picture:
        assert picture is None
    orders = [
        an_order(name, at=at, status=status) for name, at, status in (("c", 1, State.NEW), ("a", 2, State.FILLED), ("b", 3, State.NEW))
    ]
    save(opened(), *orders, checkpoint=6)
    with opened().picture() as picture:
        assert picture is not None
        assert (picture.checkpoint, picture.head) == (6, HEAD)
        assert list(picture.rows) == [(order.order_id, order) for order in sorted(orders, key=lambda order: order.order_id)]


def test_a_picture_does_not_move_while_orders_are_saved(tmp_path: Path) -> None:
    writer, reader = SqliteOrderStore(tmp_path / "orders.db"), SqliteOrderStore(tmp_path / "orders.db")
    save(writer, an_order("a"))
    with reader.picture() as picture:
        save(writer, an_order("b"), checkpoint=9)
        assert picture is not None
        assert (picture.checkpoint, len(list(picture.rows))) == (7, 1)
    with reader.picture() as picture:
        assert picture is not None
        assert (picture.checkpoint, len(list(picture.rows))) == (9, 2)


@pytest.mark.parametrize(
    "change", ["body = CAST(body AS TEXT)", "body = x'7b7d'", "checksum = 1", "status = 'new'", "closed = 0", "symbol = 'ETHUSDT'"]
)
def test_a_picture_tells_a_row_that_does_not_verify(tmp_path: Path, change: str) -> None:
    store = SqliteOrderStore(tmp_path / "orders.db")
    save(store, an_order("a"), an_order("b"))
    with sqlite3.connect(tmp_path / "orders.db") as connection:
        connection.execute(f"UPDATE orders SET {change} WHERE client_order_id = 'a'")
    connection.close()
    with store.picture() as picture:
        assert picture is not None
        assert dict(picture.rows) == {order_id_of("alice", "a"): None, order_id_of("alice", "b"): an_order("b")}
