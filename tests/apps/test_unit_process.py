"""The process of a unit: three doors, and one end for all three."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from apps.unit.__main__ import environment_of
from tests.children import started
from tests.live import LiveServer
from tests.ports import free_ports

ROOT = Path(__file__).parents[2]
SERVICES = ("oms", "risk", "exeq")
ENDS_S = 120

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def unit(**environment: str) -> subprocess.Popen[str]:
        common = {"TRADE_HOST": "127.0.0.1", "TRADE_FILLS": "sqlite", "TRADE_DATA_DIR": str(tmp_path), "TRADE_LOG_DIR": str(tmp_path)}
        whole = {**os.environ, **common, "TRADE_VALKEY_URL": "redis://127.0.0.1:1", **environment}
        running.append(
            started((sys.executable, "-m", "apps.unit"), cwd=ROOT, env=whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        return running[-1]

    yield unit
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def doors() -> tuple[dict[str, int], dict[str, str]]:
    """A free port for each service, and the variables that say so."""
    numbers = free_ports(6)
    ports, metrics = dict(zip(SERVICES, numbers, strict=False)), dict(zip(SERVICES, numbers[3:], strict=True))
    said = {f"TRADE_{name.upper()}_PORT": str(port) for name, port in ports.items()}
    return ports, said | {f"TRADE_{name.upper()}_METRICS_PORT": str(port) for name, port in metrics.items()}


def test_a_variable_of_one_service_is_not_another_ones() -> None:
    environ = {"TRADE_PORT": "1", "TRADE_OMS_PORT": "8", "TRADE_RISK_CONFIG": "r.yaml", "TRADE_NATS_URL": "nats://n"}
    found = {name: environment_of(name, environ) for name in SERVICES}
    assert {name: (each["TRADE_PORT"], each["TRADE_CONFIG"]) for name, each in found.items()} == {
        "oms": ("8", ""),
        "risk": ("", "r.yaml"),
        "exeq": ("", ""),
    }
    assert all(each["TRADE_NATS_URL"] == "nats://n" for each in found.values())


def test_a_wrong_configuration_of_one_is_the_last_sentence_and_nothing_was_begun(start: Start, tmp_path: Path) -> None:
    wrong = tmp_path / "risk.yaml"
    wrong.write_text("risk_checks: {max_order_size_usd: much}\n")
    process = start(TRADE_RISK_CONFIG=str(wrong), **doors()[1])
    said, complained = process.communicate(timeout=ENDS_S)
    assert (process.returncode, said) == (2, "")
    assert complained.startswith(f"{wrong}: risk_checks.max_order_size_usd:")


def test_a_taken_port_of_one_ends_all_three(start: Start, nats_server: LiveServer) -> None:
    ports, environment = doors()
    with socket.create_server(("127.0.0.1", ports["exeq"])):
        process = start(TRADE_NATS_URL=nats_server.url, **environment)
        said, _ = process.communicate(timeout=ENDS_S)
    assert process.returncode == 1
    assert "Cannot open the ports of exeq" in said
    assert {line.split()[2] for line in said.splitlines() if " Stopped " in line} == {"oms", "risk"}, "the others end in order"


def test_each_answers_at_its_own_port_and_a_signal_ends_all_three_in_order(start: Start) -> None:
    ports, environment = doors()
    process = start(TRADE_NATS_URL="nats://127.0.0.1:1", **environment)
    for name, port in ports.items():
        while True:
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/stats", timeout=ENDS_S)
                break
            except httpx.TransportError:
                assert process.poll() is None, process.communicate()
        assert (answer.status_code, answer.json()["service"]) == (200, name)
    process.send_signal(signal.SIGTERM)
    said, complained = process.communicate(timeout=ENDS_S)
    assert (process.returncode, complained) == (0, "")
    assert {line.split()[2] for line in said.splitlines() if " Stopped " in line} == set(SERVICES)
