"""An unreadable commit, or one that does not follow: each reader stops there and names it, however often it is started."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from nats.aio.client import Client

from adapters.chain import following
from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.jetstream import CHAIN, COMMIT_ID, JetStreamJournal, ensure_stream
from apps.journal.group_commit import Pace
from apps.journal.shard_host import ShardHost
from apps.journal.subscription import Applied, JournalSubscription
from apps.runtime.chassis import FAILED
from domain.order.events import OrderEvent, OrderSubmitted
from domain.order.lifecycle import State
from domain.order.upcasters import VERSION
from domain.ports import Corrupt, Head
from domain.values import OrderType, Side
from tests.faults.scene import PATIENT, WITHOUT_CLOSES, answered, connected, order, order_journal, risk_that_says_yes
from tests.given import NOW, terms
from tests.live import LiveServer
from tests.process import Changes, LiveService

GOOD: Final = OrderSubmitted(
    order_id="1" * 32,
    at=NOW,
    status=State.NEW,
    account="alice",
    client_order_id="a-1",
    symbol="BTCUSDT",
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    quantity=terms().quantity,
    price=terms().price,
)
CHANGES: Final[Mapping[str, Changes]] = {"oms": PATIENT, "risk": WITHOUT_CLOSES}
SERVICES: Final = ("oms", "risk", "exeq", "projector")
POISONED: Final = 2
"""The sequence where the poison is: one good commit before it, one behind it."""


def commit(event: str = "", *, v: object = VERSION, n: object = POISONED) -> bytes:
    return b'{"v":%s,"shard":0,"n":%s,"events":[%s]}' % (str(v).encode(), str(n).encode(), event.encode())


def event(**changes: str) -> str:
    """The good event with fields replaced by raw JSON; an empty text takes the field away."""
    fields = {"type": '"OrderSubmitted"', "order_id": '"x"', "at": "1", "status": '"new"', "account": '"a"', "client_order_id": '"c"'}
    fields |= {"symbol": '"S"', "side": '"buy"', "order_type": '"market"', "quantity": "1"} | changes
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items() if value) + "}"


PAYLOADS: Final[Mapping[str, bytes]] = {
    "nothing at all": b"",
    "no JSON": b"not json",
    "cut off": commit(event())[:-20],
    "bytes that are no text": b'\xff\xfe{"v":1}',
    "a byte order mark": b"\xef\xbb\xbf" + commit(event()),
    "a list": b"[]",
    "a newer version": commit(event(), v=VERSION + 1),
    "a version before the first": commit(event(), v=0),
    "a version that is no number": commit(event(), v='"1"'),
    "no version": b'{"shard":0,"n":2,"events":[]}',
    "no events": b'{"v":%d,"shard":0,"n":2}' % VERSION,
    "events that are no list": b'{"v":%d,"shard":0,"n":2,"events":{}}' % VERSION,
    "an event of an unknown kind": commit(event(type='"OrderTeleported"')),
    "an event without a kind": commit(event(type="")),
    "an event with a field too many": commit(event(colour='"red"')),
    "an event with a field too few": commit(event(symbol="")),
    "a field of the wrong kind": commit(event(at='"yesterday"')),
    "an unknown status": commit(event(status='"lost"')),
    "an unknown side": commit(event(side='"both"')),
    "an invalid number": commit(event(quantity="NaN")),
    "nested beyond reason": commit(event(account="[" * 100_000)),
    "a commit that calls itself another": commit(event(), n=7),
}


def headers(after: Head, payload: bytes, **changes: str) -> dict[str, str]:
    n, chain = str(after.n + 1), following(after, payload)
    found = {COMMIT_ID: changes.get("number", n) + "-stranger-00000000", CHAIN: changes.get("chain", chain)}
    return {name: value for name, value in found.items() if not value.startswith("-") and value}


ENVELOPES: Final[Mapping[str, Mapping[str, str] | None]] = {
    "no headers": None,
    "no chain value": {"chain": ""},
    "another chain value": {"chain": "0" * 64},
    "a number left out": {"number": "3"},
    "a number again": {"number": "1"},
    "an invalid number": {"number": "two"},
    "no number": {"number": ""},
}


async def poisoned(client: Client, payload: bytes, envelope: Mapping[str, str] | None) -> JetStreamJournal:
    """A journal of three commits, the middle one bad; a stream of its own."""
    name = "P_" + secrets.token_hex(4)
    await ensure_stream(client, name, [f"{name}.>"], 16 * 1024 * 1024)
    journal = await JetStreamJournal.open(client, stream=name, subject=f"{name}.0")
    first = await journal.append(ORDER_COMMITS.encode(0, 1, [GOOD]), Head())
    bad = headers(first, payload, **envelope) if envelope is not None else None
    await client.request(f"{name}.0", payload, headers=bad, timeout=5)
    end = await journal.head()
    third = ORDER_COMMITS.encode(0, 3, [])
    await client.request(f"{name}.0", third, headers=headers(Head(2, 2, end.chain), third), timeout=5)
    return journal


@pytest.mark.parametrize(
    ("payload", "envelope"),
    [pytest.param(payload, {}, id=name) for name, payload in PAYLOADS.items()]
    + [pytest.param(commit(event()), envelope, id=name) for name, envelope in ENVELOPES.items()],
)
async def test_every_reader_stops_at_a_poisoned_commit(nats_server: LiveServer, payload: bytes, envelope: Mapping[str, str] | None) -> None:
    # FAILURES 45
    applied: list[int] = []

    def apply(commits: Applied[OrderEvent]) -> None:
        applied.extend(seq for seq, _ in commits)

    async with connected(nats_server.url) as client:
        journal = await poisoned(client, payload, envelope)
        for _ in range(2):
            with pytest.raises(Corrupt, match=f"^sequence {POISONED}: "):
                await JournalSubscription(journal, ORDER_COMMITS, apply, after=Head()).run()
        with pytest.raises(Corrupt, match=f"^sequence {POISONED}: "):
            await ShardHost(journal, SystemClock(), pace=Pace()).run()
    assert set(applied) <= {1}, "nothing from the poison on is applied"


async def test_every_service_ends_at_a_poisoned_commit_and_again_when_it_is_started_again(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 45
    services = {name: LiveService(name, fresh_nats, tmp_path / name, changes=CHANGES.get(name)) for name in SERVICES}
    async with risk_that_says_yes(fresh_nats.url), services["oms"].client() as http:
        services["oms"].start()
        order_id = (await answered(http, order("o-1")))["order_id"]
        assert (await http.delete(f"/orders/{order_id}")).json()["status"] == "cancelled", "so that nothing more is written"
        for name in ("risk", "exeq", "projector"):
            services[name].begin()
        for name in ("risk", "exeq"):
            services[name].ready()
        async with connected(fresh_nats.url) as client:
            head = await (await order_journal(client)).head()
            payload = commit(event(type='"OrderTeleported"'), n=head.n + 1)
            await client.request("oms.journal.0", payload, headers=headers(head, payload), timeout=5)
        for starts in range(2):
            for service in services.values() if starts else ():
                service.begin()
            for name, service in services.items():
                assert service.wait(120) == FAILED, name
                assert f"sequence {head.seq + 1}: " in service.said(), f"{name}: {service.said()}"
                assert "OrderTeleported" in service.said(), f"{name}: {service.said()}"
