"""Who may do what on the market's NATS server: every user x every stream x every place for an answer, against a real nats-server."""

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
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
from adapters.jetstream import stream_state
from apps.stack import servers
from apps.stack.credentials import keys
from apps.stack.credentials.market import ASKS, MAKES, STREAMS, publishes
from apps.stack.credentials.nats import JETSTREAM, JOURNALS, READS, RIGHTS
from apps.stack.credentials.users import GATEWAY, MARKET_SERVICES, MARKET_USERS, NORMALIZER, OPERATOR, SINK_ALT, SINK_TICKS
from apps.stack.program import socket_answers
from config import secrets
from tests.live import LiveServer, live

OF_JETSTREAM: Final = (*READS, *MAKES, "STREAM.DELETE", "STREAM.PURGE", "STREAM.MSG.DELETE", "CONSUMER.CREATE", "STREAM.SNAPSHOT")
BODIES: Final = {"STREAM.MSG.GET": b'{"seq":1}', "DIRECT.GET": b'{"seq":1}'}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("secrets")
    keys.init(found, guests=True)
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, directory: Path) -> Iterator[LiveServer]:
    found = live(partial(servers.market_nats, secrets=directory), tmp_path_factory.mktemp("market"))
    yield found
    found.stop()


async def _ignore(_: Exception) -> None:
    """nats-server says which publish it refused; here that is expected."""


@asynccontextmanager
async def connected(server: LiveServer, directory: Path, user: str) -> AsyncIterator[Client]:
    found = secrets.read(user, {secrets.VARIABLE: str(directory)})["market_nats.url"]
    client = await nats.connect(secrets.with_user(server.url, *found), inbox_prefix=f"_INBOX_{user}", error_cb=_ignore)
    try:
        yield client
    finally:
        await client.close()


def concrete(pattern: str) -> str:
    return pattern.replace("*", "BINANCE")


@pytest.fixture(name="streams")
async def _streams(server: LiveServer, directory: Path) -> None:
    """Each stream, made by its writer under the second name of the API, with a message in it."""
    for stream in STREAMS:
        async with connected(server, directory, stream.writer) as writer:
            config = {"name": stream.name, "subjects": stream.subjects, "storage": "file", "max_bytes": 2**24, "discard": "old"}
            config |= {"allow_direct": True, "republish": {"src": ">", "dest": f"{STORED}.>"}}
            made = await writer.request(f"{API}.STREAM.CREATE.{stream.name}", json.dumps(config).encode(), timeout=5)
            assert "error" not in json.loads(made.data)
            assert json.loads((await writer.request(concrete(stream.subjects[0]), b"a record", timeout=5)).data)["stream"] == stream.name


async def lengths(server: LiveServer, directory: Path) -> dict[str, int]:
    async with connected(server, directory, OPERATOR) as client:
        return {each.name: state.messages for each in STREAMS if (state := await stream_state(client, each.name))}


@pytest.mark.parametrize("user", MARKET_USERS)
async def test_only_its_writer_writes_a_stream(server: LiveServer, directory: Path, streams: None, user: str) -> None:
    before = await lengths(server, directory)
    async with connected(server, directory, user) as client:
        for stream in STREAMS:
            await client.publish(concrete(stream.subjects[0]), b"forged")
            await client.publish(f"{STORED}.{concrete(stream.subjects[0])}", b"forged")
        await bus.flush(client)
    after = await lengths(server, directory)
    assert {name: after[name] - before[name] for name in after} == {each.name: int(each.writer == user) for each in STREAMS}


@pytest.mark.parametrize("user", MARKET_USERS)
async def test_no_answer_becomes_a_message_of_anothers_stream(server: LiveServer, directory: Path, streams: None, user: str) -> None:
    """A client chooses where the reply goes, and nats-server does not check it. So every question is asked with every such place."""
    before = await lengths(server, directory)
    allowed = {concrete(subject) for each in MARKET_USERS for subject in publishes(each) if not subject.startswith("_R_")}
    api = {f"{prefix}.{verb}.{stream.name}" for prefix in (JETSTREAM, API) for verb in OF_JETSTREAM for stream in STREAMS}
    async with connected(server, directory, GATEWAY) as gateway, connected(server, directory, user) as client:

        async def answer(message: Msg) -> None:
            if message.reply:
                await message.respond(b"{}")

        await gateway.subscribe("market.control.*", cb=answer)
        await bus.flush(gateway)
        for place in (concrete(subject) for stream in STREAMS for subject in stream.subjects):
            for question in sorted(allowed | api):
                body = next((body for verb, body in BODIES.items() if verb in question), b"")
                await client.publish(question, body, reply=place)
        await bus.flush(client)
        await bus.flush(gateway)
        await bus.flush(client)
    after = await lengths(server, directory)
    assert after.keys() == before.keys(), "nothing was deleted"
    assert all(after[name] >= before[name] for name in after), "nothing was purged"
    own = {stream.name for stream in STREAMS if stream.writer == user}
    assert {name for name in after if after[name] != before[name]} == own


