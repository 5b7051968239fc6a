"""`trade up` as a person meets it: the real command with the real servers, its refusals, and what it leaves behind."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import nats
import pytest
from msgspec.structs import replace

from adapters import bus
from adapters.jetstream import ensure_stream, stream_state
from apps.runtime.exit_codes import Exit
from apps.stack import stack
from apps.stack.command import up, welcome
from apps.stack.credentials.nats import ORDERS
from apps.stack.directory import MARK, claimed, wipe
from apps.stack.ports import SERVICE_PORTS, ServerPorts
from apps.stack.servers import Servers
from apps.stack.services import Choices, services
from apps.stack.topology import TOPOLOGIES
from apps.stack.trouble import CannotStart
from apps.unit.__main__ import environment_of
from tests.children import started
from tests.stack import as_admin, as_writer_of, free_offset

PATIENCE_S = 120.0
ENDS_S = 120.0


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@contextmanager
def command(data_dir: Path, offset: int, *more: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m apps.stack` with NATS and Valkey alone, which is what starts fastest."""
    words = ["--data-dir", str(data_dir), "--port-offset", str(offset), "--only-servers", "--fills", "sqlite", *more]
    with started(
        [sys.executable, "-m", "apps.stack", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ready_stack(data_dir: Path) -> stack.Stack:
    def is_ready() -> bool:
        found = stack.read(data_dir)
        return found is not None and all(each.state == "ready" for each in found.processes)

    until(is_ready)
    found = stack.read(data_dir)
    assert found is not None
    return found


def stop(process: subprocess.Popen[str]) -> tuple[str, str]:
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=ENDS_S)
    assert process.returncode == Exit.DONE
    return said


async def _publish(url: str, writer_url: str) -> None:
    client, writer = await nats.connect(url), await bus.connect(writer_url, "t", closed=lambda: None)
    await ensure_stream(client, ORDERS, ["oms.journal.*"], 2**24)
    await writer.request("oms.journal.0", b"kept", timeout=5)
    await client.close()
    await writer.close()


async def _kept(url: str) -> int:
    client = await nats.connect(url)
    try:
        state = await stream_state(client, ORDERS)
        return state.messages if state else 0
    finally:
        await client.close()


def test_it_starts_says_where_stops_cleanly_and_carries_on_the_next_time(tmp_path: Path) -> None:
    data_dir, offset = tmp_path / "state", free_offset()
    with command(data_dir, offset) as process:
        found = ready_stack(data_dir)
        assert [each.name for each in found.processes] == ["nats", "valkey"]
        asyncio.run(_publish(as_admin(data_dir, found.urls)["nats"], as_writer_of(ORDERS, data_dir, found.urls)))
        out, _ = stop(process)
    assert found.urls["nats"] == f"nats://127.0.0.1:{4222 + offset}"
    assert found.urls["nats"] in out
    assert "fills are in SQLite" in out
    assert out.endswith("stopped\n")
    assert stack.read(data_dir) is None
    assert not any(each.is_alive() for each in found.processes)
    with command(data_dir, offset) as process:
        assert asyncio.run(_kept(as_admin(data_dir, ready_stack(data_dir).urls)["nats"])) == 1
        stop(process)


def test_nothing_outlives_a_supervisor_that_is_killed_and_the_next_start_works(tmp_path: Path) -> None:
    data_dir, offset = tmp_path, free_offset()
    with command(data_dir, offset) as process:
        found = ready_stack(data_dir)
        process.kill()
        process.wait()
        until(lambda: not any(each.is_alive() for each in found.processes))
    with command(data_dir, offset) as process:
        until(lambda: (now := stack.read(data_dir)) is not None and now.pid == process.pid)
        ready_stack(data_dir)
        stop(process)


def test_a_second_stack_on_the_same_directory_is_told_who_has_it(tmp_path: Path) -> None:
    with command(tmp_path, free_offset()) as first:
        ready_stack(tmp_path)
        with command(tmp_path, free_offset()) as second:
            _, err = second.communicate(timeout=ENDS_S)
        assert second.returncode == Exit.REFUSED
        assert f"in use by another stack (pid {first.pid})" in err
        stop(first)


def test_a_port_in_use_is_named_with_its_owner_before_anything_is_removed(tmp_path: Path) -> None:
    data_dir, offset = tmp_path / "state", free_offset()
    with claimed(data_dir):
        (data_dir / "journal").write_text("dear")
    with closing(socket.create_server(("127.0.0.1", 6379 + offset))), command(data_dir, offset, "--fresh", "--yes") as process:
        _, err = process.communicate(timeout=ENDS_S)
    assert process.returncode == Exit.REFUSED
    assert f"Port {6379 + offset}, which valkey needs, is in use by" in err
    assert f"(pid {os.getpid()})" in err
    assert "--port-offset" in err
    assert (data_dir / "journal").read_text() == "dear"


def test_fresh_forgets_what_was_there(tmp_path: Path) -> None:
    data_dir, offset = tmp_path / "state", free_offset()
    with command(data_dir, offset) as process:
        urls = ready_stack(data_dir).urls
        asyncio.run(_publish(as_admin(data_dir, urls)["nats"], as_writer_of(ORDERS, data_dir, urls)))
        stop(process)
    with command(data_dir, offset, "--fresh") as process:
        assert asyncio.run(_kept(as_admin(data_dir, ready_stack(data_dir).urls)["nats"])) == 0
        stop(process)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--quotes", "nowhere.csv"), "nowhere.csv is not a file"),
        (("--port-offset", "70000"), "is out of range"),
        (("--fills", "oracle"), "invalid choice"),
    ],
)
def test_wrong_usage_is_exit_code_2(tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    with command(tmp_path, 0, *words) as process:
        _, err = process.communicate(timeout=ENDS_S)
    assert process.returncode == Exit.USAGE
    assert sentence in err
    assert "Traceback" not in err


def test_a_directory_that_is_not_ours_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CannotStart, match="was not created by `trade up`"), claimed(tmp_path):
        pytest.fail("claimed")
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_data_directory_that_is_a_file_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match="cannot be used") as trouble, claimed(tmp_path / "file"):
        pytest.fail("claimed")
    assert trouble.value.exit_code == Exit.USAGE


