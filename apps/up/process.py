"""One child process: started so that it cannot outlive us, listened to, asked whether it answers, and stopped."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from apps.up.program import Program
from apps.up.trouble import CannotStart, Exit, NotReady

PROBE_EVERY_S = 0.1
DRAIN_S = 1.0
LINE_MAX = 64 * 1024
OUTPUT_MAX = 16 * 1024 * 1024
TAIL_LINES = 12
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Process:
    """A running program and the file that its output goes to."""

    def __init__(self, program: Program, child: asyncio.subprocess.Process, output: Path, pump: asyncio.Task[None] | None) -> None:
        self.program = program
        self.output = output
        self._child = child
        self._pump = pump

    @classmethod
    async def start(cls, program: Program, output: Path, on_line: Callable[[str], None] | None = None) -> "Process":
        """Run it. With `on_line` its output comes through us, line by line; without, it goes to the file alone."""
        with output.open("ab", buffering=0) as file:
            try:
                child = await asyncio.create_subprocess_exec(
                    *program.command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE if on_line else file,
                    stderr=asyncio.subprocess.STDOUT,
                    env=program.full_environment(),
                    cwd=program.cwd,
                    process_group=0,  # Ctrl-C at the terminal is for us; we decide who stops when
                    preexec_fn=die_with(os.getpid(), program.niceness),
                )
            except OSError as error:
                raise CannotStart(f"{program.name} cannot be run: {error}", remedy="Install again: make clean install") from error
        pump = asyncio.create_task(_pump(child.stdout, output, on_line)) if on_line and child.stdout else None
        return cls(program, child, output, pump)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def ended(self) -> bool:
        return self._child.returncode is not None

    async def wait(self) -> int:
        """Its exit code, negative for a signal, after its last line has been read."""
        code = await self._child.wait()
        if self._pump:  # not longer than a moment: a grandchild may hold the pipe open
            await asyncio.wait({self._pump}, timeout=DRAIN_S)
        return code

    async def answers(self, poll_s: float = PROBE_EVERY_S) -> None:
        """Return when the program answers; CannotStart, with its last lines, when it ends before that or takes too long."""
        deadline = time.monotonic() + self.program.ready_timeout_s
        while True:
            if self.ended:
                raise CannotStart(f"{self.program.name} ended ({ending(await self.wait())}) before it was ready.{self.last_lines()}")
            try:
                return await asyncio.to_thread(self.program.probe)
            except NotReady as reason:
                if time.monotonic() > deadline:
                    sentence = f"{self.program.name} did not become ready within {self.program.ready_timeout_s:g} s: {reason}."
                    raise CannotStart(f"{sentence}{self.last_lines()}", exit_code=Exit.UNREACHABLE) from reason
            await asyncio.sleep(poll_s)

    def last_lines(self) -> str:
        """What it said last, ready to be put under a sentence."""
        lines = tail(self.output)
        return (
            "".join([f"\nThe last lines of {self.output}:", *(f"\n  {line}" for line in lines)])
            if lines
            else f"\nIt said nothing ({self.output})."
        )

    def signal(self, number: signal.Signals) -> None:
        """To the whole process group, so that nothing it started stays behind."""
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)


async def stop_all(processes: Sequence[Process], *, within_s: float) -> None:
    """SIGTERM to all at once, SIGKILL to whatever remains after `within_s`."""
    for process in processes:
        process.signal(signal.SIGTERM)
    await all_ended(processes, within_s=within_s)
    for process in processes:
        process.signal(signal.SIGKILL)
    await all_ended(processes, within_s=1.0)


async def all_ended(processes: Sequence[Process], *, within_s: float) -> bool:
    """Wait for all of them, but no longer than `within_s`."""
    if not processes:
        return True
    _, pending = await asyncio.wait([asyncio.create_task(process.wait()) for process in processes], timeout=max(0.0, within_s))
    for task in pending:
        task.cancel()
    return not pending


def die_with(parent: int, niceness: int = 0) -> Callable[[], None]:
    """To be called in the child: the kernel kills it when we die, even by kill -9 (Linux; elsewhere the next start cleans up)."""

    def between_fork_and_exec() -> None:
        if niceness:
            with contextlib.suppress(PermissionError):
                os.nice(niceness)
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # we died in between
                os._exit(1)

    return between_fork_and_exec


def ending(code: int) -> str:
    """How a process ended, in words."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def tail(path: Path, lines: int = TAIL_LINES) -> list[str]:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LINE_MAX))
        return file.read().decode(errors="replace").splitlines()[-lines:]


def rotate(path: Path) -> None:
    """A fresh file for a new start; the output of the start before is kept beside it."""
    with contextlib.suppress(FileNotFoundError):
        path.replace(path.with_name(path.name + ".1"))


def bound(path: Path) -> None:
    """Keep an open output below OUTPUT_MAX: what is there moves aside. Writers append, so they go on at the new end."""
    if path.exists() and path.stat().st_size > OUTPUT_MAX:
        path.with_name(path.name + ".1").write_bytes(path.read_bytes())
        os.truncate(path, 0)


async def _pump(stream: asyncio.StreamReader, output: Path, on_line: Callable[[str], None]) -> None:
    """Output to the file as it comes, to the terminal by lines; a line longer than LINE_MAX comes in pieces."""
    rest = b""
    with output.open("ab", buffering=0) as file:
        while chunk := await stream.read(LINE_MAX):
            file.write(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                on_line(line.decode(errors="replace").rstrip("\r"))
            if len(rest) > LINE_MAX:
                on_line(rest.decode(errors="replace"))
                rest = b""
        if rest:
            on_line(rest.decode(errors="replace"))