@pytest.mark.parametrize("user", MARKET_USERS)
async def test_a_stream_is_read_by_its_readers_and_no_other(server: LiveServer, directory: Path, streams: None, user: str) -> None:
    for stream in STREAMS:
        async with connected(server, directory, user) as client:
            readable = user in (stream.writer, *stream.readers)
            assert await _first(client, stream.name, stream.subjects[0]) == (b"a record" if readable else None), stream.name


async def _first(client: Client, stream: str, subject: str) -> bytes | None:
    """The oldest message, over a batched get and over the feed of what is stored; None if the server answers neither."""
    try:
        answer = json.loads((await client.request(f"{API}.STREAM.MSG.GET.{stream}", b'{"seq":1}', timeout=0.3)).data)
    except (TimeoutError, nats.errors.Error):
        return None
    assert answer["message"]["seq"] == 1
    async with contextlib.aclosing(Feed(client, stream, concrete(subject), 0).batches()) as batches:
        async for batch in batches:
            if batch:
                return batch[0][1].data
    return None


@pytest.mark.parametrize("user", [*MARKET_SERVICES, OPERATOR])
async def test_the_gateway_is_asked_by_the_normalizer_and_the_operator_alone(server: LiveServer, directory: Path, user: str) -> None:
    async with connected(server, directory, GATEWAY) as gateway, connected(server, directory, user) as client:

        async def answer(message: Msg) -> None:
            await message.respond(b"taken")

        subscription = await gateway.subscribe("market.control.*", cb=answer)
        await bus.flush(gateway)
        try:
            answered = (await client.request("market.control.BINANCE", b"{}", timeout=1)).data
        except (TimeoutError, nats.errors.Error):
            answered = b""
        await subscription.unsubscribe()
    assert answered == (b"taken" if user in ASKS else b"")


def test_without_a_password_no_program_comes_in(server: LiveServer) -> None:
    socket_answers(server.program.ports["nats"], say=b'CONNECT {"verbose":false}\r\nPING\r\n', hear=b"Authorization Violation")


def test_on_the_cores_server_the_market_plane_publishes_ticks_their_books_prints_and_bars_and_nothing_else() -> None:
    """Besides requests to read a journal, replies to risk and desk, and which of two processes of a service is the active one."""
    own = (f"{API}.", "_INBOX_", *(f"{user}.owner." for user in MARKET_SERVICES))
    found = {user: {each for each in RIGHTS[user].publish if not each.startswith(own)} for user in MARKET_SERVICES}
    assert found == {GATEWAY: set(), NORMALIZER: {"ticks.>", "depth.>", "prints.>", "ohlcv.>"}, SINK_TICKS: set(), SINK_ALT: set()}
    replies = {each for user in MARKET_SERVICES for each in RIGHTS[user].publish if each.startswith("_INBOX_")}
    assert replies == {"_INBOX_risk.>", "_INBOX_desk.>", "_INBOX_unit.>"}
    read = {each.rpartition(".")[2] for each in RIGHTS[SINK_ALT].publish if each.startswith(f"{API}.")}
    assert read == {journal.stream for journal in JOURNALS}


def test_each_service_has_a_password_for_this_server_that_opens_no_other(directory: Path) -> None:
    environ = {secrets.VARIABLE: str(directory)}
    for user in (GATEWAY, NORMALIZER, SINK_TICKS, SINK_ALT):
        found = secrets.read(user, environ)
        assert found["market_nats.url"][0] == found["nats.url"][0] == user
        assert found["market_nats.url"][1] != found["nats.url"][1]


async def test_a_stream_of_the_market_drops_its_oldest_messages_at_its_bound(server: LiveServer, directory: Path) -> None:
    async with connected(server, directory, GATEWAY) as gateway:
        config = {"name": "MARKET_RAW", "subjects": ["market.raw.*"], "storage": "file", "max_bytes": 4096, "discard": "old"}
        config |= {"allow_direct": True, "republish": {"src": ">", "dest": f"{STORED}.>"}}
        await gateway.request(f"{API}.STREAM.UPDATE.MARKET_RAW", json.dumps(config).encode(), timeout=5)
        for _ in range(20):
            await gateway.request("market.raw.BINANCE", b"x" * 1000, timeout=5)
        state = await stream_state(gateway, "MARKET_RAW")
    assert state is not None
    assert 0 < state.messages < 20
    assert state.bytes <= 4096
