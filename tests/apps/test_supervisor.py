"""The supervisor with made-up services: what dies comes back, what must stop stops, and the terminal is told."""

import asyncio
import io
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from apps.up.ports import free_ports
from apps.up.process import OUTPUT_MAX, bound
from apps.up.program import Program, http_answers
from apps.up.screen import Screen
from apps.up.supervisor import Pacing, Supervisor
from apps.up.trouble import CannotStart

FAKE = Path(__file__).with_name("fake_service.py")
QUICK = Pacing(backoff_min_s=0.05, backoff_max_s=0.1, last_stage_stops_s=0.6, kill_after_s=0.9)
PATIENCE_S = 15.0


@dataclass
class Stage:
    """A supervisor over fake programs, and everything it said and they wrote."""

    home: Path
    out: io.StringIO = field(default_factory=io.StringIO)
    err: io.StringIO = field(default_factory=io.StringIO)
    changes: int = 0

    def fake(self, name: str, *behaviour: str, kind: Literal["server", "service"] = "service", ready_timeout_s: float = 10.0) -> Program:
        (port,) = free_ports(1)
        command = (sys.executable, str(FAKE), name, str(port), str(self.home / "diary"), *behaviour)
        return Program(name, kind, command, lambda: _ask(port), {"http": port}, ready_timeout_s=ready_timeout_s)

    def supervisor(self, *stages: list[Program]) -> Supervisor:
        return Supervisor(stages, self.home, Screen(self.out, self.err), self._changed, QUICK)

    def diary(self) -> list[str]:
        return (self.home / "diary").read_text().splitlines()

    def _changed(self) -> None:
        self.changes += 1


def _ask(port: int) -> None:
    http_answers(port, "/ready")


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.02)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def test_services_start_after_the_servers_answer_and_stop_before_them(stage: Stage) -> None:
    supervisor = stage.supervisor([stage.fake("db", kind="server")], [stage.fake("web", "--linger-s", "0.2")])
    await supervisor.run(ready=supervisor.stop)
    assert stage.diary() == ["began db", "began web", "told web", "ended web", "told db", "ended db"]


async def test_a_service_that_dies_is_brought_back_counted_and_said(stage: Stage) -> None:
    supervisor = stage.supervisor([stage.fake("web")])
    state = supervisor.states["web"]
    running = asyncio.create_task(supervisor.run(ready=lambda: os.kill(state.pid, signal.SIGKILL)))
    await until(lambda: state.starts == 2 and state.state == "ready")
    supervisor.stop()
    await running
    assert stage.diary() == ["began web", "began web", "told web", "ended web"]
    assert "web died (killed by SIGKILL); start 2 follows in 0.05 s" in stage.err.getvalue()
    assert state.last_ending == "killed by SIGKILL"
    assert stage.changes >= 5  # began, ready, waiting, began, ready: each was written down


async def test_a_service_that_keeps_dying_waits_longer_up_to_the_bound(stage: Stage) -> None:
    # FAILURES 74
    supervisor = stage.supervisor([stage.fake("web", "--die-after-s", "0.01")])
    running = asyncio.create_task(supervisor.run(ready=lambda: None))
    await until(lambda: supervisor.states["web"].starts == 4)
    supervisor.stop()
    await running
    waits = [line.split(" in ")[1].split(",")[0] for line in stage.err.getvalue().splitlines() if "follows" in line]
    assert waits[:3] == ["0.05 s", "0.1 s", "0.1 s"]
    assert "exit code 7" in stage.err.getvalue()


def test_the_back_off_doubles_from_half_a_second_to_ten() -> None:
    assert [Pacing().backoff_s(deaths) for deaths in (1, 2, 3, 4, 5, 6, 7, 1000)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]


async def test_a_deaf_service_does_not_hold_up_the_others_and_is_killed_in_time(stage: Stage) -> None:
    # FAILURES 73
    supervisor = stage.supervisor([stage.fake("db", kind="server")], [stage.fake("deaf", "--deaf"), stage.fake("web")])
    began = 0.0

    def stop() -> None:
        nonlocal began
        began = time.monotonic()
        supervisor.stop()

    await supervisor.run(ready=stop)
    assert time.monotonic() - began >= QUICK.kill_after_s
    assert "deaf did not stop within 0.9 s and is killed" in stage.err.getvalue()
    assert stage.diary()[-2:] == ["told db", "ended db"]
    assert not any(state.is_alive() for state in supervisor.states.values())


async def test_a_second_signal_kills_at_once(stage: Stage) -> None:
    supervisor = stage.supervisor([stage.fake("slow", "--linger-s", "30")])
    running = asyncio.create_task(supervisor.run(ready=supervisor.stop))
    await until(lambda: (stage.home / "diary").exists() and "told slow" in stage.diary())
    supervisor.stop()
    await running
    assert "did not stop" not in stage.err.getvalue()
    assert not supervisor.states["slow"].is_alive()


async def test_a_service_that_refuses_its_configuration_stops_the_start_with_its_last_words(stage: Stage) -> None:
    refusing = stage.fake("web", "--refuse", "oms.yaml: valkey.port must be a number")
    supervisor = stage.supervisor([stage.fake("db", kind="server")], [refusing])
    with pytest.raises(CannotStart, match=r"web ended \(exit code 1\) before it was ready(.|\n)*valkey.port must be a number"):
        await supervisor.run(ready=lambda: pytest.fail("it was not ready"))
    assert stage.diary()[-1] == "ended db"


async def test_a_refusal_is_told_although_another_service_is_still_waiting(stage: Stage) -> None:
    mute = Program("mute", "service", ("sleep", "60"), lambda: _ask(1), {}, ready_timeout_s=60)
    supervisor = stage.supervisor([mute, stage.fake("web", "--refuse", "no")])
    with pytest.raises(CannotStart, match="web ended"):
        await supervisor.run(ready=lambda: pytest.fail("it was not ready"))


async def test_stop_during_the_start_stops_what_has_begun(stage: Stage) -> None:
    mute = Program("mute", "service", ("sleep", "60"), lambda: _ask(1), {}, ready_timeout_s=60)
    supervisor = stage.supervisor([mute])
    running = asyncio.create_task(supervisor.run(ready=lambda: pytest.fail("it was not ready")))
    await until(lambda: supervisor.states["mute"].is_alive())
    supervisor.stop()
    await running
    assert not supervisor.states["mute"].is_alive()


async def test_lines_of_a_service_carry_its_name_and_those_of_a_server_stay_in_its_file(stage: Stage) -> None:
    supervisor = stage.supervisor([stage.fake("db", kind="server")], [stage.fake("web")])
    await supervisor.run(ready=supervisor.stop)
    assert "web          web speaks\n" in stage.out.getvalue()
    assert "db speaks" not in stage.out.getvalue()
    assert (stage.home / "db.out").read_text() == "db speaks\n"
    assert (stage.home / "web.out").read_text() == "web speaks\n"


async def test_the_output_of_the_start_before_is_kept_beside(stage: Stage) -> None:
    for _ in range(2):
        supervisor = stage.supervisor([stage.fake("web")])
        await supervisor.run(ready=supervisor.stop)
    assert (stage.home / "web.out").read_text() == (stage.home / "web.out.1").read_text() == "web speaks\n"


def test_an_output_file_is_bounded_while_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "db.out"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"x" * (OUTPUT_MAX + 1))
        bound(path)
        writer.write(b"after")
    assert path.read_bytes() == b"after"
    assert path.with_name("db.out.1").stat().st_size == OUTPUT_MAX + 1
