"""Who may write what on NATS: every user x every question x every place for the answer, against a real nats-server with our accounts."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus
from adapters.feed import API, STORED, Feed
from adapters.jetstream import OldStream, ensure_stream, make_readable, stream_state
from adapters.subjects import CHECK, DRY_CHECK
from apps.stack import servers
from apps.stack.credentials import keys
from apps.stack.credentials.nats import (
    ANNOUNCED,
    GUEST,
    JETSTREAM,
    JOURNALS,
    ORDERS,
    READERS,
    RIGHTS,
    WRITES,
    account_of,
)
from apps.stack.credentials.users import ADMIN, NATS_USERS, OPERATOR, READER
from apps.stack.ports import ServerPorts
from apps.stack.upgrade import upgrade
from config import secrets
from domain.ports import Unavailable
from tests.live import LiveServer, live
from tests.ports import free

USERS: Final = (*NATS_USERS, *WRITES, GUEST)
VERBS: Final = (
    *("STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.DELETE", "STREAM.PURGE"),
    *("STREAM.MSG.DELETE", "STREAM.SNAPSHOT", "STREAM.RESTORE", "STREAM.LEADER.STEPDOWN", "CONSUMER.CREATE", "CONSUMER.NAMES"),
)
BODIES: Final = {
    "STREAM.MSG.GET": b'{"seq":1}',
    "DIRECT.GET": b'{"seq":1}',
    "CONSUMER.CREATE": b"{}",
    "STREAM.PURGE": b"",
    "STREAM.DELETE": b"",
}
PLACES: Final = (
    *(
        "oms.journal.0",
        "risk.control.all",
        "venue.journal.PAPER_A",
        "oms.commands.0",
        "risk.check.order",
        "orders.alice.new",
        "fills.alice",
    ),
    *(f"{STORED}.oms.journal.0", f"{JETSTREAM}.STREAM.DELETE.OMS_JOURNAL", f"{API}.STREAM.UPDATE.OMS_JOURNAL"),
)
"""Where an attacker would have an answer sent."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("secrets")
    keys.init(found, guests=True)
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, directory: Path) -> Iterator[LiveServer]:
    found = live(partial(servers.nats, secrets=directory), tmp_path_factory.mktemp("nats"))
    yield found
    found.stop()


async def _ignore(_: Exception) -> None:
    """nats-server says which publish it refused; here that is expected."""


@asynccontextmanager
async def connected(server: LiveServer, directory: Path, user: str) -> AsyncIterator[Client]:
    """As this user; a writer's password is in its service's file, a guest has none."""
    url = server.url
    if user in WRITES:
        service = next(journal.maker for journal in JOURNALS if journal.writer == user)
        url = secrets.with_user(url, *secrets.read(service, {secrets.VARIABLE: str(directory)})["nats.writer_url"])
    elif user != GUEST:
        url = secrets.with_user(url, *secrets.read(user, {secrets.VARIABLE: str(directory)})["nats.url"])
    client = await nats.connect(url, inbox_prefix="_INBOX" if user == GUEST else f"_INBOX_{user}", error_cb=_ignore)
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture(name="streams")
async def _streams(server: LiveServer, directory: Path) -> None:
    """Each journal, made by its maker, with one commit of its writer in it."""
    for journal in JOURNALS:
        async with connected(server, directory, journal.maker) as maker, connected(server, directory, journal.writer) as writer:
            await ensure_stream(maker, journal.stream, [journal.subject], 2**24)
            await writer.request(concrete(journal.subject), b"a commit", timeout=5)


def concrete(pattern: str) -> str:
    return pattern.replace("*", "0").replace(">", "x")


async def lengths(server: LiveServer, directory: Path) -> dict[str, int]:
    async with connected(server, directory, OPERATOR) as client:
        found = {journal.stream: await stream_state(client, journal.stream) for journal in JOURNALS}
    return {name: state.messages for name, state in found.items() if state}


def questions() -> dict[str, bytes]:
    """Everything that any user may publish, and everything that JetStream can be asked, under both names of its API."""
    allowed = [subject for rights in (*RIGHTS.values(), *WRITES.values()) for subject in rights.publish if subject != ">"]
    own = {concrete(subject): b"[]" for subject in allowed if not subject.startswith(("_INBOX", "_R_"))}
    api = {
        f"{prefix}.{verb}.{stream}": BODIES.get(verb, b"")
        for prefix in (JETSTREAM, API)
        for verb in VERBS
        for stream in ("OMS_JOURNAL", "RISK_CONTROL", "PAPER_VENUES")
    }
    return {**own, **api, f"{JETSTREAM}.INFO": b"", f"{API}.INFO": b"", f"{JETSTREAM}.STREAM.NAMES": b"", f"{JETSTREAM}.STREAM.LIST": b""}


