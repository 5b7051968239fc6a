"""What must be true when all is well again, computed by a short way of its own: journal, venues, fills table, Valkey, REST."""

import asyncio
import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import httpx
import redis

from adapters import bus
from adapters.codec import ORDER_COMMITS, CommitCodec
from adapters.jetstream import JetStreamJournal
from apps.live_gateway.report_log import VENUE_COMMITS
from domain.order.events import OrderEvent, OrderFilled, OrderQueued, OrderSubmitted
from domain.paper.events import Reported, RequestTaken
from domain.ports import Head
from domain.values import ZERO, signed
from tests.flows.traffic import Asked, Traffic, first_answer
from tests.stack import LiveStack

SETTLED_WITHIN_S: Final = 120.0
"""A route without an answer is asked about after 2 s, and absent after it was denied three times, a second apart."""
PROJECTED_WITHIN_S: Final = 120.0
ANSWERS_AT_ONCE: Final = 8
VENUES: Final = ("PAPER_A", "PAPER_B")
NEVER_ARRIVED: Final = "never_arrived"

Fill = tuple[str, str, str, Decimal, Decimal]
"""Venue, exec_id, order_id, quantity with its sign, price."""


@dataclass
class Settled:
    """What came of the accepted orders in the end."""

    filled: int
    never_arrived: int


async def audit(stack: LiveStack, traffic: Traffic) -> Settled:
    """Wait until everything has come to rest, then look at it from every side."""
    orders = await _at_rest(stack, traffic)
    await _every_answer_stands(stack, traffic)
    events = await _journal(stack)
    settled = _the_orders_are_those_asked_for(traffic, orders, events)
    fills = _fills_of_the_journal(events)
    assert await _fills_of_the_venues(stack) == set(fills), "what the venues traded is what was booked"
    assert await _until_equal(lambda: _fills_table(stack), sorted(fills)), "each fill is in the table once"
    mine = [(account, fill) for account, fill in _by_account(events) if account in traffic.accounts]
    await _positions_are_the_sum_of(stack, traffic, mine)
    replay = await asyncio.to_thread(stack.trade, "replay", "positions")
    assert replay.returncode == 0, replay.stdout + replay.stderr
    return settled


async def _at_rest(stack: LiveStack, traffic: Traffic) -> list[dict[str, Any]]:
    """All orders of the run, none of them open any more."""
    deadline = time.monotonic() + SETTLED_WITHIN_S
    async with _oms(stack) as http:
        while True:
            orders = [order for account in traffic.accounts for order in await _orders_of(http, account)]
            still = Counter(order["status"] for order in orders if order["status"] not in ("filled", "rejected"))
            if not still:
                return orders
            assert time.monotonic() < deadline, f"these do not settle: {still}\n{stack.said()}"
            await asyncio.sleep(0.2)


async def _orders_of(http: httpx.AsyncClient, account: str) -> list[dict[str, Any]]:
    answer = await http.get("/orders", params={"account": account, "limit": 1000})
    assert answer.status_code == 200, answer.text
    assert answer.json()["next"] is None
    orders: list[dict[str, Any]] = answer.json()["orders"]
    return orders


async def _every_answer_stands(stack: LiveStack, traffic: Traffic) -> None:
    """Asked again, each order is answered what it was answered the first time; and it is found under its client_order_id, once."""
    waiting = iter(traffic.asked)

    async def ask_again() -> None:
        async with _oms(stack) as http:
            for asked in waiting:
                answer = await http.post("/orders", json=asked.body)
                assert answer.json() == {**asked.answer, "replayed": True}, f"first {first_answer(asked)}, now {answer.text}"
                await _found_once(http, asked)

    await asyncio.gather(*(ask_again() for _ in range(ANSWERS_AT_ONCE)))


async def _found_once(http: httpx.AsyncClient, asked: Asked) -> None:
    which = {name: asked.body[name] for name in ("account", "client_order_id")}
    found = (await http.get("/orders", params=which)).json()["orders"]
    assert [order["order_id"] for order in found] == [asked.answer["order_id"]]


def _the_orders_are_those_asked_for(traffic: Traffic, orders: list[dict[str, Any]], events: list[tuple[int, OrderEvent]]) -> Settled:
    """None lost, none twice, none without a request; the journal has each at the sequence that was answered."""
    answered = {asked.answer["order_id"]: asked for asked in traffic.asked}
    assert sorted(order["order_id"] for order in orders) == sorted(answered)
    mine = [(seq, event) for seq, event in events if event.order_id in answered]
    born = [(event.order_id, seq) for seq, event in mine if isinstance(event, OrderSubmitted)]
    assert sorted(born) == sorted((order_id, asked.answer["seq"]) for order_id, asked in answered.items())
    accepted = {event.order_id for _, event in mine if isinstance(event, OrderQueued)}
    assert accepted == {order_id for order_id, asked in answered.items() if asked.accepted}
    ends = Counter((order["status"], order["reason"]) for order in orders if order["order_id"] in accepted)
    settled = Settled(ends.pop(("filled", None), 0), ends.pop(("rejected", NEVER_ARRIVED), 0))
    assert not ends, f"orders that were accepted ended as {ends}"
    for order in orders:
        assert order["cum_quantity"] == (float(order["quantity"]) if order["status"] == "filled" else 0), order
    return settled


