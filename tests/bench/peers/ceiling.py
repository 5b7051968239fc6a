"""The bare parts: the same hops, servers, messages and fsyncs as the core, and no domain. What remains is what Python and the wire cost.

`python -m tests.bench.peers.ceiling ROLE` is one process of it: door, risk, exeq, venue or projector; peers/run.py starts them all.
A life here is: a line of JSON in, a yes from risk in batches, one JetStream message a commit, a reply after its ack; then a route, a send,
an answer and a fill, each a commit; and the last one in Valkey (a hash field) and in QuestDB (an ILP row).
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Final

import msgspec
import nats
import redis.asyncio
import uvicorn
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg
from questdb import Protocol, Sender, TimestampNanos

from adapters.feed import Feed
from adapters.jetstream import ensure_stream
from apps.runtime.service import leave_alone_what_stays

STREAM: Final = "BARE"
SUBJECT: Final = "bare.journal.0"
JOURNAL_BYTES_MAX: Final = 4 * 2**30
RISK_WAIT_S: Final = 0.001
COMMIT_WAIT_S: Final = 0.001
EVENTS_MAX: Final = 1000
ROWS_WAIT_S: Final = 1.0

SUBMITTED, ROUTED, ACCEPTED, FILLED = "s", "r", "a", "f"


class Order(msgspec.Struct, gc=False):
    account: str
    client_order_id: str
    symbol: str
    side: str
    type: str
    quantity: Decimal
    price: Decimal | None = None


class Event(msgspec.Struct, gc=False, omit_defaults=True):
    kind: str
    id: str
    order: Order | None = None


_ORDER: Final = msgspec.json.Decoder(Order)
_ORDERS: Final = msgspec.json.Decoder(list[Order])
_EVENTS: Final = msgspec.json.Decoder(list[Event])
_ANSWERS: Final = msgspec.json.Decoder(list[bool])
_ENCODE: Final = msgspec.json.Encoder(decimal_format="number").encode


class Gathered:
    """Items of a moment, handed over together; one batch under way at a time."""

    def __init__(self, wait_s: float, work: Callable[[list[Any]], Awaitable[None]]) -> None:
        self._wait_s = wait_s
        self._work = work
        self._items: list[Any] = []
        self._filled = asyncio.Event()

    def put(self, item: object) -> None:
        self._items.append(item)
        self._filled.set()

    async def run(self) -> None:
        while True:
            await self._filled.wait()
            await asyncio.sleep(self._wait_s)
            batch, self._items = self._items[:EVENTS_MAX], self._items[EVENTS_MAX:]
            if not self._items:
                self._filled.clear()
            await self._work(batch)


class Door:
    """The writer: HTTP in front, the journal behind."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._seq = 0
        self._risk = Gathered(RISK_WAIT_S, self._ask)
        self._commits = Gathered(COMMIT_WAIT_S, self._commit)
        self._number = 0

    async def start(self) -> None:
        self._inbox = self._client.new_inbox()
        self._acks: dict[str, asyncio.Future[bytes]] = {}
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_reply)
        await self._client.subscribe("bare.events", cb=self._on_events)
        self._tasks = [asyncio.create_task(each.run()) for each in (self._risk, self._commits)]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        order = _ORDER.decode(body)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._risk.put((order, done))
        await done
        answer = f'{{"status":"submitted","order_id":"{order.client_order_id}"}}'.encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
        await send({"type": "http.response.body", "body": answer})

    async def _ask(self, batch: list[tuple[Order, asyncio.Future[None]]]) -> None:
        answers = _ANSWERS.decode(await self._request("bare.risk", _ENCODE([order for order, _ in batch])))
        for (order, done), yes in zip(batch, answers, strict=True):
            assert yes
            self._commits.put((Event(SUBMITTED, order.client_order_id, order), done))

    async def _request(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> bytes:
        self._number += 1
        token = str(self._number)
        waiting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._acks[token] = waiting
        await self._client.publish(subject, payload, reply=f"{self._inbox}.{token}", headers=headers)
        return await waiting

    async def _on_reply(self, message: Msg) -> None:
        self._acks.pop(message.subject.rsplit(".", 1)[1]).set_result(message.data)

    async def _on_events(self, message: Msg) -> None:
        for event in _EVENTS.decode(message.data):
            self._commits.put((event, None))

    async def _commit(self, batch: list[tuple[Event, asyncio.Future[None] | None]]) -> None:
        headers = {"Nats-Expected-Last-Subject-Sequence": str(self._seq)}
        ack = msgspec.json.decode(await self._request(SUBJECT, _ENCODE([event for event, _ in batch]), headers))
        self._seq = ack["seq"]
        for _, done in batch:
            if done is not None:
                done.set_result(None)


async def events(client: Client) -> Any:
    """The journal's events, as they come."""
    async for messages in Feed(client, STREAM, SUBJECT, 0).batches():
        found = [event for _, message in messages for event in _EVENTS.decode(message.data)]
        if found:
            yield found
        await asyncio.sleep(COMMIT_WAIT_S)


async def tell(client: Client, subject: str, found: list[Event]) -> None:
    """In lists that stay below what a message may have."""
    for first in range(0, len(found), EVENTS_MAX):
        await client.publish(subject, _ENCODE(found[first : first + EVENTS_MAX]))


async def door(client: Client, port: int) -> None:
    await ensure_stream(client, STREAM, ["bare.journal.*"], JOURNAL_BYTES_MAX)
    app = Door(client)
    await app.start()
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, loop="none", http="httptools", lifespan="off", log_config=None, access_log=False
    )
    leave_alone_what_stays()
    await uvicorn.Server(config).serve()