def test_wiping_removes_links_but_not_what_they_point_to(tmp_path: Path) -> None:
    dear = tmp_path / "dear"
    dear.mkdir()
    (dear / "thesis.txt").touch()
    data_dir = tmp_path / "state"
    with claimed(data_dir):
        (data_dir / "link").symlink_to(dear)
        (data_dir / "nats").mkdir()
        wipe(data_dir)
    assert {each.name for each in data_dir.iterdir()} == {MARK, "lock"}
    assert (dear / "thesis.txt").exists()


def test_a_stale_process_is_ended_but_not_a_stranger_with_its_number(tmp_path: Path) -> None:
    ours, stranger = (started(["sleep", "600"], process_group=0) for _ in range(2))
    states = [stack.ProcessState(name, "server", {}, "") for name in ("ours", "stranger")]
    for state, process in zip(states, (ours, stranger), strict=True):
        state.began(process.pid)
    states[1].created_at -= 100  # what stack.json remembers is another process
    stack.write(tmp_path, stack.Stack(1, 0.0, str(tmp_path), 0, "sqlite", {}, states))
    try:
        assert stack.end_stale(tmp_path) == [f"ours (pid {ours.pid})"]
        assert ours.wait(timeout=120) == -signal.SIGTERM
        assert stranger.poll() is None
    finally:
        for process in (ours, stranger):
            process.kill()
            process.wait()
    assert stack.read(tmp_path) is None


def test_a_stack_file_of_a_release_without_access_belongs_to_an_open_stack(tmp_path: Path) -> None:
    stack.write(tmp_path, stack.Stack(1, 0.0, str(tmp_path), 0, "sqlite", {}, [], access="keys"))
    kept = stack.read(tmp_path)
    assert kept is not None
    assert kept.access == "keys"
    written = json.loads((tmp_path / stack.FILE).read_text())
    del written["access"]
    (tmp_path / stack.FILE).write_text(json.dumps(written))
    old = stack.read(tmp_path)
    assert old is not None
    assert old.access == "open"


