"""The supervisor with made-up services: what dies comes back, what must stop stops, and the terminal is told."""

import asyncio
import errno
import io
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest

from apps.stack.process import OUTPUT_MAX, bound
from apps.stack.program import Program, http_answers
from apps.stack.screen import Screen
from apps.stack.supervisor import KILLED_MAX, RestartBackoff, Supervisor
from apps.stack.trouble import CannotStart, NotReady
from tests.ports import free_ports

FAKE = Path(__file__).with_name("fake_service.py")
QUICK = RestartBackoff(
    backoff_min_s=0.05, backoff_max_s=0.1, last_stage_stops_s=0.6, kill_after_s=0.9, housekeeping_every_s=0.05, say_waiting_every_s=0.05
)
PATIENCE_S = 120.0


@dataclass
class Stage:
    """A supervisor over fake programs, and everything it said and they wrote."""

    home: Path
    out: io.StringIO = field(default_factory=io.StringIO)
    err: io.StringIO = field(default_factory=io.StringIO)
    changes: int = 0
    disk_is_full: bool = False

    def __post_init__(self) -> None:
        self.screen = Screen(self.out, self.err)

    def said(self) -> str:
        """On the terminal, usual things and alarms."""
        self.screen.flush()
        return self.out.getvalue() + self.err.getvalue()

    def fake(self, name: str, *behaviour: str, kind: Literal["server", "service"] = "service", silence_max_s: float = 10.0) -> Program:
        (port,) = free_ports(1)
        command = (sys.executable, str(FAKE), name, str(port), str(self.home / "diary"), *behaviour)
        return Program(name, kind, command, lambda: _ask(port), {"http": port}, silence_max_s=silence_max_s)

    def supervisor(self, *stages: list[Program]) -> Supervisor:
        return Supervisor(stages, self.home, self.screen, self._changed, QUICK)

    def diary(self) -> list[str]:
        return (self.home / "diary").read_text().splitlines()

    def _changed(self) -> None:
        self.changes += 1
        if self.disk_is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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
    assert "web died (killed by SIGKILL); start 2 follows in 0.05 s" in stage.said()
    assert state.last_ending == "killed by SIGKILL"
    assert stage.changes >= 5  # began, ready, waiting, began, ready: each was written down


async def test_a_service_that_keeps_dying_waits_longer_up_to_the_bound(stage: Stage) -> None:
    # FAILURES 74
    supervisor = stage.supervisor([stage.fake("web", "--die-after-s", "0.01")])
    running = asyncio.create_task(supervisor.run(ready=lambda: None))
    await until(lambda: supervisor.states["web"].starts == 4)
    supervisor.stop()
    await running
    waits = [line.split(" in ")[1].split(",")[0] for line in stage.said().splitlines() if "follows" in line]
    assert waits[:3] == ["0.05 s", "0.1 s", "0.1 s"]
    assert "exit code 7" in stage.said()


def test_the_back_off_doubles_from_half_a_second_to_ten() -> None:
    assert [RestartBackoff().backoff_s(deaths) for deaths in (1, 2, 3, 4, 5, 6, 7, 1000)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]


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
    assert "deaf did not stop within 0.9 s and is killed" in stage.said()
    assert stage.diary()[-2:] == ["told db", "ended db"]
    assert not any(state.is_alive() for state in supervisor.states.values())


async def test_a_second_signal_kills_at_once(stage: Stage) -> None:
    supervisor = stage.supervisor([stage.fake("slow", "--linger-s", "30")])
    running = asyncio.create_task(supervisor.run(ready=supervisor.stop))
    await until(lambda: (stage.home / "diary").exists() and "told slow" in stage.diary())
    supervisor.stop()
    await running
    assert "did not stop" not in stage.said()
    assert not supervisor.states["slow"].is_alive()


