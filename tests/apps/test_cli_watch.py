"""`trade watch`: what is told on the bus is told to the person, whatever it is, until Ctrl-C."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from adapters import bus
from adapters.codec import encode
from apps.cli.watch import told
from domain.order.lifecycle import State
from tests.children import started
from tests.contracts.facts import filled
from tests.live import LiveServer

ORDER = encode(
    {
        "order_id": "O1",
        "account": "alice",
        "symbol": "BTCUSDT",
        "status": State.PARTIALLY_FILLED,
        "cum_quantity": 4,
        "leaves_quantity": 6,
        "average_price": 49.5,
        "seq": 7,
        "at": 1_700_000_000_123_456_789,
        "events": [filled("E1", "4", "49.5", status=State.PARTIALLY_FILLED)],
    }
)
POSITION = (
    b'{"account":"alice","symbol":"BTCUSDT","quantity":0.1,"price":45000,"timestamp":1700000000.123456,"average_price":45000.1,"seq":7}'
)


def test_an_order_update_is_a_line() -> None:
    assert told("oms.orders.alice.O1", ORDER) == (
        "2023-11-14T22:13:20.123456Z alice order O1 BTCUSDT partially_filled, filled 4 @ 49.5 leaves 6 seq 7 "
        "| OrderFilled (buy 4 @ 49.5 on PAPER_A (taker, fee 0.1))"
    )


def test_a_position_update_is_a_line() -> None:
    assert told("positions.alice", POSITION) == ("2023-11-14T22:13:20.123456Z alice position BTCUSDT 0.1 @ 45000.1 last 45000 seq 7")


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"7", b"\xff\x00", b'{"events":[1,null,"x",{}]}', b'{"events":7,"at":"soon","cum_quantity":{}}']
)
def test_a_message_that_nobody_expected_is_shown_all_the_same(payload: bytes) -> None:
    assert told("oms.orders.alice.O1", payload)
    assert told("positions.alice", payload)


@contextmanager
def watching(server: LiveServer, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`trade watch`, listening."""
    command = [sys.executable, "-m", "apps.cli", "watch", *words]
    environment = {**os.environ, "TRADE_NATS_URL": server.url}
    with started(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stderr
            assert child.stderr.readline().startswith("Watching ")
            yield child
        finally:
            child.kill()


def publish(server: LiveServer, messages: Sequence[tuple[str, bytes]]) -> None:
    async def publishing() -> None:
        client = await bus.connect(server.url, "test", closed=lambda: None)
        for subject, payload in messages:
            await client.publish(subject, payload)
        await client.close()

    asyncio.run(publishing())


def test_one_account_is_watched_until_ctrl_c_which_is_0_and_quiet(nats_server: LiveServer) -> None:
    with watching(nats_server, "--account", "alice") as child:
        publish(nats_server, [("oms.orders.bob.O2", ORDER), ("oms.orders.alice.O1", ORDER), ("positions.alice", POSITION)])
        assert child.stdout
        seen = {child.stdout.readline().strip() for _ in range(2)}
        assert seen == {told("oms.orders.alice.O1", ORDER), told("positions.alice", POSITION)}
        child.send_signal(signal.SIGINT)
        rest, errors = child.communicate(timeout=120)
    assert (child.returncode, rest, errors) == (0, "", "")


def test_with_json_every_message_comes_as_it_was_sent(nats_server: LiveServer) -> None:
    with watching(nats_server, "--json") as child:
        publish(nats_server, [("oms.orders.carol.O1", ORDER)])
        assert child.stdout
        assert child.stdout.readline() == ORDER.decode() + "\n"


def test_a_bus_that_is_not_there_is_3() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "apps.cli", "watch"],
        env={**os.environ, "TRADE_NATS_URL": "nats://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 3
    assert len(ended.stderr.splitlines()) == 2


def test_a_bus_that_goes_away_is_said_and_waited_for(fresh_nats: LiveServer) -> None:
    with watching(fresh_nats) as child:
        fresh_nats.restart()
        assert child.stdout
        assert child.stderr
        while not select.select([child.stdout], [], [], 0.1)[0]:
            publish(fresh_nats, [("positions.alice", POSITION)])
        assert child.stdout.readline().strip() == told("positions.alice", POSITION)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=120)
    assert "NATS connection lost, trying again" in errors
