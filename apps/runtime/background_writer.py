"""Write text to a file or a terminal in a background thread: the caller never waits, and text without room is dropped and counted."""

import contextlib
import os
import queue
import select
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TextIO

from apps.runtime import private_files

PENDING_BYTES_MAX: Final = 4 * 2**20
"""Bytes that may wait for a blocked disk or terminal; more is dropped."""

FLUSH_S: Final = 0.5
"""How long a process that ends waits for its last lines to be written."""


class Target(Protocol):
    """A destination of text. `write` takes a piece whole or raises OSError; it may block."""

    def write(self, piece: bytes) -> None: ...

    def close(self) -> None: ...


class BackgroundWriter:
    """A queue of pieces written in order by a thread. `notice` returns the text that reports missing lines once there is room again."""

    def __init__(self, target: Target, name: str, notice: Callable[[int], bytes], pending_bytes_max: int = PENDING_BYTES_MAX) -> None:
        self._target = target
        self._notice = notice
        self._pending_bytes_max = pending_bytes_max
        self._pieces: queue.SimpleQueue[bytes | threading.Event | None] = queue.SimpleQueue()
        self._put_bytes = self._taken_bytes = 0  # each is changed by one thread only; without a lock, a forked child cannot hang in one
        self._overflowed = self._failed = self._noticed = 0
        self.trouble = ""
        self._thread = threading.Thread(target=self._run, name=f"writes {name}", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """The number of lines that could not be written since the start."""
        return self._overflowed + self._failed

    def put(self, piece: bytes) -> None:
        """Write this piece soon, or drop it. Never waits and never raises; call it from one thread at a time."""
        if self._put_bytes - self._taken_bytes + len(piece) > self._pending_bytes_max:
            self._overflowed += _lines(piece)
            return
        self._put_bytes += len(piece)
        self._pieces.put(piece)

    def flush(self, within_s: float = FLUSH_S) -> bool:
        """Wait until earlier pieces are written or dropped; return False if that takes longer than `within_s`."""
        done = threading.Event()
        self._pieces.put(done)
        return not self._thread.is_alive() or done.wait(within_s)

    def close(self) -> None:
        """End the thread after the earlier pieces, without waiting for it; flush() waits."""
        self._pieces.put(None)

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not None:
            if isinstance(piece, threading.Event):
                piece.set()
                continue
            self._write(piece)
            self._taken_bytes += len(piece)
        self._target.close()

    def _write(self, piece: bytes) -> None:
        try:
            self._target.write(piece)
            self.trouble = ""
            if (missing := self.dropped - self._noticed) > 0:
                self._target.write(self._notice(missing))
                self._noticed += missing
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            self.trouble = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
            self._failed += _lines(piece)


class Terminal:
    """A standard stream, written by its descriptor: a thread that hangs in the stream's lock would abort the end of the process."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        try:
            self._descriptor = stream.fileno()
        except (OSError, ValueError):  # a stream in memory
            self._descriptor = -1

    def write(self, piece: bytes) -> None:
        if self._descriptor >= 0:
            _write_whole(self._descriptor, piece)
        else:
            self._stream.write(piece.decode(errors="replace"))
            self._stream.flush()

    def close(self) -> None:
        """Do nothing: the stream belongs to the process."""


class RotatingFile:
    """A file private to its user, rotated at `bytes_max`, with `kept` older ones. A piece is written whole or not at all."""

    def __init__(self, path: Path, bytes_max: int, kept: int) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._kept = kept
        self._descriptor = -1
        self._size = 0

    def open(self) -> None:
        """Open the file. OSError if that fails; the next write tries again."""
        # O_NONBLOCK: a named pipe without a reader is an error instead of a wait; it has no effect on a file
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, flags, private_files.FILE)
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_mode & private_files.OTHERS:
            with contextlib.suppress(OSError):  # another user owns it and permits writing
                os.fchmod(descriptor, private_files.FILE)
        self._descriptor, self._size = descriptor, found.st_size

    def write(self, piece: bytes) -> None:
        if self._descriptor < 0:
            self.open()
        if self._size and self._size + len(piece) > self._bytes_max:
            self._move_aside()
            self.open()
        try:
            _write_whole(self._descriptor, piece)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)  # a partial line would corrupt the next one
            raise
        self._size += len(piece)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _move_aside(self) -> None:
        for number in range(self._kept, 0, -1):
            newer = self._path.with_name(f"{self._path.name}.{number - 1}") if number > 1 else self._path
            if newer.exists():
                newer.replace(self._path.with_name(f"{self._path.name}.{number}"))
        self.close()


def _write_whole(descriptor: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            select.select((), (descriptor,), ())  # another program made the shared terminal non-blocking


def _lines(piece: bytes) -> int:
    return piece.count(b"\n") or 1