async def test_a_service_that_refuses_its_configuration_stops_the_start_with_its_last_words(stage: Stage) -> None:
    refusing = stage.fake("web", "--refuse", "oms.yaml: valkey.port must be a number")
    supervisor = stage.supervisor([stage.fake("db", kind="server")], [refusing])
    with pytest.raises(CannotStart, match=r"web ended \(exit code 1\) before it was ready(.|\n)*valkey.port must be a number"):
        await supervisor.run(ready=lambda: pytest.fail("it was not ready"))
    assert stage.diary()[-1] == "ended db"


async def test_one_that_is_killed_before_it_was_ready_is_begun_again(stage: Stage) -> None:
    def probe() -> None:
        if supervisor.states["web"].starts < 2:
            raise NotReady("not yet")

    supervisor = stage.supervisor([replace(stage.fake("web"), probe=probe)])
    running = asyncio.create_task(supervisor.run(ready=supervisor.stop))
    await until(lambda: supervisor.states["web"].pid > 0)
    os.kill(supervisor.states["web"].pid, signal.SIGKILL)
    await running
    assert supervisor.states["web"].starts == 2
    assert "web ended (killed by SIGKILL) before it was ready." in stage.said()


async def test_one_that_is_killed_again_and_again_is_given_up(stage: Stage) -> None:
    def probe() -> None:
        raise NotReady("not yet")

    supervisor = stage.supervisor([replace(stage.fake("web"), probe=probe)])
    running = asyncio.create_task(supervisor.run(ready=lambda: pytest.fail("it was not ready")))
    killed = 0
    while not running.done():
        pid = supervisor.states["web"].pid
        if pid != killed and supervisor.states["web"].is_alive():
            killed = pid
            os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.02)
    with pytest.raises(CannotStart, match="killed by SIGKILL"):
        await running
    assert supervisor.states["web"].starts == 1 + KILLED_MAX


async def test_a_refusal_is_reported_although_another_service_is_still_waiting(stage: Stage) -> None:
    mute = Program("mute", "service", ("sleep", "600"), lambda: _ask(1), {})
    supervisor = stage.supervisor([mute, stage.fake("web", "--refuse", "no")])
    with pytest.raises(CannotStart, match="web ended"):
        await supervisor.run(ready=lambda: pytest.fail("it was not ready"))


async def test_stop_during_the_start_stops_what_has_begun(stage: Stage) -> None:
    mute = Program("mute", "service", ("sleep", "600"), lambda: _ask(1), {})
    supervisor = stage.supervisor([mute])
    running = asyncio.create_task(supervisor.run(ready=lambda: pytest.fail("it was not ready")))
    await until(lambda: supervisor.states["mute"].is_alive())
    supervisor.stop()
    await running
    assert not supervisor.states["mute"].is_alive()


async def test_lines_of_a_service_carry_its_name_and_those_of_a_server_stay_in_its_file(stage: Stage) -> None:
    supervisor = stage.supervisor([stage.fake("db", kind="server")], [stage.fake("web")])
    await supervisor.run(ready=supervisor.stop)
    assert "web          web speaks\n" in stage.said()
    assert "db speaks" not in stage.said()
    assert (stage.home / "db.out").read_text() == "db speaks\n"
    assert (stage.home / "web.out").read_text() == "web speaks\n"


async def test_the_output_of_the_start_before_is_kept_beside(stage: Stage) -> None:
    for _ in range(2):
        supervisor = stage.supervisor([stage.fake("web")])
        await supervisor.run(ready=supervisor.stop)
    assert (stage.home / "web.out").read_text() == (stage.home / "web.out.1").read_text() == "web speaks\n"


def test_an_output_file_is_bounded_while_its_writer_continues(tmp_path: Path) -> None:
    path = tmp_path / "db.out"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"x" * (OUTPUT_MAX + 1))
        bound(path)
        writer.write(b"after")
    assert path.read_bytes() == b"after"
    assert path.with_name("db.out.1").stat().st_size == OUTPUT_MAX + 1


