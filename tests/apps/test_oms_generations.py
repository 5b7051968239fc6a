"""Names of replaces, at the doors of oms: found, unique forever, and the same after a restart."""

import asyncio
from decimal import Decimal
from pathlib import Path

import httpx
import msgspec
import pytest

from adapters.codec import encode
from adapters.memory import MemoryLog, MemoryOrderStore
from adapters.orderstore import SqliteOrderStore
from domain.order.commands import ReplaceOrder, RouteOrder
from domain.order.events import Leg
from domain.order.index import OrderFilter
from domain.order.lifecycle import State
from domain.order.order import Order, evolve
from domain.ports import Head, OrderStore
from tests import given
from tests.apps import test_host
from tests.apps.held_journal import until
from tests.apps.oms_house import OmsHouse, living
from tests.apps.submits import GOOD
from tests.golden.scenes import Day


async def submit(client: httpx.AsyncClient, name: str, **more: object) -> httpx.Response:
    return await client.post("/orders", json={**GOOD, "client_order_id": name, **more})


async def patch(client: httpx.AsyncClient, order_id: str, **terms: object) -> httpx.Response:
    return await client.patch(f"/orders/{order_id}", json=terms)


async def found(client: httpx.AsyncClient, name: str, **more: str) -> list[str]:
    orders = (await client.get("/orders", params={"client_order_id": name, **more})).json()["orders"]
    return [each["order_id"] for each in orders]


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    return answer.status_code, answer.json()["code"], answer.json()["order_id"]


async def at_venue(house: OmsHouse, order_id: str) -> None:
    order = house.host.find(order_id)
    assert order is not None
    await house.host.perform(RouteOrder(order_id=order_id, legs=(Leg("R1", "PAPER_A", order.quantity),), policy="x"))
    said = given.report("accepted", account=order.account, symbol=order.symbol, side=str(order.side), venue_order_id="V1")
    await house.host.perform(msgspec.structs.replace(said, order_id=order_id))


async def test_a_replaced_order_is_found_by_all_its_names_and_shows_them() -> None:
    async with living() as (house, client):
        order_id = (await submit(client, "a-1")).json()["order_id"]
        await at_venue(house, order_id)
        answer = await patch(client, order_id, price=49, client_order_id='b "2"')
        assert (answer.status_code, answer.json()["client_order_id"]) == (202, "a-1")
        told = [(each["generation"], each["client_order_id"], each["price"], each["status"]) for each in answer.json()["generations"]]
        assert told == [(0, "a-1", 50, "current"), (1, 'b "2"', 49, "pending")]
        for name in ("a-1", 'b "2"'):
            assert await found(client, name) == await found(client, name, account="alice", status="open") == [order_id]
        assert await found(client, 'b "2"', account="bob") == []


async def test_a_name_is_used_up_forever_in_its_account() -> None:
    async with living() as (_, client):
        first = (await submit(client, "a-1")).json()["order_id"]
        second = (await submit(client, "a-2")).json()["order_id"]
        assert (await patch(client, first, quantity=2, client_order_id="b")).status_code == 200

        assert refused(await submit(client, "b")) == (422, "client_order_id_reused", first)
        assert refused(await patch(client, second, quantity=3, client_order_id="b")) == (422, "client_order_id_reused", first)
        assert refused(await patch(client, second, quantity=3, client_order_id="a-1")) == (422, "client_order_id_reused", first)
        assert refused(await patch(client, first, quantity=3, client_order_id="a-1")) == (422, "client_order_id_reused", first)
        assert refused(await patch(client, first, quantity=3, client_order_id="b")) == (422, "client_order_id_reused", first)
        assert (await submit(client, "b", account="bob")).json()["status"] == "submitted", "another account has names of its own"


async def test_a_repeated_request_with_its_name_changes_nothing() -> None:
    async with living() as (_, client):
        order_id = (await submit(client, "a-1")).json()["order_id"]
        await patch(client, order_id, quantity=2, client_order_id="b")
        version = (await patch(client, order_id, quantity=3, client_order_id="c")).json()["version"]
        again = await patch(client, order_id, quantity=2, client_order_id="b")
        assert (again.status_code, again.json()["version"], again.json()["quantity"]) == (200, version, 3)


