"""A program run beside a service, for what would hold up its loop: one at a time, niced, for a bounded time, never longer than we live."""

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
FIRST_TO_GO: Final = "1000"
"""Where memory runs out, the kernel takes this program and not the service."""
PARENT: Final = "TRADE_BESIDE"
"""Tells the program whose death is its own."""
WORDS_MAX: Final = 2000


class Ended(msgspec.Struct, frozen=True):
    """What the program said: `out` is for us, `words` (its stderr, cut) for people."""

    code: int
    out: bytes
    words: str


class Busy(Exception):
    """As many wait as may."""


class NotStarted(Exception):
    """The machine does not let us: no memory, no process, no descriptor or no thread is left; the message says which."""


class TookTooLong(Exception):
    """It was killed at its deadline, or could not begin before it."""


class HelperProcess:
    """`python -m <module>` with the environment of this process. The loop goes on while it runs."""

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
        """Run it to its end. Busy, TookTooLong, NotStarted."""
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
                self._kill()  # when we are cancelled, it is of no use any more
                self._one_at_a_time.release()
        except TimeoutError as late:
            raise TookTooLong from late
        finally:
            self._asked -= 1

    def stop(self) -> None:
        """Kill what runs; nothing begins any more."""
        self._stopped = True
        self._kill()

    def _run(self, arguments: tuple[str, ...], seconds: float) -> Ended:
        """In a thread, which the kernel takes for the parent. Without a preexec_fn, so that no memory is copied for the fork."""
        environment = {**os.environ, **self._environment, PARENT: str(os.getpid())}
        pipe = subprocess.PIPE
        with subprocess.Popen([*self._command, *arguments], stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=environment) as child:
            self._child = child
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


def become_helper() -> None:
    """Called by the program itself, first of all: niced, and killed with the service that asked for it."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    die_with(int(parent), NICENESS)()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
