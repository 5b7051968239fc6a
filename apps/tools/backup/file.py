"""The file of a backup: compressed lines, with a heading first and a seal of heads and a hash last."""

import errno
import gzip
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from adapters.journalcopy import Chains, Copied
from apps.runtime import private_files
from domain.ports import Corrupt, Head

FORMAT: Final = 1
LINE_MAX: Final = 16 * 2**20


class Heading(msgspec.Struct, tag="heading"):
    """The start time of a backup in nanoseconds, and the streams to create on restore with their maximum bytes."""

    format: int
    at: int
    max_bytes: dict[str, int]


class Entry(msgspec.Struct, tag="entry"):
    stream: str
    message: Copied


class Seal(msgspec.Struct, tag="seal"):
    """The head of each subject of each stream, and the SHA-256 of all lines before."""

    heads: dict[str, dict[str, Head]]
    sha256: str


_LINE: Final = msgspec.json.Decoder(Heading | Entry | Seal)


class Writer:
    """A writer that replaces the file only once it is sealed, so that a partial backup never has its name.

    The file is private to its user, because it has all orders. An existing file is replaced only with `replace`, else FileExistsError.
    """

    def __init__(self, path: Path, heading: Heading, *, replace: bool = False) -> None:
        if not replace and os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        self._path = path
        self._replace = replace
        self._fresh = path.with_name(f"{path.name}.part")
        self._hash = hashlib.sha256()
        self._chains: dict[str, Chains] = {name: Chains() for name in heading.max_bytes}
        self._fresh.unlink(missing_ok=True)  # of a backup that was killed
        self._raw = os.fdopen(os.open(self._fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, private_files.FILE), "wb")
        self._out = gzip.GzipFile(fileobj=self._raw, mode="wb", compresslevel=6, mtime=0)
        self._line(heading)

    def write(self, stream: str, message: Copied) -> None:
        self._chains[stream].take(message)
        self._line(Entry(stream, message))

    def seal(self) -> Seal:
        seal = Seal({stream: dict(chains.heads) for stream, chains in self._chains.items()}, self._hash.hexdigest())
        self._line(seal)
        self._out.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()
        if not self._replace and os.path.lexists(self._path):  # it appeared in the meantime
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self._path))
        self._fresh.replace(self._path)
        return seal

    def _line(self, line: Heading | Entry | Seal) -> None:
        text = msgspec.json.encode(line) + b"\n"
        self._hash.update(text)
        self._out.write(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._out.close()
            self._raw.close()
        finally:  # close writes, and fails on a full disk
            self._fresh.unlink(missing_ok=True)


def heading_of(path: Path) -> Heading:
    """Return the heading of a backup. Corrupt."""
    text = next(_texts(path), b"")
    first = _decoded(path, text)
    if not isinstance(first, Heading) or first.format != FORMAT:
        raise Corrupt(f"{path} is not a backup of this format")
    return first


def entries(path: Path) -> Iterator[Entry]:
    """Return everything between heading and seal. Corrupt where a line cannot be read."""
    lines = (_decoded(path, text) for text in _texts(path))
    return (line for line in lines if isinstance(line, Entry))


def sealed(path: Path) -> Seal:
    """Verify every line against the chains and the seal; return the seal. Corrupt."""
    heading = heading_of(path)
    chains = {name: Chains() for name in heading.max_bytes}
    digest, seal = hashlib.sha256(), None
    for text in _texts(path):
        line = _decoded(path, text)
        if seal is not None:
            raise Corrupt(f"{path}: data follows its seal")
        if isinstance(line, Seal):
            seal = line
            continue
        if isinstance(line, Entry):
            chains[line.stream].take(line.message)
        digest.update(text)
    if seal is None:
        raise Corrupt(f"{path} ends without its seal: it is incomplete")
    if digest.hexdigest() != seal.sha256 or seal.heads != {name: each.heads for name, each in chains.items()}:
        raise Corrupt(f"{path} does not match its seal")
    return seal


def _texts(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path, "rb") as file:
            while text := file.readline(LINE_MAX):
                yield text
    except (OSError, EOFError) as error:
        raise Corrupt(f"{path} cannot be read: {error}") from error


def _decoded(path: Path, text: bytes) -> Heading | Entry | Seal:
    try:
        line: Heading | Entry | Seal = _LINE.decode(text)
    except msgspec.DecodeError as error:
        raise Corrupt(f"{path} has a line that cannot be read: {error}") from error
    return line
