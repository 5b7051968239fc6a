"""Run work on a snapshot of this process: in a forked child, which has a copy of its memory and none of its connections."""

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
"""The most file descriptors that a service opens."""
FIRST_TO_GO: Final = "1000"
"""oom_score_adj of the child: if memory runs out, the kernel kills the child and not the service."""

_unreaped: Final[set[int]] = set()
"""Killed children that no thread could wait for."""


class NotDone(Exception):
    """The child failed, was killed, took too long, or could not be created; the message says which."""


async def in_child(work: Callable[[], str], deadline_s: float, stood_still: Callable[[float], None] = lambda seconds: None) -> str:
    """Return what `work` returns in a forked child. The fork happens before the first await; `work` must not be async or log. NotDone.

    The service stops only for the fork, some 30 us for each MB, and `stood_still` gets the seconds. Cancelling kills the child.
    """
    _reap()
    began = time.perf_counter()
    pid, result = _fork(work)
    stood_still(time.perf_counter() - began)
    ended = False
    try:
        status = await _ended(pid, deadline_s)
        ended = True
        text = os.read(result, LAST_WORDS_MAX).decode(errors="replace")
    finally:
        os.close(result)
        if not ended:
            _kill(pid)
    if status:
        raise NotDone(text or f"its process ended with status {os.waitstatus_to_exitcode(status)}")
    return text


async def _ended(pid: int, deadline_s: float) -> int:
    """Return the child's status, polled without waiting in the kernel. NotDone after the deadline."""
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
    """Kill the child. A process that hangs in disk I/O may end late, so a thread waits for it, or the next fork if none can be started."""
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
    """Fork; return the child's id and the descriptor to read its result from. Signals are blocked until its handlers are reset. NotDone."""
    parent = os.getpid()
    try:
        reader, writer = os.pipe()
    except OSError as error:
        raise NotDone(f"no child can be created: {error.strerror}") from error
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _live(work, writer, parent)
    except OSError as error:
        os.close(reader)
        raise NotDone(f"no child can be created: {error.strerror}") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(writer)
    return pid, reader


def _live(work: Callable[[], str], writer: int, parent: int) -> NoReturn:
    """Run the child until it exits. It never returns into the program that it is a copy of."""
    code, text = 1, ""
    try:
        gc.disable()
        _let_go(writer)
        die_with(parent, NICENESS - os.getpriority(os.PRIO_PROCESS, 0))()
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
        text, code = work(), 0
    except BaseException as error:  # noqa: BLE001 - the edge of a process: every error is reported to the parent
        text = str(error) or repr(error)
    finally:
        with contextlib.suppress(OSError):
            os.write(writer, text.encode()[:LAST_WORDS_MAX])
        os._exit(code)


def _let_go(writer: int) -> None:
    """Reset the parent's signal handlers and close its descriptors: a child that held a port would block a restart."""
    signal.set_wakeup_fd(-1)  # or a signal would be written to the file that reuses that number
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.closerange(3, writer)
    os.closerange(writer + 1, DESCRIPTORS_MAX)
