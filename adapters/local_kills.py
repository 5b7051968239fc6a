"""Kill switches set on this machine: one file each, on disk before they are acknowledged, readable when nothing else is reachable."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from domain.ports import Unavailable
from domain.risk.controls import ALL

DIRECTORY: Final = "kills"
SUFFIX: Final = ".kill"


class LocalKill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """One local kill switch. `reported` is the version under which risk has recorded it; None before that."""

    scope: str
    who: str
    reason: str
    at: int
    reported: int | None = None


class LocalKills:
    """One directory; each scope has its own file, so that two programs can set switches at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def prepare(self) -> None:
        """Create the directory if it is missing, so that from now on its absence is an error. Raises Unavailable."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"{self._directory} cannot be made: {error.strerror}") from error

    def load(self) -> dict[str, LocalKill]:
        """Return the kills by scope. An unreadable file was meant to stop something unknown, so it stops everything.

        Raises Unavailable if the directory is missing or cannot be listed: then it is unknown what was set.
        """
        try:
            names = sorted(name for name in os.listdir(self._directory) if name.endswith(SUFFIX))
        except OSError as error:
            raise Unavailable(f"{self._directory} cannot be read: {error.strerror}") from error
        return {kill.scope: kill for name in names for kill in _read(self._directory / name)}

    def keep(self, kill: LocalKill) -> None:
        """Store a kill; it is on disk when this returns. Raises Unavailable, also if the directory is missing: see `prepare`."""
        file = self._directory / (hashlib.sha256(kill.scope.encode()).hexdigest()[:32] + SUFFIX)
        fresh = file.with_name(f"{file.name}.{os.getpid()}")
        try:
            with fresh.open("wb") as out:
                out.write(msgspec.json.encode(kill))
                out.flush()
                os.fsync(out.fileno())
            fresh.replace(file)
            with _opened(self._directory) as directory:
                os.fsync(directory)
        except OSError as error:
            raise Unavailable(f"{file} cannot be written: {error.strerror}") from error

    def drop(self, scope: str) -> None:
        """Delete a kill whose scope was armed again. Raises Unavailable."""
        try:
            for file in self._directory.glob(f"*{SUFFIX}"):
                if any(kill.scope == scope for kill in _read(file)):
                    file.unlink()
        except OSError as error:
            raise Unavailable(f"{self._directory} cannot be written: {error.strerror}") from error


def _read(file: Path) -> Iterator[LocalKill]:
    try:
        yield msgspec.json.decode(file.read_bytes(), type=LocalKill)
    except (OSError, ValueError) as error:
        if not os.path.lexists(file):
            return  # removed since it was listed; a dangling link still exists
        yield LocalKill(scope=ALL, who="exeq", reason=f"{file.name} cannot be read: {error}"[:200], at=0)


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    number = os.open(directory, os.O_RDONLY)
    try:
        yield number
    finally:
        os.close(number)
