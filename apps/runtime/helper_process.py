"""Run a program beside a service for work that would block its loop: one at a time, niced, with a deadline, killed with the service."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from apps.runtime.child_process import die_with

NICENESS: Final = 10
LOWEST: Final = 19
FIRST_TO_GO: Final = "1000"
"""oom_score_adj of the program: if memory runs out, the kernel kills it and not the service."""
PARENT: Final = "TRADE_BESIDE"
"""The variable that names the process with which the program must die."""
OMS_KEY: Final = "TRADE_OMS_KEY"
"""The variable with a key for the service that started the program."""
WORDS_MAX: Final = 2000


class Ended(msgspec.Struct, frozen=True):
    """The exit code and output of the program: `out` is for the service, `words` (its stderr, truncated) for people."""

    code: int
    out: bytes
    words: str

    @property
    def reason(self) -> str:
        """Why it failed: the last line that it wrote to stderr."""
        return self.words.rpartition("\n")[2] or f"the program ended with {self.code} and without output"


class Busy(Exception):
    """The maximum number of calls is waiting, or the service stops."""


class NotStarted(Exception):
    """The program could not be started: no memory, process, descriptor or thread is left; the message says which."""


class TookTooLong(Exception):
    """The program was killed at its deadline, or could not start before it."""


class HelperProcess:
    """The program `python -m <module>` with the environment of this process. The loop continues while it runs."""

    def __init__(self, module: str, *, deadline_s: float, waiting_max: int = 0, environment: Mapping[str, str] | None = None) -> None:
        self._command = (sys.executable, "-m", module)
        self._deadline_s = deadline_s
        self._waiting_max = waiting_max
        self._environment = dict(environment or {})
        self._asked = 0
        self._one_at_a_time = asyncio.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = False

    async def ask(self, *arguments: str) -> Ended:
        """Run the program to its end and return its output. Busy, TookTooLong, NotStarted."""
        if self._stopped or self._asked > self._waiting_max:
            raise Busy
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._deadline_s
        self._asked += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self._one_at_a_time.acquire()
            try:
                return await asyncio.to_thread(self._run, arguments, deadline - loop.time())
            except subprocess.TimeoutExpired as late:
                raise TookTooLong from late
            except (OSError, RuntimeError) as error:  # the second: no thread can be started
                raise NotStarted(f"it could not be run: {error}") from error
            finally:
                self._kill()  # after a cancel its result is not needed
                self._one_at_a_time.release()
        except TimeoutError as late:
            raise TookTooLong from late
        finally:
            self._asked -= 1

    def stop(self) -> None:
        """Kill the running program and start no other."""
        self._stopped = True
        self._kill()

    def _run(self, arguments: tuple[str, ...], seconds: float) -> Ended:
        """Run in a thread, which the kernel takes for the parent. Without a preexec_fn, so that no memory is copied for the fork."""
        environment = {**os.environ, **self._environment, PARENT: str(os.getpid())}
        pipe = subprocess.PIPE
        with subprocess.Popen([*self._command, *arguments], stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=environment) as child:
            self._child = child
            _lower(child.pid, os.getpid())  # from its first line on: its imports alone take half a second of a processor
            if self._stopped:
                child.kill()
            try:
                out, err = child.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                child.kill()
                raise
            finally:
                self._child = None
        return Ended(child.returncode, out, err.decode(errors="replace").strip()[-WORDS_MAX:])

    def _kill(self) -> None:
        if (child := self._child) is not None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()


def _lower(pid: int, service: int) -> None:
    """Give a program a lower priority than the service that started it. It may have ended."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, min(os.getpriority(os.PRIO_PROCESS, service) + NICENESS, LOWEST))


def become_helper() -> None:
    """Lower this program's priority and tie its life to the service that started it. Call it first in the program."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    die_with(int(parent))()
    _lower(os.getpid(), int(parent))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
