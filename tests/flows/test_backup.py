"""A stack is destroyed and comes back from its backup with every order; a damaged backup changes nothing."""

import gzip
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from apps.runtime.exit_codes import Exit
from tests.stack import LiveStack

ORDERS = 12


def body(number: int) -> dict[str, object]:
    side = "sell" if number % 3 == 0 else "buy"
    return {"symbol": "BTCUSDT", "side": side, "quantity": 0.01, "price": 45500 - number, "type": "limit", "client_order_id": f"b-{number}"}


def everything(stack: LiveStack) -> dict[str, Any]:
    with stack.client() as oms:
        orders = {order["order_id"]: order for order in oms.get("/orders", params={"limit": "500"}).json()["orders"]}
        positions = oms.get("/positions/main").json()
        return orders | {name: {**held, "unrealised_pnl": "moves with the market"} for name, held in positions.items()}


def settled(stack: LiveStack) -> None:
    with stack.client() as oms:
        last = max(oms.post("/orders", json=body(number)).json()["seq"] for number in range(ORDERS))
        assert oms.get("/positions/main", params={"min_seq": last + 2}).status_code in (200, 503)
    assert stack.trade("verify").returncode == Exit.DONE


@pytest.mark.timeout(900)
def test_a_destroyed_stack_comes_back_from_its_backup(tmp_path: Path) -> None:
    file = tmp_path / "backup.gz"
    stack = LiveStack(tmp_path / "data", "--fills", "sqlite").start()
    try:
        settled(stack)
        made = stack.trade("backup", str(file))
        assert made.returncode == Exit.DONE, made.stderr
        assert "read back and complete" in made.stdout
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        twice = stack.trade("backup", str(file))
        assert (twice.returncode, "--force" in twice.stderr) == (Exit.REFUSED, True), twice.stderr
        assert stack.trade("backup", "--force", str(file)).returncode == Exit.DONE
        before = everything(stack)
        stack.stop()
        shutil.rmtree(stack.data_dir)

        empty = LiveStack(stack.data_dir, "--fills", "sqlite", "--only-servers").start()
        try:
            back = empty.trade("restore", str(file))
            assert back.returncode == Exit.DONE, back.stderr
            again = empty.trade("restore", str(file))
            assert (again.returncode, again.stdout) == (Exit.REFUSED, "")
            assert "Nothing was written: the stream OMS_JOURNAL holds" in again.stderr
        finally:
            empty.close()

        stack.start()
        assert everything(stack) == before
        assert stack.trade("verify").returncode == Exit.DONE
        with stack.client() as oms:
            assert oms.post("/orders", json=body(3)).json()["replayed"] is True, "it is the same order forever"
            assert oms.post("/orders", json=body(99)).json()["status"] == "submitted"
    finally:
        stack.close()


def test_a_damaged_backup_is_refused_before_anything_is_written(fresh: LiveStack, tmp_path: Path) -> None:
    settled(fresh)
    file = tmp_path / "backup.gz"
    assert fresh.trade("backup", str(file)).returncode == Exit.DONE
    whole = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    harm = {
        "cut short": b"".join(whole[:-1]),
        "a commit less": b"".join([*whole[:2], *whole[3:]]),
        "another quantity": b"".join(whole).replace(b"0.01", b"0.02", 1),
        "not ours": b"{}\n",
        "nothing": b"",
    }
    for name, text in harm.items():
        damaged = tmp_path / "damaged.gz"
        damaged.write_bytes(gzip.compress(text))
        said = fresh.trade("restore", str(damaged))
        assert said.returncode == Exit.REFUSED, name
        assert "damaged.gz" in said.stderr or "sequence" in said.stderr, name
    assert fresh.trade("verify").returncode == Exit.DONE
