"""Kill switches thrown on this machine: a file each, on the disk before anybody is told so, read when nothing else can be reached."""

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
    """`reported` is the version under which risk has recorded it; None before that."""

    scope: str
    who: str
    reason: str
    at: int
    reported: int | None = None


class LocalKills:
    """One directory; each scope has its own file, so that two programs can throw switches at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def prepare(self) -> None:
        """Make the directory if it is missing, so that from now on its absence means trouble. Unavailable."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"{self._directory} cannot be made: {error.strerror}") from error

    def load(self) -> dict[str, LocalKill]:
        """By scope. A file that cannot be read was meant to stop something, and it is not known what: it stops everything.

        Unavailable when the directory cannot be listed, also when it is missing: then it is not known what was thrown.
        """
        try:
            names = sorted(name for name in os.listdir(self._directory) if name.endswith(SUFFIX))
        except OSError as error:
            raise Unavailable(f"{self._directory} cannot be read: {error.strerror}") from error
        return {kill.scope: kill for name in names for kill in _read(self._directory / name)}

    def keep(self, kill: LocalKill) -> None:
        """On the disk when it returns. Unavailable, also when the directory is missing: see `prepare`."""
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
        """Forget one that was armed again. Unavailable."""
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
            return  # removed since it was listed; a link that leads nowhere is still there
        yield LocalKill(scope=ALL, who="exeq", reason=f"{file.name} cannot be read: {error}"[:200], at=0)


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    number = os.open(directory, os.O_RDONLY)
    try:
        yield number
    finally:
        os.close(number)
