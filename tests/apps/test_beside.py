"""A program beside a service: its words come back, one runs at a time, none outlives its deadline or the service."""

import asyncio
import contextlib
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from adapters.clock import SystemClock
from apps.exeq.reconciliation import VenueReconciliation
from apps.http.problem import Refusal
from apps.oms.admin import Admin
from apps.oms.history_client import HistoryProcess
from apps.oms.reconciliation import PositionReconciliation
from apps.runtime.helper_process import PARENT, Busy, Ended, HelperProcess, NotStarted, TookTooLong
from tests.children import started

WAIT = "import time, pathlib, os; pathlib.Path({file!r}).write_text(str(os.getpid())); time.sleep({seconds})"
SOON_S = 120.0


def timed(code: str) -> tuple[str, ...]:
    """Arguments with which `python -m timeit` runs some code once."""
    return "-n1", "-r1", code


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON_S):
        while not look():
            await asyncio.sleep(0.01)


def runs(file: Path) -> int:
    return int(file.read_text() or 0) if file.exists() else 0


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


async def test_its_words_and_its_code_come_back() -> None:
    ended = await HelperProcess("timeit", deadline_s=SOON_S).ask(*timed("print('out')"))
    assert (ended.code, ended.out.splitlines()[0], ended.words) == (0, b"out", "")
    ended = await HelperProcess("timeit", deadline_s=SOON_S).ask(*timed("raise ValueError('words')"))
    assert ended.code == 1
    assert "ValueError: words" in ended.words


async def test_the_loop_continues_meanwhile() -> None:
    asking = asyncio.create_task(HelperProcess("timeit", deadline_s=SOON_S).ask(*timed("import time; time.sleep(0.3)")))
    turns = 0
    while not asking.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 5, "while it slept for 0.3 s"


async def test_at_its_deadline_it_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    with pytest.raises(TookTooLong):
        await HelperProcess("timeit", deadline_s=1.0).ask(*timed(WAIT.format(file=str(file), seconds=60)))
    await until(lambda: is_gone(runs(file)))


async def test_one_runs_and_some_wait_and_the_others_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    beside = HelperProcess("timeit", deadline_s=SOON_S, waiting_max=1)
    first = asyncio.create_task(beside.ask(*timed(WAIT.format(file=str(file), seconds=1))))
    await until(lambda: runs(file) > 0)
    second = asyncio.create_task(beside.ask(*timed(f"import os; print(os.path.exists('/proc/{runs(file)}'))")))
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await beside.ask(*timed("pass"))
    assert (await first).code == 0
    assert (await second).out.startswith(b"False"), "the first had ended before the second began"
    assert (await beside.ask(*timed("pass"))).code == 0


async def test_with_the_service_it_stops(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    beside = HelperProcess("timeit", deadline_s=SOON_S)
    asking = asyncio.create_task(beside.ask(*timed(WAIT.format(file=str(file), seconds=60))))
    await until(lambda: runs(file) > 0)
    beside.stop()
    assert (await asking).code == -9
    with pytest.raises(Busy):
        await beside.ask(*timed("pass"))


async def test_a_cancelled_caller_ends_the_helper_process(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    asking = asyncio.create_task(HelperProcess("timeit", deadline_s=SOON_S).ask(*timed(WAIT.format(file=str(file), seconds=60))))
    await until(lambda: runs(file) > 0)
    asking.cancel()
    await until(lambda: is_gone(runs(file)))


async def test_it_is_niced_before_it_has_read_its_first_module(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    beside = HelperProcess("timeit", deadline_s=SOON_S)
    asking = asyncio.create_task(beside.ask(*timed(WAIT.format(file=str(file), seconds=60))))
    await until(lambda: runs(file) > 0)
    await until(lambda: os.getpriority(os.PRIO_PROCESS, runs(file)) == min(os.nice(0) + 10, 19))
    beside.stop()
    await asking


def test_a_killed_service_takes_it_along_and_it_is_niced(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from apps.runtime import helper_process; helper_process.become_helper(); "
        f"open({str(tmp_path / 'pid')!r}, 'w').write(f'{{os.getpid()}} {{os.nice(0)}}'); time.sleep(60)"
    )
    environment = f"{{**os.environ, {PARENT!r}: str(os.getpid())}}"
    parent_code = f"import os, subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}], env={environment})"
    parent = started([sys.executable, "-c", parent_code])
    deadline = time.monotonic() + SOON_S
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    pid, nice = map(int, (tmp_path / "pid").read_text().split())
    assert nice >= min(os.nice(0) + 10, 19)
    parent.kill()
    parent.wait()
    while not is_gone(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """The kernel refuses every pipe, as it refuses a fork when there is no memory or no process left."""
    bounds = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, bounds[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, bounds)


async def test_one_that_cannot_be_started_is_reported_and_the_next_one_runs() -> None:
    beside = HelperProcess("timeit", deadline_s=SOON_S)
    with no_descriptor_left(), pytest.raises(NotStarted, match="Too many open files"):
        await beside.ask(*timed("pass"))
    huge = HelperProcess("timeit", deadline_s=SOON_S, environment={"HUGE": "x" * 200_000})  # E2BIG from execve
    with pytest.raises(NotStarted, match="Argument list too long"):
        await huge.ask(*timed("pass"))
    assert (await beside.ask(*timed("pass"))).code == 0


async def test_upkeep_that_cannot_be_made_is_counted_and_made_the_next_time() -> None:
    venues, positions = (
        VenueReconciliation(["PAPER_A"], 60.0, program("[]"), SystemClock()),
        PositionReconciliation(60.0, CollectorRegistry(), program("{}")),
    )
    for upkeep in (venues, positions):
        await upkeep.look()
        assert (upkeep.passes, upkeep.failed) == (0, 1), "words that cannot be read"
        with no_descriptor_left():
            await upkeep.look()
        assert (upkeep.passes, upkeep.failed) == (0, 2)


async def test_an_operator_who_asks_for_more_than_the_machine_has_gets_a_503() -> None:
    past, admin = HistoryProcess(HelperProcess("timeit", deadline_s=SOON_S)), Admin(HelperProcess("timeit", deadline_s=SOON_S))
    with no_descriptor_left():
        for asked, code in ((past.positions("alice", 1), "past_unavailable"), (admin.verify(), "verify_unavailable")):
            with pytest.raises(Refusal) as refused:
                await asked
            assert (refused.value.status, refused.value.code) == (503, code)


def program(words: str) -> HelperProcess:
    """Says something that is no pass, and ends well."""

    class Says(HelperProcess):
        async def ask(self, *arguments: str) -> Ended:
            return await super().ask(*timed(f"print({words!r})"))

    return Says("timeit", deadline_s=SOON_S)