def test_every_service_learns_the_mode_of_access_and_where_keys_are_needed_there_are_no_guests(tmp_path: Path) -> None:
    for topology in TOPOLOGIES:
        programs = services(Choices(tmp_path, topology=topology, access="keys"), Servers.at(ServerPorts()))
        assert {each.environment["TRADE_ACCESS"] for each in programs} == {"keys"}
    assert [Choices(tmp_path, guests=guests, access=access).admits_guests for guests in (True, False) for access in ("open", "keys")] == [
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize("port_offset", [0, 100])
def test_with_keys_the_first_order_begins_with_a_key_that_may_trade(port_offset: int, tmp_path: Path) -> None:
    described = stack.Stack(1, 0.0, str(tmp_path), port_offset, "sqlite", {"oms": "http://127.0.0.1:8199"}, [], access="keys")
    said = welcome(described)
    assert f"key create --account main --scopes trade,read --data-dir {tmp_path})" in said
    assert 'curl -s http://127.0.0.1:8199/orders -H "Authorization: Bearer $KEY" -H ' in said
    assert f"order submit BTCUSDT buy 0.1 --price 45000 --data-dir {tmp_path}" in said
    assert "Bearer" not in welcome(replace(described, access="open"))


@pytest.mark.parametrize("access", ["open", "keys"])
def test_the_start_says_how_to_make_a_key_for_clients_of_alpaca(access: str, tmp_path: Path) -> None:
    described = stack.Stack(1, 0.0, str(tmp_path), 0, "sqlite", {"oms": "http://127.0.0.1:8199"}, [], access=access)
    said = welcome(described)
    assert "their address is http://127.0.0.1:8199/alpaca (docs/alpaca.md):" in said
    assert f"key create --account main --scopes trade,read --json --data-dir {tmp_path}" in said


def test_an_unknown_mode_of_access_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = up(tmp_path, 0, False, False, "sqlite", None, "", "", None, only_servers=True, access="closed")
    assert (code, list(tmp_path.iterdir())) == (Exit.USAGE, [])
    assert "--access must be open or keys, not closed." in capsys.readouterr().err


def test_a_damaged_stack_file_is_no_stack(tmp_path: Path) -> None:
    (tmp_path / stack.FILE).write_text('{"pid": ')
    assert stack.read(tmp_path) is None


def test_each_service_gets_its_ports_and_the_addresses_of_everything(tmp_path: Path) -> None:
    (tmp_path / "oms").mkdir()
    (tmp_path / "oms" / "config.yaml").touch()
    (tmp_path / "instruments.yaml").touch()
    servers = Servers.at(ServerPorts().shifted(10), questdb=True)
    programs = {each.name: each for each in services(Choices(tmp_path, 10, config_dir=tmp_path, topology="services"), servers)}
    assert set(programs) == set(SERVICE_PORTS)
    oms = programs["oms"]
    assert oms.command[1:] == ("-m", "apps.oms")
    assert oms.environment == {
        "PYTHONUNBUFFERED": "1",
        "TRADE_CONFIG": str(tmp_path / "oms" / "config.yaml"),
        "TRADE_INSTRUMENTS": str(tmp_path / "instruments.yaml"),
        "TRADE_HOST": "127.0.0.1",
        "TRADE_PORT": "8109",
        "TRADE_METRICS_PORT": "9109",
        "TRADE_DATA_DIR": str(tmp_path),
        "TRADE_LOG_DIR": str(tmp_path / "logs"),
        "TRADE_FILLS": "questdb",
        "TRADE_ACCESS": "open",
        "TRADE_SECRETS_DIR": str(tmp_path / "secrets"),
        "TRADE_NATS_URL": "nats://127.0.0.1:4232",
        "TRADE_NATS_MONITOR_URL": "http://127.0.0.1:8232",
        "TRADE_VALKEY_URL": "redis://127.0.0.1:6389",
        "TRADE_QUESTDB_HTTP_URL": "http://127.0.0.1:9010",
        "TRADE_QUESTDB_PG_URL": "postgresql://admin:quest@127.0.0.1:8822/qdb",
        "TRADE_OMS_URL": "http://127.0.0.1:8109",
        "TRADE_RISK_URL": "http://127.0.0.1:8113",
        "TRADE_EXEQ_URL": "http://127.0.0.1:8105",
        "TRADE_GATEWAY_URL": "http://127.0.0.1:8115",
        "TRADE_PROJECTOR_URL": "http://127.0.0.1:8117",
        "TRADE_DESK_URL": "http://127.0.0.1:8120",
    }
    assert programs["risk"].niceness < oms.niceness < programs["projector"].niceness, "an order waits 5 ms for risk, and not for readers"
    gateway = programs["live-gateway"]
    assert gateway.command[1:] == ("-m", "apps.live_gateway")
    assert "TRADE_CONFIG" not in gateway.environment


def test_a_unit_is_told_the_ports_and_the_configuration_of_each_of_its_services(tmp_path: Path) -> None:
    (tmp_path / "risk").mkdir()
    (tmp_path / "risk" / "config.yaml").touch()
    servers = Servers.at(ServerPorts().shifted(10), questdb=True)
    programs = {each.name: each for each in services(Choices(tmp_path, 10, config_dir=tmp_path), servers)}
    assert set(programs) == {"unit", "live-gateway", "projector", "desk"}
    unit = programs["unit"]
    assert unit.command[1:] == ("-m", "apps.unit")
    assert unit.services == ("oms", "risk", "exeq")
    assert set(unit.ports.values()) == {8109, 9109, 8113, 9113, 8105, 9105}
    told = {name: environment_of(name, unit.environment) for name in unit.services}
    assert {name: (each["TRADE_PORT"], each["TRADE_METRICS_PORT"], each["TRADE_CONFIG"]) for name, each in told.items()} == {
        "oms": ("8109", "9109", ""),
        "risk": ("8113", "9113", str(tmp_path / "risk" / "config.yaml")),
        "exeq": ("8105", "9105", ""),
    }


def test_each_service_of_a_unit_is_named_in_the_stacks_file_with_its_own_ports_and_the_units_process(tmp_path: Path) -> None:
    (unit, *_) = services(Choices(tmp_path, 10), Servers.at(ServerPorts()))
    state = stack.ProcessState(unit.name, unit.kind, dict(unit.ports), "unit.out", services=list(unit.services))
    state.began(os.getpid())
    stack.write(tmp_path, stack.Stack(1, 0.0, str(tmp_path), 10, "sqlite", {}, [state]))
    found = stack.read(tmp_path)
    assert found is not None
    assert [(each.name, each.pid, each.within) for each in found.processes] == [
        ("unit", os.getpid(), ""),
        *((name, os.getpid(), "unit") for name in ("oms", "risk", "exeq")),
    ]
    risk = found.find("risk")
    assert risk is not None
    assert (risk.ports, risk.services, risk.starts) == ({"http": 8113, "metrics": 9113}, ["risk"], 1)


def test_a_configuration_directory_may_say_only_what_is_traded_and_where(tmp_path: Path) -> None:
    (tmp_path / "venues.yaml").touch()
    for each in services(Choices(tmp_path, config_dir=tmp_path), Servers.at(ServerPorts())):
        assert each.environment["TRADE_VENUES"] == str(tmp_path / "venues.yaml")
        assert not {"TRADE_CONFIG", "TRADE_INSTRUMENTS"} & each.environment.keys()


def test_a_configuration_directory_without_services_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"holds no <service>/config\.yaml") as trouble:
        services(Choices(tmp_path, config_dir=tmp_path), Servers.at(ServerPorts()))
    assert trouble.value.exit_code == Exit.USAGE
