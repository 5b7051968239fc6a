"""desk on a real stack: what its stream says is what the other services say, also after it was killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from apps.desk.client import ClientState, follow
from tests.children import started
from tests.stack import LiveStack

ORDER: Final = {"symbol": "BTCUSDT", "side": "buy", "quantity": 0.01, "type": "market"}
PATIENCE_S: Final = 120.0
ROWS: Final = ("status", "cum_quantity", "leaves_quantity", "average_price", "fees", "reason", "updated_at", "seq")
POSITION: Final = ("quantity", "average_price", "last_price", "realised_pnl", "fees", "seq")

pytestmark = pytest.mark.timeout(600)


def exact(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.content, parse_float=Decimal)
    return found


async def followed(stack: LiveStack, state: ClientState, until: Any, **params: Any) -> None:
    async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient() as http:
        async for _ in follow(http, f"{stack.url('desk')}/stream", params, state):
            if until():
                return


def is_over(state: ClientState) -> bool:
    return all(row["status"] in ("filled", "rejected") for row in state.orders.values())


async def submitted(stack: LiveStack, account: str, count: int) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=stack.url("oms"), timeout=30) as http:
        return [exact(await http.post("/orders", json={**ORDER, "account": account})) for _ in range(count)]


async def over(stack: LiveStack, sent: list[dict[str, Any]]) -> None:
    """Until these orders are closed, so that nothing moves in the shared stack when the next scene begins."""
    async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient(base_url=stack.url("oms"), timeout=30) as http:
        for each in sent:
            while exact(await http.get(f"/orders/{each['order_id']}"))["status"] not in ("filled", "rejected"):
                await asyncio.sleep(0.05)


async def assert_as_the_services_say(stack: LiveStack, state: ClientState, account: str) -> None:
    async with httpx.AsyncClient(timeout=60) as http:
        for order_id, row in state.orders.items():
            said = exact(await http.get(f"{stack.url('oms')}/orders/{order_id}", params={"at_seq": state.seq}))
            assert {name: row[name] for name in ROWS} == {name: said[name] for name in ROWS}
        said = exact(await http.get(f"{stack.url('oms')}/positions/{account}", params={"at_seq": state.seq}))
        assert {symbol: {name: row[name] for name in POSITION} for (_, symbol), row in state.positions.items()} == {
            symbol: {name: position[name] for name in POSITION} for symbol, position in said.items()
        }


async def test_the_stream_of_an_account_is_what_oms_says_at_that_sequence(running: LiveStack) -> None:
    state = ClientState()
    sent = await submitted(running, "on-desk", 5)
    await followed(running, state, lambda: state.seq >= sent[-1]["seq"] and bool(state.positions), account="on-desk")
    assert state.orders.keys() == {each["order_id"] for each in sent}
    await assert_as_the_services_say(running, state, "on-desk")
    await followed(running, state, lambda: is_over(state), account="on-desk")
    await assert_as_the_services_say(running, state, "on-desk")


async def test_a_client_continues_over_a_killed_desk_and_misses_nothing(tmp_path: Path) -> None:
    stack = LiveStack(tmp_path / "data", "--fills", "sqlite", desk=True).start()
    try:
        state, events = ClientState(), list[tuple[int, int]]()
        sent: list[dict[str, Any]] = []

        async def trade_and_kill() -> None:
            for _ in range(3):
                sent.extend(await submitted(stack, "killed", 10))
                await asyncio.to_thread(stack.kill, "desk")
                sent.extend(await submitted(stack, "killed", 10))
                await asyncio.to_thread(stack.await_ready)

        trading = asyncio.ensure_future(trade_and_kill())
        params = {"account": "killed", "kinds": "orders,events,positions"}
        async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient() as http:
            async for message in follow(http, f"{stack.url('desk')}/stream", params, state):
                events += [(event["seq"], event["index"]) for event in message.data.get("events", ())]
                if trading.done() and len(state.orders) == 60 and is_over(state):
                    break
        await trading
        assert state.orders.keys() == {each["order_id"] for each in sent}
        await assert_as_the_services_say(stack, state, "killed")
        assert events == sorted(set(events)), "every event once, in order"
        async with httpx.AsyncClient(timeout=30) as http:
            for order_id in state.orders:
                timeline = exact(await http.get(f"{stack.url('oms')}/orders/{order_id}/events"))["events"]
                assert {each["seq"] for each in timeline} <= {seq for seq, _ in events}
    finally:
        stack.close()


@contextmanager
def watching(stack: LiveStack, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "apps.cli", "watch", *words]
    with started(command, env={**os.environ, **stack.environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stderr
            assert child.stderr.readline().startswith("Watching ")
            yield child
        finally:
            child.kill()


def test_trade_watch_shows_events_and_positions_until_ctrl_c(running: LiveStack) -> None:
    with watching(running, "--account", "watched") as child:
        [answer] = asyncio.run(submitted(running, "watched", 1))
        seen: list[str] = []
        assert child.stdout
        while not any(" position BTCUSDT 0.01 " in line for line in seen):
            seen.append(child.stdout.readline())
        assert any("OrderFilled" in line and answer["order_id"] in line for line in seen)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=PATIENCE_S)
    assert (child.returncode, errors) == (0, "")
    asyncio.run(over(running, [answer]))


def test_trade_watch_begins_at_the_given_sequence(running: LiveStack) -> None:
    [answer] = asyncio.run(submitted(running, "from-there", 1))
    with watching(running, "--account", "from-there", "--from-seq", str(answer["seq"] - 1), "--json") as child:
        assert child.stdout
        for line in child.stdout:
            if '"OrderSubmitted"' in line:
                break
        assert answer["order_id"] in line
    asyncio.run(over(running, [answer]))


async def test_the_orders_of_before_are_what_oms_says_of_each(running: LiveStack) -> None:
    sent = await submitted(running, "before", 3)
    async with httpx.AsyncClient(timeout=60) as http:
        for at_seq in (sent[0]["seq"], sent[-1]["seq"]):
            past = exact(await http.get(f"{running.url('desk')}/orders", params={"at_seq": at_seq, "account": "before"}))
            assert past["as_of_seq"] == at_seq
            assert {row["order_id"] for row in past["orders"]} == {each["order_id"] for each in sent if each["seq"] <= at_seq}
            for row in past["orders"]:
                said = exact(await http.get(f"{running.url('oms')}/orders/{row['order_id']}", params={"at_seq": at_seq}))
                assert {name: row[name] for name in ROWS} == {name: said[name] for name in ROWS}
        late = await http.get(f"{running.url('desk')}/orders", params={"at_seq": 10**9})
    assert (late.status_code, late.json()["code"]) == (422, "seq_not_reached")
    await over(running, sent)
