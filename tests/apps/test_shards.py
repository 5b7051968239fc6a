"""Two shards in one oms: each has its own journal, ids find it, lists read both, and one that is away leaves the other alone."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryFills, MemoryJournal, MemoryLog, MemoryPositions
from apps.http.app import Handler, application, fast_path
from apps.journal.group_commit import Pace
from apps.journal.shard_host import ShardHost
from apps.journal.shard_hosts import ShardHosts
from apps.oms import list_routes
from apps.oms.accounts import Accounts
from apps.oms.list_rules import list_rules
from apps.oms.lists import ListHandler
from apps.oms.metrics import OmsMetrics
from apps.oms.reads import OrderReads
from apps.oms.replace import ReplaceHandler
from apps.oms.routes import router
from apps.oms.submit import SubmitHandler
from apps.oms.submit_body import TermsReader
from apps.oms.submit_endpoint import SubmitEndpoint
from domain.access.keys import KeyRing
from domain.market.quotes import Market
from domain.order.events import OrderSubmitted
from domain.risk.controls import Controls
from domain.shards import Shards
from domain.values import OrderType
from tests.apps.callers import as_caller
from tests.apps.oms_house import HeldRisk
from tests.apps.submits import CURRENCY, INSTRUMENTS

SHARDS = Shards(2)
ALICE, BOB = (next(name for name in ("alice", "bob", "carol", "dora", "emil") if SHARDS.of(name) == shard) for shard in (0, 1))
BRACKET = {
    "type": "bracket",
    "client_list_id": "l-1",
    "orders": [
        {"symbol": "BTCUSDT", "side": "buy", "quantity": 0.1, "price": 50000},
        {"role": "take_profit", "price": 60000},
        {"role": "stop_loss", "stop_price": 40000},
    ],
}


class TwoShards:
    """The handlers of oms over the hosts of two shards."""

    def __init__(self) -> None:
        self.logs = (MemoryLog(), MemoryLog())
        clock, rules, risk = SystemClock(), list_rules(INSTRUMENTS, Controls(), SHARDS), HeldRisk()
        self.journals = [MemoryJournal(log) for log in self.logs]
        self.hosts = ShardHosts(
            [ShardHost(journal, clock, shard=shard, pace=Pace(), rules=rules, shards=SHARDS) for shard, journal in enumerate(self.journals)]
        )
        intake = SubmitHandler(
            self.hosts,
            risk,  # type: ignore[arg-type]
            forbids=lambda terms: None,
            informed=lambda: True,
            open_orders_max=1000,
            in_flight_max=4096,
        )
        reader = TermsReader(INSTRUMENTS, "main", frozenset(OrderType), KeyRing().may_trade, shards=SHARDS)
        reads = OrderReads(self.hosts)
        accounts = Accounts(MemoryPositions(), MemoryFills(), Market(), clock, 10.0, CURRENCY)
        replaces = ReplaceHandler(self.hosts, risk, INSTRUMENTS, intake.forbidden)  # type: ignore[arg-type]
        lists = ListHandler(self.hosts, intake, risk, 10)  # type: ignore[arg-type]
        listed = list_routes.router(lists, list_routes.ListReads(self.hosts, reads), reader, clock)
        own = router(self.hosts, reads, accounts, replaces, INSTRUMENTS, KeyRing().may_trade)
        door = SubmitEndpoint(reader, intake, clock, OmsMetrics(CollectorRegistry()))
        self.app: Handler = fast_path(application("oms", own, listed), {("POST", "/orders"): door})

    def accounts_in(self, shard: int) -> set[str]:
        """The accounts of the orders in the journal of a shard."""
        events = [event for _, payload in self.logs[shard].commits for event in ORDER_COMMITS.decode(payload).events]
        return {event.account for event in events if isinstance(event, OrderSubmitted)}


@contextlib.asynccontextmanager
async def two_shards() -> AsyncIterator[tuple[TwoShards, httpx.AsyncClient]]:
    oms = TwoShards()
    running = [asyncio.create_task(host.run()) for host in oms.hosts.all]
    try:
        async with asyncio.timeout(60):
            while not all(host.ready for host in oms.hosts.all):
                await asyncio.sleep(0.001)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=as_caller(oms.app)), base_url="http://oms") as client:
            yield oms, client
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def submitted(client: httpx.AsyncClient, account: str, name: str) -> dict[str, Any]:
    body = {"account": account, "symbol": "BTCUSDT", "side": "buy", "quantity": 0.1, "price": 50000, "client_order_id": name}
    answer = await client.post("/orders", content=json.dumps(body).encode(), headers={"content-type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["shard"] == str(answer.json()["shard"]) == str(SHARDS.of(account))
    found: dict[str, Any] = answer.json()
    return found


async def test_each_order_is_in_the_journal_of_its_account_and_its_id_finds_it() -> None:
    async with two_shards() as (oms, client):
        for account in (ALICE, BOB):
            order_id = (await submitted(client, account, "a"))["order_id"]
            shown = await client.get(f"/orders/{order_id}")
            assert (shown.json()["account"], shown.json()["shard"], shown.json()["seq"]) == (account, SHARDS.of(account), 1)
            assert shown.headers["shard"] == str(SHARDS.of(account))
            assert (await client.delete(f"/orders/{order_id}")).json()["status"] == "cancelled"
            events = (await client.get(f"/orders/{order_id}/events")).json()["events"]
            assert events[0]["type"] == "OrderSubmitted"
        assert [oms.accounts_in(shard) for shard in (0, 1)] == [{ALICE}, {BOB}]
        assert (await client.get("/orders/0200000000000000000000000000000a")).status_code == 404, "it names no shard"


async def test_a_repeated_name_is_one_order_in_each_shard() -> None:
    async with two_shards() as (_, client):
        first = [await submitted(client, account, "same") for account in (ALICE, BOB)]
        again = [await submitted(client, account, "same") for account in (ALICE, BOB)]
        assert [answer["order_id"] for answer in again] == [answer["order_id"] for answer in first]
        assert all(answer["replayed"] for answer in again)


async def test_a_list_without_an_account_goes_over_all_shards_by_the_same_cursor() -> None:
    async with two_shards() as (_, client):
        made = [(await submitted(client, account, f"o-{n}"))["order_id"] for n in range(3) for account in (ALICE, BOB)]
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (await client.get("/orders", params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
            found += [order["order_id"] for order in page["orders"]]
            cursor = page["next"]
        assert found == made[::-1]
        assert [order["account"] for order in (await client.get("/orders", params={"account": BOB})).json()["orders"]] == [BOB] * 3


async def test_orders_of_a_list_are_in_the_shard_of_their_account() -> None:
    async with two_shards() as (oms, client):
        for account in (ALICE, BOB):
            made = (await client.post("/order-lists", json=BRACKET | {"account": account})).json()
            assert made["shard"] == SHARDS.of(account) == SHARDS.of_id(made["list_id"])
            assert {SHARDS.of_id(order["order_id"]) for order in made["orders"]} == {SHARDS.of(account)}
            assert (await client.get(f"/order-lists/{made['list_id']}")).json()["account"] == account
        assert len((await client.get("/order-lists")).json()["lists"]) == 2
        assert [oms.accounts_in(shard) for shard in (0, 1)] == [{ALICE}, {BOB}]


async def test_a_shard_whose_journal_does_not_answer_leaves_the_other_alone_and_no_list_looks_whole_without_it() -> None:
    async with two_shards() as (oms, client):
        kept = (await submitted(client, ALICE, "kept"))["order_id"]
        oms.logs[1].down = True
        body = {"account": BOB, "symbol": "BTCUSDT", "side": "buy", "quantity": 0.1, "price": 50000}
        assert (await client.post("/orders", json=body)).status_code == 503
        assert (await client.get(f"/orders/{kept}")).status_code == 200
        await submitted(client, ALICE, "next")
        assert (await client.get("/orders")).status_code == 503
        assert len((await client.get("/orders", params={"account": ALICE})).json()["orders"]) == 2
