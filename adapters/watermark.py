"""The high-water mark of a journal in a file, outside the journal's own store, so that a store that went back is detected."""

import hashlib
import os
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from domain.ports import Acceptance, Corrupt, Head, Unavailable

DIRECTORY: Final = "watermarks"

T = TypeVar("T", Head, Acceptance)


class FileWatermark:
    """Port: domain.ports.Watermark. Two files a journal, `<subject>.mark` and `<subject>.accepted`: a checksum, a line feed, JSON."""

    def __init__(self, directory: Path, subject: str) -> None:
        self.file = directory / f"{subject}.mark"
        self._accepted = directory / f"{subject}.accepted"

    def read(self) -> Head | None:
        return _read(self.file, Head)

    def raise_to(self, head: Head) -> None:
        try:
            known = self.read()
        except Corrupt:
            known = None  # damaged while this writer runs: its own state is newer than the file
        if known is None or head.seq > known.seq:
            _write(self.file, head)

    def acceptance(self) -> Acceptance | None:
        return _read(self._accepted, Acceptance)

    def accept(self, acceptance: Acceptance) -> None:
        _write(self._accepted, acceptance)

    def settle(self, head: Head) -> None:
        _write(self.file, head)
        self._accepted.unlink(missing_ok=True)


def _read(file: Path, kind: type[T]) -> T | None:
    try:
        checksum, _, body = file.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"{file} cannot be read: {error.strerror}") from error
    if checksum.decode(errors="replace") != hashlib.sha256(body).hexdigest():
        raise Corrupt(f"{file} does not verify: it is unknown how far the journal was acknowledged")
    return msgspec.json.decode(body, type=kind)


def _write(file: Path, what: Head | Acceptance) -> None:
    """Write a temporary file, sync it, and rename it: a power cut leaves the old or the new one. A lower mark is safe."""
    body = msgspec.json.encode(what)
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as out:
            out.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(file)
    except OSError as error:
        raise Unavailable(f"{file} cannot be written: {error.strerror}") from error