async def _answer(message: Msg) -> None:
    if message.reply:
        await message.respond(b"[]")


@asynccontextmanager
async def services(server: LiveServer, directory: Path) -> AsyncIterator[None]:
    """Those who answer questions answer all of them, as they are asked."""
    async with AsyncExitStack() as connections:
        for user, rights in RIGHTS.items():
            client = await connections.enter_async_context(connected(server, directory, user))
            for subject in rights.subscribe:
                if user != ADMIN and subject not in ANNOUNCED and not subject.startswith(STORED):
                    await client.subscribe(subject, cb=_answer)
            await bus.flush(client)
        yield


@pytest.mark.parametrize("user", USERS)
async def test_no_answer_becomes_a_message_of_a_journal(server: LiveServer, directory: Path, streams: None, user: str) -> None:
    """Only a writer's own commits grow a journal, and the acks that it asks to have put there."""
    before = await lengths(server, directory)
    async with services(server, directory), connected(server, directory, user) as client:
        for place in PLACES:
            for question, body in questions().items():
                await client.publish(question, body, reply=place)
            await bus.flush(client)
        await bus.flush(client)
    after = await lengths(server, directory)
    own = {journal.stream for journal in JOURNALS if journal.writer == user}
    assert {name for name in after if after[name] != before[name]} == own
    assert after.keys() == before.keys()


@pytest.mark.parametrize("user", USERS)
async def test_only_its_writer_writes_a_journal_and_the_server_says_so(
    server: LiveServer, directory: Path, streams: None, user: str
) -> None:
    before = await lengths(server, directory)
    async with connected(server, directory, user) as client:
        for journal in JOURNALS:
            await client.publish(concrete(journal.subject), b"forged")
            await client.publish(f"{STORED}.{concrete(journal.subject)}", b"forged")
        await bus.flush(client)
    after = await lengths(server, directory)
    assert {name: after[name] - before[name] for name in after} == {j.stream: int(j.writer == user) for j in JOURNALS}


@pytest.mark.parametrize("user", [READER, GUEST])
async def test_what_comes_from_outside_is_a_dry_check_and_nothing_else(
    server: LiveServer, directory: Path, streams: None, user: str
) -> None:
    """Whatever a reader publishes, and wherever it wants the answer: on the bus of the services only the dry check appears."""
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        heard.append(message.subject)

    async with connected(server, directory, ADMIN) as everything, connected(server, directory, user) as client:
        await everything.subscribe(">", cb=hear)
        await bus.flush(everything)
        for place in PLACES:
            for question, body in questions().items():
                await client.publish(question, body, reply=place)
        await bus.flush(client)
        await bus.flush(everything)
    assert set(heard) == {DRY_CHECK}


@pytest.mark.parametrize("user", [user for user in USERS if user not in WRITES and account_of(user) == READERS])
async def test_a_reader_receives_what_is_announced_and_reads_the_journals(
    server: LiveServer, directory: Path, streams: None, user: str
) -> None:
    async with connected(server, directory, ADMIN) as admin, connected(server, directory, user) as client:
        for subject in ANNOUNCED[:-2]:
            heard = await client.subscribe(concrete(subject))
            await bus.flush(client)
            await admin.publish(concrete(subject), b"true")
            await bus.flush(admin)
            assert (await heard.next_msg(timeout=5)).data == b"true"
        controls = await client.subscribe("risk.control.all")
        feed = await client.subscribe(f"{STORED}.risk.control.all")
        await bus.flush(client)
        async with connected(server, directory, "risk-journal") as writer:
            await writer.request("risk.control.all", b"a control", timeout=5)
        assert (await controls.next_msg(timeout=5)).data == (await feed.next_msg(timeout=5)).data == b"a control"
        answer = json.loads((await client.request(f"{API}.STREAM.MSG.GET.OMS_JOURNAL", b'{"seq":1}', timeout=5)).data)
        assert answer["message"]["subject"] == "oms.journal.0"


@pytest.mark.parametrize("user", [user for user in USERS if user not in WRITES])
async def test_a_program_receives_the_messages_of_its_own_inbox(server: LiveServer, directory: Path, user: str) -> None:
    """It marks so that all it sent before has left (apps/live_gateway/flush_marker.py), and answers another process of its service."""
    async with connected(server, directory, user) as client:
        inbox = client.new_inbox()
        heard = await client.subscribe(inbox)
        await client.publish(inbox, b"mark")
        assert (await heard.next_msg(timeout=5)).data == b"mark"


