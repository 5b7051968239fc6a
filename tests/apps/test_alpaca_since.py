"""A client of the Alpaca stream that comes back: what came after the sequence that it names, without a hole and nothing twice."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from adapters.memory import MemoryLog
from apps.journal import shard_host
from apps.oms.alpaca import stream_client, update_source
from apps.runtime.chassis import cancelled
from domain.ports import Head
from tests.apps.held_journal import until
from tests.apps.stream_house import LIFE, PATHS, Client, StreamHouse, streaming
from tests.apps.test_alpaca_stream import Reluctant

UPDATES = "trade_updates"


def in_short(updates: Sequence[dict[str, Any]]) -> list[tuple[int, str, str]]:
    return [(update["seq"], update["event"], update["execution_id"]) for update in updates]


async def everything(house: StreamHouse, account: str = "alice") -> list[dict[str, Any]]:
    """All updates that there are, as a client gets them that asks for all of them. The marker shows where the live ones begin."""
    async with house.listening(account, since_seq=0) as client:
        await house.submit(f"marker-{random.randrange(10**9)}", account)
        found: list[dict[str, Any]] = []
        while not found or not found[-1]["order"]["client_order_id"].startswith("marker"):
            found += await client.updates(1)
        return found[:-1]


async def test_a_client_that_asks_from_the_begin_gets_what_a_listener_got_live() -> None:
    async with streaming() as house, house.listening() as live:
        for name in "abc":
            await house.live(name)
            await house.live(name, "bob")
        heard = await live.updates(15)
        assert await everything(house) == heard
        async with house.listening(since_seq=0) as client:
            assert (await client.updates(15)) == heard


async def test_from_any_sequence_the_rest_is_the_same() -> None:
    async with streaming() as house:
        for account in ("alice", "bob", "alice"):
            await house.live(f"{account}-{house.desk.host.head.seq}", account)
        every = await everything(house)
        for since in range(1, 15):
            whole = [update for update in every if update["seq"] > since]
            async with house.listening(since_seq=since) as client:
                assert await client.updates(len(whole)) == whole, since
        assert [update["position_qty"] for update in every if "position_qty" in update] == ["4", "10", "14", "20"]


async def test_the_parameter_also_counts_beside_the_data_where_ccxt_puts_it() -> None:
    async with streaming() as house:
        await house.live("a")
        async with house.connected() as client:
            await client.authenticate(*house.key())
            await client.say(action="listen", data={"streams": [UPDATES]}, since_seq=3)
            assert await client.hear() == {"stream": "listening", "data": {"streams": [UPDATES]}}
            assert [update["event"] for update in await client.updates(2)] == LIFE[3:]


async def test_while_orders_come_in_nothing_is_missing_between_earlier_and_live_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update_source, "NEAR_COMMITS", 3)
    async with streaming() as house, house.listening() as live:
        for number in range(10):
            await house.live(f"before-{number}")
        trading = asyncio.ensure_future(_trade(house, 60))
        clients: list[tuple[Client, int]] = []
        managers = []
        for since in (0, 7, 20, 49):
            managers.append(house.listening(since_seq=since))
            clients.append((await managers[-1].__aenter__(), since))
        await trading
        heard = in_short(await live.updates(70 * 5))
        for client, since in clients:
            wanted = [each for each in heard if each[0] > since]
            assert in_short(await client.updates(len(wanted))) == wanted
            await client.receives_nothing()
        for manager in managers:
            await manager.__aexit__(None, None, None)


async def _trade(house: StreamHouse, count: int) -> None:
    for number in range(count):
        await house.live(f"while-{number}")


async def test_through_a_recovery_of_the_host_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An append whose ack is lost is in the journal, although the host never released its effects."""
    monkeypatch.setattr(shard_host, "RECOVER_PAUSE_S", 0.01)
    log = MemoryLog()
    async with streaming(log) as house, house.listening() as client:
        await house.submit("a")
        log.acks_to_lose = 1
        with pytest.raises(Exception, match="lost"):
            await house.route("a")
        await house.desk.ready()
        await until(lambda: house.desk.host.ready)
        await house.ack("a")
        await house.fill("a", "10", "F1")
        updates = await client.updates(4)
        assert [update["event"] for update in updates] == ["accepted", "pending_new", "new", "fill"]
        async with house.listening(since_seq=updates[0]["seq"]) as again:
            assert await again.updates(3) == updates[1:]


async def test_while_the_journal_does_not_answer_updates_are_late_and_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update_source, "AGAIN_S", 0.01)
    async with streaming() as house:
        await house.submit("old")
        async with house.listening() as client:
            await house.submit("a")
            await client.updates(1)
            house.journal.log = down = MemoryLog()
            down.down = True
            await house.route("old")
            house.journal.log = house.desk.log
            await house.ack("old")
            assert [update["event"] for update in await client.updates(2)] == ["pending_new", "new"]


async def test_a_sequence_that_is_no_commit_of_this_journal_ends_the_connection() -> None:
    async with streaming() as house:
        await house.submit("a")
        house.desk.log.put_foreign(b"not ours")
        for since in (2, 3, 10**18):
            async with house.connected() as client:
                await client.authenticate(*house.key())
                await client.listen(UPDATES, since_seq=since)
                with pytest.raises(ConnectionClosed) as end:
                    await client.hear()
                assert end.value.rcvd is not None
                assert (end.value.rcvd.code, end.value.rcvd.reason) == (1008, f"sequence {since} is not a commit of this journal")


async def test_a_client_that_goes_while_it_is_sent_earlier_updates_leaves_nothing_behind() -> None:
    async with streaming() as house:
        for name in "abcdef":
            await house.live(name)
        for _ in range(8):  # more than may read at once
            async with house.listening(since_seq=0) as client:
                await client.updates(1)
        await until(lambda: house.stream.open == 0)
        assert not house.source.accounts
        assert len(await everything(house)) == 30
        assert house.desk.host.head != Head()


async def test_clients_that_read_slowly_keep_only_their_own_account_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_client, "SEND_S", 600.0)
    async with streaming() as house:
        await house.live("a")
        await house.live("b", "bob")
        key_id, secret = house.key()
        said: tuple[dict[str, Any], ...] = (
            {"action": "authenticate", "data": {"key_id": key_id, "secret_key": secret}},
            {"action": "listen", "data": {"streams": ["trade_updates"], "since_seq": 0}},
        )
        slow = [Reluctant(*said) for _ in range(update_source.READERS_MAX)]
        scope: dict[str, Any] = {"type": "websocket", "path": PATHS[0], "headers": []}
        serving = [asyncio.ensure_future(house.stream(scope, each.receive, each.send)) for each in slow]
        await until(lambda: all(len(each.sent) == 3 for each in slow))
        async with house.listening("bob", since_seq=0) as client:
            assert [update["event"] for update in await client.updates(5)] == LIFE
        for each in serving:
            await cancelled(each)