async def test_of_a_submit_and_a_replace_at_the_same_time_one_gets_the_name() -> None:
    async with living() as (house, client):
        order_id = (await submit(client, "a-1")).json()["order_id"]
        house.risk.let.clear()
        submitting = asyncio.create_task(submit(client, "b"))
        await house.under_way(2)
        replacing = asyncio.create_task(patch(client, order_id, quantity=2, client_order_id="b"))
        await house.under_way(3)
        house.risk.let.set()
        answers = [(answer.status_code, answer.json().get("code")) for answer in (await submitting, await replacing)]
        assert sorted(answers, key=str) == [(200, None), (422, "client_order_id_reused")]
        assert len(await found(client, "b")) == 1


async def test_names_outlive_a_restart() -> None:
    log = MemoryLog()
    async with living(log) as (_, client):
        order_id = (await submit(client, "a-1")).json()["order_id"]
        await patch(client, order_id, quantity=2, client_order_id="b")
    async with living(log) as (_, client):
        assert refused(await submit(client, "b")) == (422, "client_order_id_reused", order_id)
        assert await found(client, "b") == [order_id]


async def test_a_name_must_be_printable() -> None:
    async with living() as (_, client):
        order_id = (await submit(client, "a-1")).json()["order_id"]
        answer = await patch(client, order_id, quantity=2, client_order_id="é")
        assert (answer.status_code, answer.json()["code"], answer.json()["pointer"]) == (400, "malformed", "/client_order_id")


def replaced_order(name: str, closed: bool) -> Order:
    day, order = Day(), None
    for line in ("submit buy 10 @50", "replace 12 named=R-2", *(["cancel"] if closed else [])):
        for event in day.play(f"{name} {line}"):
            order = evolve(order, event)
    assert order is not None
    return order


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("closed", [False, True])
def test_a_store_knows_the_names_of_what_it_stores(kind: str, closed: bool, tmp_path: Path) -> None:
    store: OrderStore = MemoryOrderStore() if kind == "memory" else SqliteOrderStore(tmp_path / "orders.db")
    order = replaced_order("x", closed)
    store.save([(order, encode(order))], checkpoint=7, head=Head(7, 7, "chain"), report_seqs={})
    assert (store.named("bob", "R-2"), store.named("bob", "x"), store.named("alice", "R-2")) == (order.order_id, None, None)
    assert store.page(OrderFilter(client_order_id="R-2"), None, 9) == store.page(OrderFilter(client_order_id="x"), None, 9) == [order]
    loaded = store.load()
    assert loaded is not None
    assert (loaded.naming, [each.status for each in loaded.open]) == (frozenset({"bob"}), [] if closed else [State.QUEUED])
    store.close()


@pytest.mark.parametrize("kept", [True, False], ids=["with its store", "without its store"])
async def test_the_name_of_a_replace_outlives_its_order_in_memory_and_a_restart(kept: bool) -> None:
    log, store = MemoryLog(), MemoryOrderStore()
    async with test_host.desk(log, store) as first:
        await first.do(test_host.submit("a"))
        order_id = first.order("a").order_id
        await first.do(ReplaceOrder(order_id=order_id, replace_id=f"{order_id}-r1", quantity=Decimal(4), client_order_id="b"))
        await first.do(test_host.cancel("a"))
        await until(lambda: order_id not in first.host.orders.by_id)
        found = first.host.book.named(given.ACCOUNT, "b")
        assert found is not None
        assert (found.order_id, first.host.orders.names) == (order_id, {})
    async with test_host.desk(log, store if kept else MemoryOrderStore()) as second:
        found = second.host.book.replaced_as(given.ACCOUNT, "b")
        assert found is not None
        assert (found.order_id, found.generation, found.closed) == (order_id, 1, True)
        assert second.host.book.replaced_as("bob", "b") is None