async def risk(client: Client, _: int) -> None:
    """Keeps a number for each account, as the fold of the journal it also reads."""
    exposure: dict[str, Decimal] = {}

    async def on_orders(message: Msg) -> None:
        orders = _ORDERS.decode(message.data)
        for order in orders:
            exposure[order.account] = exposure.get(order.account, Decimal(0)) + order.quantity
        await client.publish(message.reply, _ENCODE([True] * len(orders)))

    await client.subscribe("bare.risk", cb=on_orders)
    leave_alone_what_stays()
    async for _found in events(client):
        pass


async def exeq(client: Client, _: int) -> None:
    leave_alone_what_stays()
    async for found in events(client):
        routes = [Event(ROUTED, event.id) for event in found if event.kind == SUBMITTED]
        await tell(client, "bare.events", routes)
        sends = [event for event in found if event.kind == ROUTED]
        await tell(client, "bare.orders", sends)


async def venue(client: Client, _: int) -> None:
    async def on_orders(message: Msg) -> None:
        orders = _EVENTS.decode(message.data)
        await tell(client, "bare.events", [Event(kind, order.id) for order in orders for kind in (ACCEPTED, FILLED)])

    await client.subscribe("bare.orders", cb=on_orders)
    leave_alone_what_stays()
    await asyncio.Event().wait()


async def projector(client: Client, _: int) -> None:
    valkey = redis.asyncio.Redis.from_url(os.environ["BARE_VALKEY"])
    host, port = os.environ["BARE_QUESTDB"].removeprefix("http://").rsplit(":", 1)
    filled, rows, written_at = 0, [], asyncio.get_running_loop().time()
    leave_alone_what_stays()
    with Sender(Protocol.Http, host, int(port)) as sender:
        async for found in events(client):
            fills = [event for event in found if event.kind == FILLED]
            if fills:
                filled += len(fills)
                rows += fills
                await valkey.hset("bare", mapping={"filled": filled, **{event.id[-2:]: event.id for event in fills}})
            if rows and asyncio.get_running_loop().time() - written_at > ROWS_WAIT_S:
                now = TimestampNanos.now()
                for event in rows:
                    sender.row("bare", symbols={"venue": "PAPER"}, columns={"id": event.id, "quantity": 0.001}, at=now)
                await asyncio.to_thread(sender.flush)
                rows, written_at = [], asyncio.get_running_loop().time()


async def main(role: str) -> None:
    client = await nats.connect(os.environ["BARE_NATS"], name=role, pending_size=0)
    work = {"door": door, "risk": risk, "exeq": exeq, "venue": venue, "projector": projector}[role]
    await work(client, int(os.environ["BARE_PORT"]))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
