"""What could not be sent is not sent later over another connection, and a caller can ask whether all of it has left."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus
from apps.journal.publisher import Publisher
from apps.runtime.chassis import cancelled
from tests.live import LiveServer
from tests.proxy import Proxy

MORE_THAN_THE_KERNEL_TAKES = 64
BLOCK = b"x" * 2**19
WAIT_S = 120.0
ROUNDS = 200


@pytest.fixture
async def client(fresh_nats: LiveServer) -> AsyncIterator[Client]:
    found = await bus.connect(fresh_nats.url, "test", closed=lambda: None)
    yield found
    await found.close()


@pytest.fixture
async def publisher(client: Client) -> AsyncIterator[Publisher]:
    made = Publisher(client)
    running = asyncio.create_task(made.run())
    yield made
    await cancelled(running)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not true():
            await asyncio.sleep(0.01)


@pytest.mark.timeout(900)
async def test_what_had_not_left_when_the_connection_broke_is_thrown_away(
    fresh_nats: LiveServer, client: Client, publisher: Publisher
) -> None:
    # FAILURES 6, 42
    fresh_nats.freeze()
    for _ in range(MORE_THAN_THE_KERNEL_TAKES):
        publisher.put("orders.alice.new", BLOCK)
    await until(lambda: client.pending_data_size > len(BLOCK))
    assert not await publisher.left(0.2), "it lies with a server that takes nothing: it may still go out"
    fresh_nats.kill()
    await until(lambda: not client.is_connected)
    await until(lambda: client.pending_data_size == 0)
    publisher.put("orders.alice.new", BLOCK)
    assert await publisher.left(1.0), "there is no connection: nothing of it goes out any more"
    assert publisher.dropped == 1


async def test_what_was_put_in_before_has_left_when_it_says_so(fresh_nats: LiveServer, client: Client, publisher: Publisher) -> None:
    seen: list[bytes] = []

    async def keep(message: object) -> None:
        seen.append(b"")

    listener = await bus.connect(fresh_nats.url, "listener", closed=lambda: None)
    await listener.subscribe("orders.>", cb=keep)
    await bus.flush(listener)
    for _ in range(1000):
        publisher.put("orders.alice.new", b"{}")
    assert await publisher.left(WAIT_S)
    await bus.flush(listener)
    await until(lambda: len(seen) == 1000)
    await listener.close()


async def test_what_was_subscribed_before_a_flush_receives_what_others_send_after_it(fresh_nats: LiveServer, client: Client) -> None:
    """The client's own flush does not say so: its PING goes past what waits for its sender."""
    asking = await bus.connect(fresh_nats.url, "asking", closed=lambda: None)
    for number in range(ROUNDS):
        await client.subscribe(f"there.{number}", cb=_answer)
        await bus.flush(client)
        assert await bus.request(asking, f"there.{number}", b"", WAIT_S) == b"here"
    await asking.close()


async def _answer(message: Msg) -> None:
    await message.respond(b"here")


async def test_attempts_to_reconnect_that_fail_leave_no_socket_open(fresh_nats: LiveServer) -> None:
    """FAILURES 8. The way to the server takes connections and ends them before the greeting, as in the middle of a restart."""
    with Proxy(fresh_nats.program.ports["nats"]) as proxy:
        client = await bus.connect(proxy.url, "test", closed=lambda: None)
        proxy.refuse()
        gc.disable()  # a transport that nothing holds would be collected, and its socket closed with a warning
        try:
            await until(lambda: client._server_pool[0].reconnects > 3)
            proxy.refuse(False)
            await until(lambda: client.is_connected)
            open_ = [each for each in gc.get_objects() if isinstance(each, asyncio.Transport) and not each.is_closing()]
            peers = [peer[1] for each in open_ if (peer := each.get_extra_info("peername"))]
            assert peers.count(proxy.port) == 1
        finally:
            gc.enable()
            await client.close()