async def _journal(stack: LiveStack) -> list[tuple[int, OrderEvent]]:
    """Every event with its sequence; the reading itself proves chain and numbers. Reports were applied in their order."""
    events = await _read(stack, "OMS_JOURNAL", "oms.journal.0", ORDER_COMMITS)
    last: dict[str, int] = {}
    for _, event in events:
        if (number := getattr(event, "report_seq", None)) is not None:
            venue: str = event.venue
            assert number > last.get(venue, 0), f"report {number} of {venue} was applied behind {last[venue]}"
            last[venue] = number
    return events


async def _fills_of_the_venues(stack: LiveStack) -> set[Fill]:
    """What the venues themselves journaled. Their reports are numbered without a hole, and no route was sent to them twice."""
    fills: set[Fill] = set()
    for venue in VENUES:
        events = [event for _, event in await _read(stack, "PAPER_VENUES", f"venue.journal.{venue}", VENUE_COMMITS)]
        reports = [event.report for event in events if isinstance(event, Reported)]
        assert [report.report_seq for report in reports] == list(range(1, len(reports) + 1))
        taken = Counter(event.request.route_id for event in events if isinstance(event, RequestTaken))
        assert all(count == 1 for count in taken.values()), "a route was sent twice"
        for report in reports:
            if report.quantity is not None and report.price is not None:
                fills.add((venue, report.exec_id, report.order_id, signed(report.side, report.quantity), report.price))
    return fills


def _fills_of_the_journal(events: list[tuple[int, OrderEvent]]) -> list[Fill]:
    return [fill for _, fill in _by_account(events)]


def _by_account(events: list[tuple[int, OrderEvent]]) -> list[tuple[str, Fill]]:
    trades = [event for _, event in events if isinstance(event, OrderFilled)]
    return [(t.account, (t.venue, t.exec_id, t.order_id, signed(t.side, t.quantity), t.price)) for t in trades]


async def _fills_table(stack: LiveStack) -> list[Fill]:
    """All rows of the fills table, from SQLite or QuestDB themselves."""
    sql = "SELECT venue, exec_id, order_id, side, quantity, price FROM fills"
    if "questdb" in stack.urls:
        rows = await asyncio.to_thread(stack.query, sql)
    else:
        with contextlib.closing(sqlite3.connect(f"file:{stack.data_dir / 'fills.db'}?mode=ro", uri=True)) as file:
            rows = [list(row) for row in file.execute(sql)]
    return sorted((v, e, o, Decimal(q) if side == "buy" else -Decimal(q), Decimal(p)) for v, e, o, side, q, p in rows)


async def _positions_are_the_sum_of(stack: LiveStack, traffic: Traffic, fills: list[tuple[str, Fill]]) -> None:
    """In Valkey to the last digit, and the same over REST."""
    sums: dict[str, Decimal] = dict.fromkeys(traffic.accounts, ZERO)
    for account, fill in fills:
        sums[account] += fill[3]
    with contextlib.closing(redis.Redis.from_url(stack.url("valkey"), db=5, decode_responses=True)) as valkey:

        async def held() -> dict[str, Decimal]:
            return {account: Decimal(str(valkey.hget(f"position:{account}:BTCUSDT", "quantity") or 0)) for account in traffic.accounts}

        assert await _until_equal(held, sums), "positions in Valkey are the sum of the fills"
    async with _oms(stack) as http:
        for account in traffic.accounts:

            async def told(account: str = account) -> float | None:
                answer = await http.get(f"/positions/{account}")
                return float(answer.json()["BTCUSDT"]["quantity"]) if answer.status_code == 200 else None

            assert await _until_equal(told, float(sums[account])), "oms tells what Valkey holds"


async def _until_equal(look: Callable[[], Awaitable[Any]], wanted: Any) -> bool:
    deadline = time.monotonic() + PROJECTED_WITHIN_S
    while (found := await look()) != wanted:
        if time.monotonic() > deadline:
            assert found == wanted
        await asyncio.sleep(0.1)
    return True


async def _read(stack: LiveStack, stream: str, subject: str, codec: CommitCodec[Any]) -> list[tuple[int, Any]]:
    client = await bus.connect(stack.url("nats"), "audit", closed=lambda: None)
    try:
        journal = await JetStreamJournal.open(client, stream=stream, subject=subject)
        end = (await journal.head()).seq
        return [
            (recorded.head.seq, event)
            async for batch in journal.follow(Head(), until=end)
            for recorded in batch
            for event in codec.decode(recorded.payload).events
        ]
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def _oms(stack: LiveStack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.url("oms"), timeout=60) as http:
        yield http