async def test_without_room_on_the_disk_the_dead_come_back_and_what_runs_is_written_down_later(stage: Stage) -> None:
    supervisor = stage.supervisor([stage.fake("web")])
    state = supervisor.states["web"]

    def fill_and_kill() -> None:
        stage.disk_is_full = True
        os.kill(state.pid, signal.SIGKILL)

    running = asyncio.create_task(supervisor.run(ready=fill_and_kill))
    await until(lambda: state.starts == 2 and state.state == "ready")
    refused = stage.changes
    await until(lambda: stage.changes > refused)
    stage.disk_is_full = False
    await until(lambda: "writing down what runs (stack.json): works again" in stage.said())
    supervisor.stop()
    await running
    assert stage.said().count("No space left on device. All programs keep running without it") == 1


async def test_outputs_that_cannot_be_written_hold_up_neither_servers_nor_services(stage: Stage) -> None:
    # FAILURES 48
    for name in ("web.out", "web.out.1"):
        (stage.home / name).mkdir()
        (stage.home / name / "of a stranger").touch()  # so it cannot be moved aside either
    os.mkfifo(stage.home / "db.out")
    (stage.home / "db.out.1").mkdir()
    supervisor = stage.supervisor([stage.fake("db", kind="server")], [stage.fake("web")])
    running = asyncio.create_task(supervisor.run(ready=lambda: None))
    await until(lambda: supervisor.states["web"].lines_dropped == 1)
    supervisor.stop()
    await running
    assert "db.out cannot be written: it is a named pipe" in stage.said()
    assert "web.out cannot be written: Is a directory" in stage.said()
    assert "web          web speaks\n" in stage.said()
    assert stage.diary()[-1] == "ended db"


async def test_a_process_that_cannot_be_made_again_is_tried_until_it_can(stage: Stage) -> None:
    program = stage.fake("web")
    link = stage.home / "interpreter"
    link.symlink_to(sys.executable)
    supervisor = stage.supervisor([replace(program, command=(str(link), *program.command[1:]))])
    state = supervisor.states["web"]

    def break_and_kill() -> None:
        link.unlink()
        os.kill(state.pid, signal.SIGKILL)

    running = asyncio.create_task(supervisor.run(ready=break_and_kill))
    await until(lambda: stage.said().count("web cannot be run") >= 2)
    link.symlink_to(sys.executable)
    await until(lambda: state.starts == 2 and state.state == "ready")
    supervisor.stop()
    await running


async def test_a_terminal_that_is_not_read_does_not_hold_up_the_supervisor(stage: Stage) -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb"), os.fdopen(write, "w") as terminal:
        stage.screen = Screen(terminal, terminal)
        for number in range(1000):
            stage.screen.say(f"{number} " + "x" * 100)  # more than a pipe holds
        supervisor = stage.supervisor([stage.fake("web")])
        state = supervisor.states["web"]
        running = asyncio.create_task(supervisor.run(ready=lambda: os.kill(state.pid, signal.SIGKILL)))
        await until(lambda: state.starts == 2 and state.state == "ready")
        supervisor.stop()
        await running


async def test_a_slow_start_is_waited_for_while_it_moves_and_the_output_says_what_it_waits_for(stage: Stage) -> None:
    at = 0

    def probe() -> None:
        nonlocal at
        at += 1
        if at < 12:
            raise NotReady(f"at sequence {at} of 12")

    slow = Program("slow", "service", ("sleep", "600"), probe, {}, silence_max_s=1.0)
    supervisor = stage.supervisor([slow])
    await supervisor.run(ready=supervisor.stop)
    assert re.search(r"waiting for slow \(at sequence \d+ of 12\) since", stage.said())


async def test_one_that_hangs_is_given_up_with_a_sentence(stage: Stage) -> None:
    mute = Program("mute", "service", ("sleep", "600"), lambda: _ask(1), {}, silence_max_s=0.3)
    supervisor = stage.supervisor([mute])
    with pytest.raises(CannotStart, match=r"mute is not ready and shows no progress for 0\.3 s: GET /ready on port 1: "):
        await supervisor.run(ready=lambda: pytest.fail("it was not ready"))


def test_an_output_that_cannot_be_kept_aside_is_bounded_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "db.out"
    path.write_bytes(b"x" * (OUTPUT_MAX + 1))
    path.with_name("db.out.1").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        bound(path)
    assert path.read_bytes() == b""
