"""Work in a forked child: a still picture of the process, none of its connections, and an end that is always noticed."""

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
import uvloop

from apps.runtime import fork_snapshot
from apps.runtime.fork_snapshot import NotDone, in_child

CHECKOUT: Final = Path(__file__).resolve().parents[2]
Scene = Callable[[], Coroutine[Any, Any, None]]


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def play(request: pytest.FixtureRequest) -> Callable[[Scene], None]:
    """Runs a scene on each kind of loop, and looks that no child is left."""

    def run(scene: Scene) -> None:
        others = _children()  # servers that the whole test run shares
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(scene())
        deadline = time.monotonic() + 5
        while _children() - others:
            assert time.monotonic() < deadline, "a child lives on"
            time.sleep(0.01)

    return run


def alive(pid: int) -> bool:
    """Zombies are not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_child_sees_the_moment_of_the_fork_and_nothing_later(play: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        seen = ["before"]

        def work() -> str:
            time.sleep(0.1)
            return ",".join(seen)

        running = asyncio.ensure_future(in_child(work, 5))
        await asyncio.sleep(0)
        seen.append("after")
        assert await running == "before"

    play(scene)


def test_the_loop_turns_while_the_child_works(play: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        running = asyncio.ensure_future(in_child(lambda: sleeps(0.3), 5))
        turns = 0
        while not running.done():
            await asyncio.sleep(0.005)
            turns += 1
        assert (await running, turns > 10) == ("done", True)

    play(scene)


def sleeps(seconds: float) -> str:
    time.sleep(seconds)
    return "done"


def fails() -> str:
    raise OSError(28, "No space left on device")


def dies() -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return "not reached"


@pytest.mark.parametrize(
    ("work", "deadline_s", "reason"),
    [
        (fails, 10, "No space left on device"),
        (dies, 10, "status -9"),
        (lambda: sleeps(60), 0.2, "longer than 0.2 s"),
        (lambda: str(1 // 0), 10, "by zero"),
    ],
)
def test_any_end_of_the_child_is_reported(play: Callable[[Scene], None], work: Callable[[], str], deadline_s: float, reason: str) -> None:
    async def scene() -> None:
        with pytest.raises(NotDone, match=reason):
            await in_child(work, deadline_s)

    play(scene)


def test_when_no_process_can_be_made_the_service_continues(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", none_left)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NotDone, match="no child can be created: Resource temporarily unavailable"):
        asyncio.run(in_child(lambda: "", 1))
    assert len(os.listdir("/proc/self/fd")) == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_a_cancelled_caller_leaves_no_child(play: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await in_child(lambda: sleeps(60), 60)

    play(scene)


def test_a_signal_to_the_child_is_not_one_to_us(play: Callable[[Scene], None]) -> None:
    def work() -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        return ""

    async def scene() -> None:
        heard: list[str] = []
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, heard.append, "told to stop")
        with pytest.raises(NotDone, match="status -15"):
            await in_child(work, 5)
        await asyncio.sleep(0.05)
        assert not heard
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.05)
        assert heard == ["told to stop"], "ours still work"
        loop.remove_signal_handler(signal.SIGTERM)

    play(scene)


def test_the_child_holds_no_port(play: Callable[[Scene], None], tmp_path: Path) -> None:
    async def scene() -> None:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        running = asyncio.ensure_future(in_child(lambda: _when_there(tmp_path / "go"), 120))
        await asyncio.sleep(0.1)
        server.close()
        await server.wait_closed()
        async with asyncio.timeout(120):
            while not _can_be_bound(port):  # the child may need its time to let go
                await asyncio.sleep(0.02)
        assert not running.done()
        (tmp_path / "go").touch()
        assert await running == "done"

    play(scene)


def _when_there(file: Path) -> str:
    while not file.exists():
        time.sleep(0.02)
    return "done"


def _can_be_bound(port: int) -> bool:
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            again.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_where_no_child_can_be_made_the_error_says_so_and_the_next_one_works(play: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        bounds = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, bounds[1]))
        try:
            with pytest.raises(NotDone, match="no child can be created: Too many open files"):
                await in_child(lambda: "done", 5)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, bounds)
        assert await in_child(lambda: "done", 5) == "done"

    play(scene)


def test_a_killed_child_for_which_no_thread_can_wait_is_reaped_by_the_next(
    play: Callable[[Scene], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def scene() -> None:
        with monkeypatch.context() as machine:
            machine.setattr(threading.Thread, "start", no_thread_left)
            with pytest.raises(NotDone, match="took longer"):
                await in_child(lambda: time.sleep(60) or "", 0.1)  # type: ignore[func-returns-value]
        async with asyncio.timeout(5):
            while fork_snapshot._unreaped:
                assert await in_child(lambda: "done", 5) == "done"

    play(scene)


ORPHAN: Final = """
import asyncio, os, signal, sys, time
from apps.runtime.fork_snapshot import in_child

def work():
    print(os.getpid(), flush=True)
    time.sleep(60)
    return ""

async def scene():
    running = asyncio.ensure_future(in_child(work, 60))
    await asyncio.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(scene())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux notifies a child of the death of its parent (PR_SET_PDEATHSIG)")
def test_a_killed_service_takes_its_child_with_it() -> None:
    done = subprocess.run([sys.executable, "-c", ORPHAN], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 5
    while alive(int(done.stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
