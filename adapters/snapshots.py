"""Snapshots as files, two for each fold: written to a temporary file, fsynced and renamed, so that a named file is complete."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from adapters.codec import encode
from domain.ports import Head, Unavailable

log = structlog.get_logger()

NEWEST: Final = "newest.snapshot"
PREVIOUS: Final = "previous.snapshot"
DIGEST_BYTES: Final = 32
HEADER_BYTES_MAX: Final = 4096
SYNC_EVERY_BYTES: Final = 4 * 2**20
"""Data is synced to disk in pieces of this size: one large fsync would delay the journal's small ones."""


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line of a file. The checksum covers the rest of the file and this line."""

    checksum: str
    schema: str
    head: Head


class NotVerified(Exception):
    """The file was changed since it was written, or is not for this program."""


class FileSnapshots:
    """Port: domain.ports.Snapshots. A directory for each name."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def store(self, name: str, schema: str, head: Head, body: bytes) -> None:
        home = self._directory / name
        fresh = home / f"{os.getpid()}.fresh"
        try:
            home.mkdir(parents=True, exist_ok=True)
            for left_behind in home.glob("*.fresh"):
                left_behind.unlink(missing_ok=True)
            try:
                _write(fresh, encode(Header(_checksum(schema, head, body), schema, head)) + b"\n", body)
                if (home / NEWEST).exists():
                    os.replace(home / NEWEST, home / PREVIOUS)
                os.replace(fresh, home / NEWEST)
            finally:
                fresh.unlink(missing_ok=True)
            _sync_directory(home)
        except OSError as error:
            raise Unavailable(f"{error.filename or fresh}: {error.strerror}") from error

    def kept(self, name: str, *schemas: str) -> Iterator[tuple[Head, bytes]]:
        for file in (self._directory / name / NEWEST, self._directory / name / PREVIOUS):
            try:
                yield _read(file, schemas)
            except FileNotFoundError:
                continue
            except (OSError, NotVerified) as trouble:
                log.warning("a snapshot is ignored", snapshot=f"{name}/{file.name}", reason=str(trouble))


def _read(file: Path, schemas: Sequence[str]) -> tuple[Head, bytes]:
    with file.open("rb", buffering=0) as whole:
        line, body = whole.readline(HEADER_BYTES_MAX), whole.readall()
    try:
        header = msgspec.json.decode(line, type=Header)
    except ValueError as error:
        raise NotVerified(f"its first line cannot be read: {error}") from error
    if line[-1:] != b"\n" or header.checksum != _checksum(header.schema, header.head, body):
        raise NotVerified("its checksum does not verify")
    if header.schema not in schemas:
        raise NotVerified(f"its schema is {header.schema}, but this program needs {schemas[0]}")
    return header.head, body


def _checksum(schema: str, head: Head, body: bytes) -> str:
    digest = hashlib.blake2b(encode((schema, head)), digest_size=DIGEST_BYTES)
    digest.update(body)
    return digest.hexdigest()


def _write(file: Path, header: bytes, body: bytes) -> None:
    with file.open("wb", buffering=0) as out:
        for part in (header, body):
            rest = memoryview(part)
            while rest:
                rest = rest[out.write(rest[:SYNC_EVERY_BYTES]) :]
                os.fdatasync(out.fileno())
        os.fsync(out.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
