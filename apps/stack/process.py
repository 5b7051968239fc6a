"""One child process: started so that it cannot outlive its parent, its output read, probed until it answers, and stopped."""

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from apps.runtime import private_files
from apps.runtime.background_writer import BackgroundWriter, RotatingFile
from apps.runtime.child_process import die_with
from apps.runtime.exit_codes import Exit
from apps.stack.program import Program
from apps.stack.progress import Watched
from apps.stack.trouble import CannotStart, NotReady

PROBE_EVERY_S = 0.1
PROBE_EVERY_MAX_S = 1.0
PROBE_SLOWER = 1.1
DRAIN_S = 1.0
LINE_MAX = 64 * 1024
OUTPUT_MAX = 16 * 1024 * 1024
TAIL_LINES = 12


class Output:
    """The output of a program: written to its file by a thread, shown on the terminal by lines, with the last lines in memory.

    The pipe is emptied even if the file cannot be written, because a full pipe would block the program.
    """

    def __init__(self, path: Path, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._writer = BackgroundWriter(RotatingFile(path, OUTPUT_MAX, kept=1), path.name, _missing)
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.bytes = 0

    @property
    def dropped(self) -> int:
        """The number of lines missing in the file."""
        return self._writer.dropped

    @property
    def trouble(self) -> str:
        """Why the file cannot be written now; empty if it can."""
        return self._writer.trouble

    async def pump(self, stream: asyncio.StreamReader) -> None:
        """Read until the program closes its end. A line longer than LINE_MAX comes in pieces."""
        rest = b""
        while chunk := await stream.read(LINE_MAX):
            self.bytes += len(chunk)
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            self._printed(whole + newline)
            if len(rest) > LINE_MAX:
                self._printed(rest)
                rest = b""
        self._printed(rest)

    def close(self) -> None:
        """End the output; wait a moment until it is in the file, or dropped."""
        self._writer.flush()
        self._writer.close()

    def _printed(self, text: bytes) -> None:
        if not text:
            return
        self._writer.put(text)
        for line in text.decode(errors="replace").removesuffix("\n").split("\n"):
            self.tail.append(line.rstrip("\r"))
            self._on_line(self.tail[-1])


class Process:
    """A running program and the file that its output goes to."""

    def __init__(self, program: Program, child: asyncio.subprocess.Process, output: Path, printed: Output | None, unwritten: str) -> None:
        self.program = program
        self.output = output
        self.printed = printed
        self.unwritten = unwritten
        self.waits_for = "not probed yet"
        self._child = child
        self._pump = asyncio.create_task(printed.pump(child.stdout)) if printed and child.stdout else None

    @classmethod
    async def start(cls, program: Program, output: Path, on_line: Callable[[str], None] | None = None) -> "Process":
        """Run the program. With `on_line` its output passes through this process, line by line; without, it goes only to the file.

        If that file cannot be opened, the program runs nevertheless and `unwritten` says why. CannotStart if it cannot be run.
        """
        file, unwritten = (asyncio.subprocess.PIPE, "") if on_line else _opened(output)
        try:
            child = await asyncio.create_subprocess_exec(
                *program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=asyncio.subprocess.STDOUT,
                env=program.full_environment(),
                cwd=program.cwd,
                process_group=0,  # Ctrl-C at the terminal must reach only the supervisor, which stops programs in order
                preexec_fn=die_with(os.getpid(), program.niceness),
                **program.identity(),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise CannotStart(f"{program.name} cannot be run: {error}", remedy="Reinstall: make clean install") from error
        finally:
            if file >= 0:
                os.close(file)
        return cls(program, child, output, Output(output, on_line) if on_line else None, unwritten)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def ended(self) -> bool:
        return self._child.returncode is not None

    @property
    def killed(self) -> bool:
        """Whether a signal ended the process, and not the program itself with an exit code."""
        return (self._child.returncode or 0) < 0

    async def wait(self) -> int:
        """Wait for its end and last line; return its exit code, negative for a signal."""
        code = await self._child.wait()
        if self._pump and self.printed:  # not longer than a moment: a grandchild may hold the pipe open
            done, _ = await asyncio.wait({self._pump}, timeout=DRAIN_S)
            if done:
                await asyncio.to_thread(self.printed.close)
        return code

    async def answers(self, poll_s: float = PROBE_EVERY_S) -> None:
        """Return once the program answers. CannotStart, with its last lines, if it ends before or shows no progress for too long."""
        progress = Watched(self.pid, self.program.silence_max_s)
        while True:
            if self.ended:
                raise CannotStart(f"{self.program.name} ended ({ending(await self.wait())}) before it was ready.{self.last_lines()}")
            try:
                return await asyncio.to_thread(self.program.probe)
            except NotReady as reason:
                self.waits_for = str(reason)
                if progress.is_over(reason, output=self._printed_bytes()):
                    sentence = f"{self.program.name} is not ready and shows no progress for {self.program.silence_max_s:g} s: {reason}."
                    raise CannotStart(f"{sentence}{self.last_lines()}", exit_code=Exit.UNREACHABLE) from reason
            await asyncio.sleep(poll_s)
            poll_s = min(poll_s * PROBE_SLOWER, PROBE_EVERY_MAX_S)  # on a busy machine ten probes a second would slow the start itself

    def last_lines(self) -> str:
        """Return its last lines as text to append to a message."""
        lines = list(self.printed.tail) if self.printed else tail(self.output)
        return (
            "".join([f"\nThe last lines of {self.output}:", *(f"\n  {line}" for line in lines)])
            if lines
            else f"\nIt printed nothing ({self.output})."
        )

    def _printed_bytes(self) -> int:
        return self.printed.bytes if self.printed else _size(self.output)

    def signal(self, number: signal.Signals) -> None:
        """Signal the whole process group, so that no child of it stays behind."""
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)


async def stop_all(processes: Sequence[Process], *, within_s: float) -> None:
    """Send SIGTERM to all at once, then SIGKILL to those that remain after `within_s`."""
    for process in processes:
        process.signal(signal.SIGTERM)
    await all_ended(processes, within_s=within_s)
    for process in processes:
        process.signal(signal.SIGKILL)
    await all_ended(processes, within_s=1.0)


async def all_ended(processes: Sequence[Process], *, within_s: float) -> bool:
    """Wait for all of them, up to `within_s`; return whether all have ended."""
    if not processes:
        return True
    _, pending = await asyncio.wait([asyncio.create_task(process.wait()) for process in processes], timeout=max(0.0, within_s))
    for task in pending:
        task.cancel()
    return not pending


def ending(code: int) -> str:
    """Return how a process ended, as text."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def tail(path: Path, lines: int = TAIL_LINES) -> list[str]:
    """Return the last lines of a file; none if it cannot be read or is a device."""
    if not path.is_file():
        return []
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LINE_MAX))
            return file.read(LINE_MAX).decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def rotate(path: Path) -> None:
    """Move the output of the previous start aside, as `.1`. OSError."""
    with contextlib.suppress(FileNotFoundError):
        path.replace(path.with_name(path.name + ".1"))


def bound(path: Path) -> None:
    """Keep an open output below OUTPUT_MAX: copy it aside and truncate it. Writers append, so they continue at the new end.

    If the copy fails for lack of room, its content is lost, because the bound must hold. OSError.
    """
    if _size(path) <= OUTPUT_MAX:
        return
    aside = path.with_name(path.name + ".1")
    try:
        aside.write_bytes(path.read_bytes())
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    finally:
        os.truncate(path, 0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _opened(path: Path) -> tuple[int, str]:
    """Return a descriptor to append to, and why it is /dev/null if the file cannot be opened. A named pipe counts as such a file."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        if path.is_fifo():
            raise OSError(errno.ENXIO, "it is a named pipe")
        return os.open(path, flags, private_files.FILE), ""
    except OSError as error:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), error.strerror or str(error)


def _missing(lines: int) -> bytes:
    return f"{lines} lines are missing here for lack of room\n".encode()
