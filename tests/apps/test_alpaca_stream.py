"""The Alpaca stream with a real websocket client: who may listen, which updates are sent to which client, and how a connection ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from apps.oms.alpaca import stream as stream_module
from apps.oms.alpaca import stream_client, update_source
from apps.runtime.chassis import cancelled
from tests import given
from tests.apps.held_journal import until
from tests.apps.stream_house import LIFE, PATHS, Client, StreamHouse, streaming

UPDATES = "trade_updates"
NOT_LET_IN = {"stream": "authorization", "data": {"action": "authenticate", "status": "unauthorized"}}


@pytest.fixture
async def house() -> AsyncIterator[StreamHouse]:
    async with streaming() as made:
        yield made


async def ended(client: Client) -> tuple[int, str]:
    """The code and the reason with which the server ends the connection, whatever it sends before."""
    with pytest.raises(ConnectionClosed) as end:
        await heard_without_end(client)
    assert end.value.rcvd is not None
    return end.value.rcvd.code, end.value.rcvd.reason


async def heard_without_end(client: Client) -> None:
    while True:
        await client.hear()


# Who may listen


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "message",
    [
        lambda key, secret: {"action": "authenticate", "data": {"key_id": key, "secret_key": secret}},
        lambda key, secret: {"action": "auth", "key": key, "secret": secret},
        lambda key, secret: {"action": "auth", "data": {"key_id": key, "secret_key": secret}, "more": [1]},
    ],
)
@pytest.mark.parametrize("binary", [False, True])
async def test_a_key_is_shown_in_either_form_and_at_either_address(house: StreamHouse, path: str, message: Any, binary: bool) -> None:
    async with house.connected(path) as client:
        text = json.dumps(message(*house.key()))
        await client.socket.send(text.encode() if binary else text)
        assert await client.hear() == {"stream": "authorization", "data": {"action": "authenticate", "status": "authorized"}}
        assert await client.listen(UPDATES, "account_updates") == [UPDATES], "those that there are"


async def test_any_other_key_is_unauthorized_and_the_connection_ends(house: StreamHouse) -> None:
    key_id, secret = house.key()
    revoked = house.key()
    house.revoke(revoked[0])
    for sent in (
        (key_id, secret + "x"),
        (key_id, ""),
        ("", secret),
        ("PK" + "A" * 18, secret),
        (key_id, "x" * 1000),
        (key_id, "é"),
        revoked,
        house.key("alice", "trade"),
        house.key("*", "audit", "ops"),
    ):
        async with house.connected() as client:
            await client.say(action="authenticate", data={"key_id": sent[0], "secret_key": sent[1]})
            assert await client.hear() == NOT_LET_IN, sent
            assert (await ended(client))[0] == 1008


async def test_nothing_is_sent_before_a_key_was_shown(house: StreamHouse) -> None:
    async with house.connected() as client:
        await client.say(action="listen", data={"streams": [UPDATES]})
        assert await client.hear() == NOT_LET_IN
        assert (await ended(client))[0] == 1008
    assert (house.source.accounts, house.source.made) == ({}, 0)


async def test_a_connection_that_shows_no_key_in_time_ends(house: StreamHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_client, "AUTHENTICATE_S", 0.1)
    monkeypatch.setattr(stream_client, "LOOK_EVERY_S", 0.01)
    async with house.connected() as client:
        assert await ended(client) == (1008, "not authenticated in time")


async def test_the_same_key_may_be_shown_again_and_no_other(house: StreamHouse) -> None:
    key = house.key()
    async with house.connected() as client:
        assert await client.authenticate(*key) == "authorized"
        assert await client.authenticate(*key) == "authorized"
        assert house.stream.open == 1
        assert await client.authenticate(*house.key("bob")) == "unauthorized"
        assert (await ended(client))[0] == 1008


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"action":"buy"}', '{"action":"listen","data":{"streams":[],"since_seq":-1}}', "\x00", "[" * 60_000]
)
async def test_an_invalid_message_ends_it(house: StreamHouse, text: str) -> None:
    async with house.connected() as client:
        await client.authenticate(*house.key())
        await client.socket.send(text)
        assert (await ended(client))[0] == 1008


async def test_a_key_has_four_connections(house: StreamHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    key, clients = house.key(), [house.connected() for _ in range(5)]
    opened = [await each.__aenter__() for each in clients]
    for client in opened[:4]:
        assert await client.authenticate(*key) == "authorized"
    await opened[4].say(action="authenticate", data={"key_id": key[0], "secret_key": key[1]})
    assert await ended(opened[4]) == (1013, "4 connections with this key are open already")
    await opened[0].socket.close()
    await until(lambda: house.stream.open == 3)
    async with house.connected() as client:
        assert await client.authenticate(*key) == "authorized", "the place of the one that has gone"
    for client in opened[1:4]:
        await client.socket.close()


async def test_beyond_the_bound_of_all_the_oldest_without_a_key_gives_way(house: StreamHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "STREAMS_MAX", 3)
    async with house.connected() as one, house.connected() as two, house.connected() as nameless:
        for client in (one, two):
            assert await client.authenticate(*house.key()) == "authorized"
        async with house.connected() as four:
            assert await ended(nameless) == (1013, "too many connections")
            assert await four.authenticate(*house.key()) == "authorized"
            with pytest.raises(InvalidStatus) as refusal:
                async with house.connected():
                    pass
    assert (refusal.value.response.status_code, json.loads(refusal.value.response.body or b"")["code"]) == (429, "too_many_streams")
    assert refusal.value.response.headers["retry-after"] == "5"


async def test_each_of_many_new_connections_at_once_takes_the_place_of_another(house: StreamHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "STREAMS_MAX", 3)
    clients = [Reluctant() for _ in range(10)]
    scope: dict[str, Any] = {"type": "websocket", "path": PATHS[0], "headers": []}
    serving = [asyncio.ensure_future(house.stream(scope, client.receive, client.send)) for client in clients]
    await until(lambda: house.stream.opened == 10 and house.stream.open == 3)
    for each in serving[7:]:
        assert not each.done(), "the last ones stay"
        await cancelled(each)


async def test_a_revoked_key_ends_its_connections(house: StreamHouse) -> None:
    key = house.key()
    async with house.connected() as client, house.listening() as other:
        await client.authenticate(*key)
        await client.listen(UPDATES)
        house.revoke(key[0])
        assert await ended(client) == (1008, "unauthorized")
        await house.submit("a")
        assert [update["event"] for update in await other.updates(1)] == ["accepted"], "other keys of the account are as they were"


# What is sent


async def test_the_life_of_an_order_is_sent_as_it_happens_and_nothing_of_another_account(house: StreamHouse) -> None:
    async with house.listening() as client, house.listening("bob") as bob:
        await house.live("a")
        await house.submit("b", "bob")
        updates = await client.updates(5)
        assert [update["event"] for update in updates] == LIFE
        assert [update["seq"] for update in updates] == [1, 2, 3, 4, 5]
        assert [update["order"]["status"] for update in updates] == ["accepted", "pending_new", "new", "partially_filled", "filled"]
        assert [update["order"]["client_order_id"] for update in await bob.updates(1)] == ["b"]
        await client.receives_nothing()


async def test_all_listeners_of_an_account_get_the_same_updates_which_are_made_once(house: StreamHouse) -> None:
    async with house.listening() as one, house.listening() as two:
        await house.live("a")
        assert await one.updates(5) == await two.updates(5)
    assert house.source.made == 5


async def test_without_a_listener_nothing_is_read_or_made(house: StreamHouse) -> None:
    await house.live("a")
    async with house.listening() as client:
        await house.submit("b")
        await client.updates(1)
        assert await client.listen() == []
        await house.submit("c")
        assert await client.listen(UPDATES) == [UPDATES]
        await house.submit("d")
        assert [update["order"]["client_order_id"] for update in await client.updates(1)] == ["d"], "what came meanwhile was not asked for"
    await until(lambda: not house.source.accounts)
    await house.live("e")
    assert house.source.made == 2


async def test_an_order_of_before_is_shown_as_it_is_by_then(house: StreamHouse) -> None:
    await house.submit("a")
    await house.route("a")
    await house.fill("a", "4", "F1")
    async with house.listening() as client:
        await house.fill("a", "6", "F2")
        (update,) = await client.updates(1)
    assert (update["event"], update["order"]["filled_qty"], update["position_qty"]) == ("fill", "10", "10")


async def test_a_closed_order_that_is_no_longer_in_memory_is_found(house: StreamHouse) -> None:
    await house.live("a")
    await until(lambda: not house.desk.host.orders.by_id)
    async with house.listening() as client:
        await house.do("a", given.report("bust", exec_id="alice-a-F2"))
        (update,) = await client.updates(1)
    assert (update["event"], update["order"]["filled_qty"], update["position_qty"]) == ("trade_bust", "4", "4")


# How it ends


class Reluctant:
    """The server's end of a connection whose client reads the first two answers and then nothing."""

    def __init__(self, *said: dict[str, Any]) -> None:
        self._said = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": json.dumps(each)} for each in said)]
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if not self._said:
            await asyncio.Event().wait()
        return self._said.pop(0)

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.send" and len(self.sent) == 3:
            await asyncio.Event().wait()
        self.sent.append(message)


async def test_a_listener_that_takes_too_little_ends_and_the_others_do_not_wait(
    house: StreamHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update_source, "WAITING_MAX", 3)
    key_id, secret = house.key()
    slow = Reluctant(
        {"action": "authenticate", "data": {"key_id": key_id, "secret_key": secret}}, {"action": "listen", "data": {"streams": [UPDATES]}}
    )
    serving = asyncio.ensure_future(house.stream({"type": "websocket", "path": PATHS[0], "headers": []}, slow.receive, slow.send))
    await until(lambda: len(slow.sent) == 3)
    async with house.listening() as client:
        for name in "abcd":
            await house.submit(name)
            await client.updates(1)
        assert not serving.done(), "one is on its way and three wait"
        await house.submit("e")
        assert [update["order"]["client_order_id"] for update in await client.updates(1)] == ["e"]
    await serving
    assert slow.sent[-1] == {"type": "websocket.close", "code": 1013, "reason": "too slow"}


async def test_when_an_update_cannot_be_made_all_listeners_end_and_may_come_back(house: StreamHouse) -> None:
    async with house.listening() as client:
        house.fails = True
        await house.submit("a")
        assert (await ended(client))[0] == 1011
    assert not house.source.accounts
