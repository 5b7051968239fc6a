"""The chassis as a process: it starts, says how it is, and ends in order."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.children import started
from tests.ports import free_ports

ROOT = Path(__file__).parents[2]


class Running:
    """A plain service as a child process, on free ports."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.sick = home / "sick"
        self.log = home / "exeq.jsonl"
        self.port, self.metrics_port = free_ports(2)
        own = {
            "TRADE_PORT": str(self.port),
            "TRADE_METRICS_PORT": str(self.metrics_port),
            "TRADE_LOG_DIR": str(home),
            "SICK_FILE": str(self.sick),
        }
        command = (sys.executable, "-W", "error", "-m", "tests.apps.plain_service")
        self.process = started(
            command, cwd=ROOT, env={**os.environ, **own, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def get(self, path: str, port: int | None = None) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{port or self.port}{path}", timeout=60)

    def until(self, path: str, status: int) -> httpx.Response:
        end = time.monotonic() + 120
        while True:
            try:
                answer = self.get(path)
                if answer.status_code == status:
                    return answer
            except httpx.TransportError:
                assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end, f"{path} did not answer {status}"
            time.sleep(0.02)

    def ended(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def said(self) -> list[str]:
        return [event["event"] for event in self.events()]


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Running] = []

    def one(**environment: str) -> Running:
        started.append(Running(tmp_path, **environment))
        return started[-1]

    yield one
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
        running.process.communicate()


def test_a_service_answers_for_itself(start: Start) -> None:
    service = start()
    assert service.until("/ready", 200).json() == {"status": "ready"}
    assert service.get("/health").text == '{"status":"healthy"}'
    stats = service.get("/stats").json()
    assert (stats["service"], stats["ready"], stats["orders"]) == ("exeq", True, 7)
    assert {"/health", "/ready", "/stats"} <= service.get("/openapi.json").json()["paths"].keys()
    assert service.get("/docs").status_code == 200


def test_the_metrics_port_has_metrics_and_health(start: Start) -> None:
    service = start()
    service.until("/ready", 200)
    page = service.get("/metrics", service.metrics_port).text
    assert "event_loop_lag_seconds" in page
    assert "process_resident_memory_bytes" in page
    assert service.get("/health", service.metrics_port).text == '{"status":"healthy"}'
    assert service.get("/else", service.metrics_port).json()["code"] == "not_found"


def test_health_follows_its_dependencies_both_ways(start: Start) -> None:
    service = start()
    service.until("/health", 200)
    service.sick.write_text("disk is on fire")
    assert service.until("/health", 503).json() == {"status": "unhealthy", "reason": "disk: disk is on fire"}
    service.sick.unlink()
    service.until("/health", 200)
    deadline = time.monotonic() + 120
    while (said := service.said()).count("This service is healthy") < 2:  # the log is written beside, and may come after the answer
        assert time.monotonic() < deadline, said
        time.sleep(0.02)
    assert said.index("This service is unhealthy", 3) < len(said) - 1 - said[::-1].index("This service is healthy")


def test_before_it_is_built_the_door_is_open_and_says_so(start: Start) -> None:
    service = start(WRONG="never built")
    assert service.until("/health", 503).json() == {"status": "unhealthy", "reason": "service: starting"}
    assert service.get("/ready").status_code == 503
    answer = service.get("/queue")
    assert (answer.status_code, answer.json()["code"], answer.json()["outcome"]) == (503, "starting", "not_accepted")
    assert answer.headers["retry-after"] == "1"
    service.process.terminate()
    assert service.ended()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_answers_what_is_in_flight(start: Start, number: signal.Signals) -> None:  # FAILURES 73
    service = start()
    service.until("/ready", 200)
    with socket.create_connection(("127.0.0.1", service.port)) as wire:
        wire.sendall(b"GET /queue HTTP/1.1\r\nhost: localhost\r\n\r\n")
        time.sleep(0.2)
        service.process.send_signal(number)
        received = b""
        while part := wire.recv(65536):
            received += part
    code, _, err = service.ended()
    assert (code, err) == (0, "")
    assert received.endswith(b'{"answered":true}')
    last = [sentence for sentence in service.said() if sentence in ORDERLY]
    assert last == list(ORDERLY)


ORDERLY = ("no more intake", "closed first what was opened last: the connection", "Stopped")


def test_what_will_not_end_is_left_behind_at_the_deadline(start: Start) -> None:
    service = start(WRONG="will not end")
    service.until("/ready", 200)
    asked = time.monotonic()
    service.process.terminate()
    assert service.ended()[0] == 0
    assert time.monotonic() - asked > 7, "it was waited for"
    assert "closing what was opened did not finish in time and is skipped" in service.said()


def test_a_broken_task_ends_the_process_with_its_reason(start: Start) -> None:
    service = start(WRONG="task")
    code, out, _ = service.ended()
    assert code == 1
    assert "The task fragile failed" in out
    failed = next(event for event in service.events() if event["event"] == "The task fragile failed")
    assert "RuntimeError: the task is broken" in failed["exception"]
    assert set(ORDERLY) <= set(service.said()), "it still ends in order"


def test_a_service_that_cannot_be_built_ends_with_its_reason(start: Start) -> None:
    service = start(WRONG="build")
    assert service.ended()[0] == 1
    failed = next(event for event in service.events() if event["event"] == "exeq could not start")
    assert "the world is not as it was promised" in failed["exception"]


def test_a_wrong_configuration_is_one_sentence_and_exit_code_2(start: Start) -> None:
    service = start(TRADE_PORT="70000")
    code, out, err = service.ended()
    assert (code, out) == (2, "")
    assert err == "TRADE_PORT: service.port: must be less than or equal to 65535, found 70000\n"


def test_a_configuration_that_is_found_wrong_late_ends_it_in_order_though_a_task_ignores_the_first_cancel(start: Start) -> None:
    code, _, err = start(WRONG="configuration found out late").ended()
    assert (code, err) == (2, "venues.yaml: venues: nothing is there\n")


def test_logs_that_cannot_be_written_are_one_sentence_and_exit_code_2(start: Start, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    code, _, err = start(TRADE_LOG_DIR=str(tmp_path / "taken")).ended()
    assert code == 2
    assert err.startswith(f"{tmp_path / 'taken'}: service.log_dir: cannot write a log in this directory")


def test_a_port_in_use_is_one_sentence_and_exit_code_1(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        service = start(TRADE_PORT=str(taken.getsockname()[1]))
        code, out, err = service.ended()
    assert (code, err) == (1, "")
    assert "Cannot open the ports of exeq" in out
    assert "in use" in out


def test_a_service_whose_output_is_not_read_answers_counts_what_is_missing_and_ends(start: Start) -> None:
    service = start()
    service.until("/health", 200)
    while not service.get("/stats").json()["log_lines_dropped"]:  # the pipe and what may wait for it fill up
        service.get("/venues")
    page = service.get("/metrics", service.metrics_port).text
    assert 'log_lines_dropped_total{to="terminal"}' in page
    assert 'log_lines_dropped_total{to="terminal"} 0.0' not in page
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(120) == 0


def test_a_service_whose_log_file_has_no_room_answers_and_counts(start: Start, tmp_path: Path) -> None:  # FAILURES 48
    (tmp_path / "exeq.jsonl").symlink_to("/dev/full")
    service = start()
    service.until("/health", 200)
    service.get("/venues")
    assert service.until("/health", 200)
    assert service.get("/stats").json()["log_lines_dropped"] > 0
