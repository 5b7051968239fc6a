"""Work on a still picture of this process: in a forked child, which has all the memory at this moment and none of our connections."""

import asyncio
import contextlib
import gc
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from apps.runtime.child_process import die_with

POLL_S: Final = 0.02
NICENESS: Final = 10
LAST_WORDS_MAX: Final = 4000
DESCRIPTORS_MAX: Final = 65_536
"""No service allows itself more."""
FIRST_TO_GO: Final = "1000"
"""Where memory runs out, the kernel takes the child and not the service."""

_unreaped: Final[set[int]] = set()
"""Killed children for which no thread could wait."""


class NotDone(Exception):
    """The child failed, was killed, took too long, or could not be made; the message says which."""


async def in_child(work: Callable[[], str], deadline_s: float, stood_still: Callable[[float], None] = lambda seconds: None) -> str:
    """What `work` returns in a forked child. It begins before this yields, and may be neither async nor log. NotDone.

    The service stands still for the fork alone, and is told for how long: some 30 us for each MB. Leaving early kills the child.
    """
    _reap()
    began = time.perf_counter()
    pid, ear = _fork(work)
    stood_still(time.perf_counter() - began)
    ended = False
    try:
        status = await _ended(pid, deadline_s)
        ended = True
        words = os.read(ear, LAST_WORDS_MAX).decode(errors="replace")
    finally:
        os.close(ear)
        if not ended:
            _kill(pid)
    if status:
        raise NotDone(words or f"its process ended with status {os.waitstatus_to_exitcode(status)}")
    return words


async def _ended(pid: int, deadline_s: float) -> int:
    """Its status, asked for without waiting in the kernel."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + deadline_s
    while loop.time() < deadline:
        if (status := _status(pid)) is not None:
            return status
        await asyncio.sleep(POLL_S)
    raise NotDone(f"it took longer than {deadline_s:g} s")


def _status(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return status if found else None


def _kill(pid: int) -> None:
    """A killed process that hangs in the disk may take its time: a thread waits for it, or, where none can be started, the next fork."""
    os.kill(pid, signal.SIGKILL)
    try:
        threading.Thread(target=os.waitpid, args=(pid, 0), daemon=True).start()
    except RuntimeError:
        _unreaped.add(pid)


def _reap() -> None:
    for pid in list(_unreaped):
        if _status(pid) is not None:
            _unreaped.discard(pid)


def _fork(work: Callable[[], str]) -> tuple[int, int]:
    """The child's id, and where its last words can be read. No signal reaches it before its handlers are its own. NotDone."""
    parent = os.getpid()
    try:
        ear, mouth = os.pipe()
    except OSError as error:
        raise NotDone(f"no child can be made: {error.strerror}") from error
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _live(work, mouth, parent)
    except OSError as error:
        os.close(ear)
        raise NotDone(f"no child can be made: {error.strerror}") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(mouth)
    return pid, ear


def _live(work: Callable[[], str], mouth: int, parent: int) -> NoReturn:
    """The child's whole life. It never returns into the program that it is a copy of."""
    code, words = 1, ""
    try:
        gc.disable()
        _let_go(mouth)
        die_with(parent, NICENESS - os.getpriority(os.PRIO_PROCESS, 0))()
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
        words, code = work(), 0
    except BaseException as error:  # noqa: BLE001 - the edge of a process: whatever it was, the parent hears of it
        words = str(error) or repr(error)
    finally:
        with contextlib.suppress(OSError):
            os.write(mouth, words.encode()[:LAST_WORDS_MAX])
        os._exit(code)


def _let_go(mouth: int) -> None:
    """Signals are not the parent's any more, nor are its sockets: a child that holds a port would keep a restart from it."""
    signal.set_wakeup_fd(-1)  # else a signal would be written into whatever file has that number by then
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.closerange(3, mouth)
    os.closerange(mouth + 1, DESCRIPTORS_MAX)