async def test_a_check_of_a_reader_is_answered(server: LiveServer, directory: Path) -> None:
    async with connected(server, directory, "risk") as risk, connected(server, directory, READER) as client:

        async def answer(message: Msg) -> None:
            assert message.subject == DRY_CHECK
            await message.respond(b"approved")

        await risk.subscribe(DRY_CHECK, cb=answer)
        await bus.flush(risk)
        assert (await client.request(CHECK, b"[]", timeout=5)).data == b"approved"


@pytest.mark.parametrize("user", [user for user in USERS if user != ADMIN])
async def test_a_user_subscribes_to_what_its_row_says(server: LiveServer, directory: Path, user: str) -> None:
    """Everything of every row is tried; what is not in the user's own is refused by the server."""
    rows = {**RIGHTS, **WRITES, GUEST: RIGHTS[READER]}
    wanted = sorted(
        {subject for rights in RIGHTS.values() for subject in rights.subscribe if subject != ">"} | {"_INBOX_oms.>", "oms.journal.0"}
    )
    refused: list[str] = []

    async def note(error: Exception) -> None:
        refused.append(str(error).lower())

    async with connected(server, directory, user) as client:
        client._error_cb = note
        for subject in wanted:
            await client.subscribe(subject)
        await bus.flush(client)
    own = {*rows[user].subscribe, *(["_INBOX_oms.>"] if user == "oms" else [])}
    for subject in wanted:
        assert any(f'subscription to "{subject.lower()}"' in said for said in refused) == (subject not in own), subject


async def _written_before(url: str) -> None:
    client = await nats.connect(url)
    for journal in JOURNALS:
        config = {"name": journal.stream, "subjects": [journal.subject], "storage": "file", "max_bytes": 2**24, "discard": "new"}
        await client.request(f"{JETSTREAM}.STREAM.CREATE.{journal.stream}", json.dumps(config | {"deny_delete": True}).encode(), timeout=5)
        await client.request(concrete(journal.subject), b"of before", timeout=5)
    await client.close()


def test_a_store_of_the_release_before_is_upgraded(tmp_path: Path) -> None:
    """That release had one account for all. Its commits are there afterwards, and the next one gets the next sequence."""
    old = live(servers.nats, tmp_path)
    asyncio.run(_written_before(old.url))
    old.stop()
    keys.init(tmp_path / "secrets", guests=True)
    assert upgrade(tmp_path, free(ServerPorts), tmp_path / "secrets") == [journal.stream for journal in JOURNALS]
    assert upgrade(tmp_path, free(ServerPorts), tmp_path / "secrets") == [], "once"
    new = live(partial(servers.nats, secrets=tmp_path / "secrets"), tmp_path)
    try:
        asyncio.run(_carried_on(new, tmp_path / "secrets"))
    finally:
        new.stop()


async def _carried_on(server: LiveServer, directory: Path) -> None:
    for journal in JOURNALS:
        async with connected(server, directory, journal.maker) as maker, connected(server, directory, journal.writer) as writer:
            await ensure_stream(maker, journal.stream, [journal.subject], 2**24)
            assert json.loads((await writer.request(concrete(journal.subject), b"and now", timeout=5)).data)["seq"] == 2
            read: list[bytes] = []
            async with contextlib.aclosing(Feed(maker, journal.stream, journal.subject, 0).batches()) as batches:
                async for batch in batches:
                    read += [message.data for _, message in batch]
                    if len(read) == 2:
                        break
            assert read == [b"of before", b"and now"]


async def test_a_stream_of_the_release_before_is_refused_by_its_service_and_changed_by_no_other(tmp_path: Path) -> None:
    keys.init(tmp_path / "secrets", guests=True)
    server = live(partial(servers.nats, secrets=tmp_path / "secrets"), tmp_path)
    try:
        async with connected(server, tmp_path / "secrets", "oms") as oms, connected(server, tmp_path / "secrets", ADMIN) as admin:
            config = {"name": ORDERS, "subjects": ["oms.journal.*"], "storage": "file", "max_bytes": 2**24, "discard": "new"}
            await oms.request(f"{API}.STREAM.CREATE.{ORDERS}", json.dumps(config).encode(), timeout=5)
            with pytest.raises(OldStream, match="trade journal upgrade"):
                await ensure_stream(oms, ORDERS, ["oms.journal.*"], 2**24)
            with pytest.raises(Unavailable):
                await make_readable(oms, ORDERS)
            assert await make_readable(admin, ORDERS)
            assert not await make_readable(admin, ORDERS)
            await ensure_stream(oms, ORDERS, ["oms.journal.*"], 2**24)
    finally:
        server.stop()
