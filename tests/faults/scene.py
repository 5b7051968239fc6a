"""What the scenes of faults share: orders, a risk that says yes, and the journal as it is read back."""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus
from adapters.codec import ORDER_COMMITS, decoder, encode
from adapters.jetstream import JetStreamJournal
from adapters.subjects import ORDER_STREAM, order_subject
from domain.order.commands import Terms
from domain.order.events import OrderEvent, OrderSubmitted
from domain.ports import Head
from tests.aside import Aside
from tests.given import approved
from tests.live import LiveServer

ROUNDS: Final = int(os.environ.get("TORTURE_ROUNDS", "1"))
"""`make torture` repeats the loops of these scenes this many times as often as `make test`."""

PATIENT: Final = {"risk_service": {"timeout_sec": 1.0}}
"""A configuration for scenes that are not about risk being late."""

WITHOUT_CLOSES: Final = {
    "risk_checks": {"enabled": ["position_limit", "order_size_limit", "buying_power", "concentration_limit", "short_restriction"]}
}
"""A configuration of risk for scenes in which no market brings daily closes."""

_TERMS: Final = decoder(list[Terms])


def order(name: str, account: str = "alice", *, price: str = "45000", quantity: str = "0.001") -> dict[str, str]:
    terms = {"symbol": "BTCUSDT", "side": "buy", "quantity": quantity, "price": price, "type": "limit"}
    return {"account": account, "client_order_id": name, **terms}


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    client = await bus.connect(url, "scene", closed=lambda: None)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def risk_that_says_yes(url: str) -> AsyncIterator[None]:
    """Answers `risk.check.order` with an approval of everything, also while the test starts a process."""
    aside = Aside()
    client = aside.call(_say_yes(url))
    try:
        yield
    finally:
        aside.call(client.close())
        aside.close()


async def _say_yes(url: str) -> Client:
    client = await bus.connect(url, "risk", closed=lambda: None)

    async def answer(message: Msg) -> None:
        asked = [approved(terms.order_id) for terms in _TERMS.decode(message.data)] if message.data.startswith(b"[") else approved("")
        await message.respond(encode(asked))

    await client.subscribe("risk.check.order", cb=answer)
    return client


async def order_journal(client: Client) -> JetStreamJournal:
    return await JetStreamJournal.open(client, stream=ORDER_STREAM, subject=order_subject(0))


async def events_of(nats: LiveServer) -> list[tuple[int, OrderEvent]]:
    """Every event of the order journal with its sequence, verified against the chain, over a connection of its own."""
    found: list[tuple[int, OrderEvent]] = []
    async with connected(nats.url) as client:
        journal = await order_journal(client)
        async for batch in journal.follow(Head(), until=(await journal.head()).seq):
            for recorded in batch:
                found += [(recorded.head.seq, event) for event in ORDER_COMMITS.read(recorded).events]
    return found


async def submitted(nats: LiveServer) -> Counter[str]:
    """How often each client_order_id is in the journal: never more than once, if all is well."""
    return Counter(event.client_order_id for _, event in await events_of(nats) if isinstance(event, OrderSubmitted))


async def until(true: Callable[[], bool], within_s: float = 120.0) -> None:
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.02)


async def until_ready(client: httpx.AsyncClient, within_s: float = 120.0) -> None:
    """Until the service says that it is ready."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                if (await client.get("/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


async def answered(client: httpx.AsyncClient, body: dict[str, str], within_s: float = 120.0) -> dict[str, Any]:
    """Ask under the same client_order_id until there is an answer: what clients are told to do."""
    last = "nothing"
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    answer = await client.post("/orders", json=body)
                except httpx.TransportError as trouble:
                    last = repr(trouble)
                else:
                    if answer.status_code == 200:
                        found: dict[str, Any] = answer.json()
                        return found
                    last = answer.text
                    assert answer.status_code in (429, 503), last
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{body} was not answered within {within_s:g} s; the last word was {last}") from None


def fill(ballast: Path) -> None:
    """The disk to its last byte, while others write there too."""
    with ballast.open("wb", buffering=0) as out:
        for piece in (2**20, 4096, 1):
            with contextlib.suppress(OSError):
                while out.write(bytes(piece)) == piece:
                    pass
