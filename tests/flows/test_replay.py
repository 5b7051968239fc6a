"""`trade replay positions`: the journal alone says what every account holds, and corrects Valkey."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Final

import pytest
import redis

from tests.flows.test_life import filled, soon
from tests.stack import PATIENT, LiveStack

KEY: Final = "position:ann:BTCUSDT"
ALONE: Final = "order_management:\n  reconcile_positions_interval_sec: 86400\n"
"""oms puts positions right by itself every minute; here only the command does."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """ann bought 0.2 and sold 0.05 of it, bob bought 0.1. Every scene leaves it so, with Valkey corrected."""
    home = tmp_path_factory.mktemp("replay")
    shutil.copytree(PATIENT, home / "config")
    with (home / "config/oms/config.yaml").open("a") as file:
        file.write(ALONE)
    started = LiveStack(home / "data", "--fills", "sqlite", "--config-dir", str(home / "config")).start()
    try:
        for account, side, quantity in (("ann", "buy", "0.2"), ("bob", "buy", "0.1"), ("ann", "sell", "0.05")):
            traded(started, account, side, quantity)
        yield started
    finally:
        started.close()


def traded(stack: LiveStack, account: str, side: str, quantity: str) -> int:
    """The sequence at which it was filled and projected. Risk may have had no time for a first order: then another one."""
    price = "45900" if side == "buy" else "44100"
    order = {"account": account, "symbol": "BTCUSDT", "side": side, "quantity": quantity, "price": price}

    def submit() -> str | None:
        with stack.client() as http:
            answer = http.post("/orders", json=order).json()
        return answer["order_id"] if answer["status"] == "submitted" else None

    seq: int = filled(stack, soon(submit))["seq"]
    with stack.client() as http:
        assert http.get(f"/positions/{account}", params={"min_seq": seq}).status_code == 200
    return seq


@contextlib.contextmanager
def valkey_of(stack: LiveStack) -> Iterator["redis.Redis"]:
    with contextlib.closing(redis.Redis.from_url(stack.url("valkey"), db=5, decode_responses=True)) as valkey:
        yield valkey


def quantity_in(stack: LiveStack) -> str | None:
    with valkey_of(stack) as valkey:
        return valkey.hget(KEY, "quantity")  # type: ignore[return-value]


def replayed(stack: LiveStack, *arguments: str, code: int = 0) -> str:
    done = stack.trade("replay", "positions", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def sentences(said: str) -> str:
    """Without the line ends that a narrow terminal brings."""
    return " ".join(said.split())


def test_what_was_never_touched_is_identical(stack: LiveStack) -> None:
    said = replayed(stack)
    assert "positions rebuilt; identical to Valkey as of sequence" in sentences(said)
    assert "identical to Valkey for bob" in sentences(replayed(stack, "--account", "bob"))


def test_an_emptied_valkey_is_filled_again_from_the_journal(stack: LiveStack) -> None:  # FAILURES 19
    with valkey_of(stack) as valkey:
        valkey.flushall()
    soon(lambda: quantity_in(stack))
    soon(lambda: stack.trade("replay", "positions").returncode == 0 or None, within_s=20)
    assert quantity_in(stack) == "0.15"


def test_a_wrong_value_is_shown_and_corrected(stack: LiveStack) -> None:
    with valkey_of(stack) as valkey:
        valkey.hset(KEY, "quantity", "7")
    said = replayed(stack, code=1)
    [line] = [line for line in said.splitlines() if "quantity" in line and "ann" in line]
    assert {"BTCUSDT", "0.15", "7"} <= set(line.split())
    assert "trade replay positions --write" in sentences(said)
    assert quantity_in(stack) == "7", "looking changes nothing"
    assert "identical to Valkey for bob" in sentences(replayed(stack, "--account", "bob"))
    replayed(stack, "--account", "ann", code=1)

    assert "repairing it" in replayed(stack, "--write")
    assert quantity_in(stack) == "0.15"
    replayed(stack)


def test_what_was_corrected_is_built_upon(stack: LiveStack) -> None:
    with valkey_of(stack) as valkey:
        valkey.hset(KEY, "quantity", "7")
    replayed(stack, "--write")
    traded(stack, "ann", "buy", "0.1")
    assert quantity_in(stack) == "0.25"
    traded(stack, "ann", "sell", "0.1")
    assert quantity_in(stack) == "0.15"
    replayed(stack)


def test_a_deleted_position_is_missed_and_corrected(stack: LiveStack) -> None:
    with valkey_of(stack) as valkey:
        valkey.delete(KEY)
    assert "0.15" in replayed(stack, code=1)
    replayed(stack, "--write")
    assert quantity_in(stack) == "0.15"


def test_positions_are_shown_as_they_were(stack: LiveStack) -> None:
    with stack.client() as http:
        orders = http.get("/orders", params={"account": "ann", "status": "filled"}).json()["orders"]
    first, second = sorted(order["seq"] for order in orders)[:2]
    then = replayed(stack, "--to-seq", str(first), "--account", "ann")
    assert "0.2" in [word for line in then.splitlines() if "ann" in line for word in line.split()]
    assert "bob" not in then
    now = replayed(stack, "--to-seq", str(second))
    assert [line.split()[:3] for line in now.splitlines() if "BTCUSDT" in line] == [["ann", "BTCUSDT", "0.15"], ["bob", "BTCUSDT", "0.1"]]
    assert f"as of sequence {second}" in sentences(now)


def test_a_sequence_that_is_not_there_is_refused(stack: LiveStack) -> None:
    assert "The journal ends at sequence" in sentences(replayed(stack, "--to-seq", "1000000", code=1))


def test_a_part_or_the_past_cannot_be_corrected(stack: LiveStack) -> None:
    assert "--write repairs all positions" in sentences(replayed(stack, "--write", "--account", "ann", code=2))
    replayed(stack, "--write", "--to-seq", "1", code=2)
