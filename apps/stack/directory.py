"""The data directory: locked by one stack while it runs, recognised by a mark file, and wiped only if it has the mark."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from apps.runtime import private_files
from apps.runtime.exit_codes import Exit
from apps.stack.trouble import CannotStart

DATA_DIR = Path(".trade")
"""The data directory of a stack that names no other."""
MARK = "trade-data-directory"
LOCK = "lock"
SHARDS = "shards"
"""The file of the number of shards, if there are several."""
JOURNALS = "nats"
"""The directory of nats-server's store."""


OTHER_DIRECTORY = "Make it readable and writable for this user, or use another one: trade up --data-dir D"


@contextmanager
def claimed(data_dir: Path) -> Iterator[None]:
    """Lock the directory and make it private to this user. CannotStart if another stack holds it, or if `trade up` did not create it."""
    _make(data_dir)
    with _lock(data_dir) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotStart(
                f"The data directory {data_dir} is in use by another stack (pid {lock.read().strip() or 'unknown'}).",
                remedy="Stop that one, or start a second one beside it: trade up --data-dir OTHER --port-offset 100",
            ) from None
        with contextlib.suppress(OSError):  # the pid is only a courtesy, and a full disk refuses it
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
        private_files.tighten(data_dir)
        yield


def begin(data_dir: Path) -> None:
    """Create the directory, or mark an empty one, so that `trade up` accepts it. Any other one stays as it is. CannotStart, OSError."""
    if not data_dir.exists() or not any(data_dir.iterdir()):
        _make(data_dir)


def shards_of(data_dir: Path, wanted: int | None, *, fresh: bool) -> int:
    """Return how many shards the directory was created with, or shall be created with: 1 unless another number is wanted.

    CannotStart if it has another number than the wanted one. With `fresh` it is created again.
    """
    try:
        born = None if fresh else int((data_dir / SHARDS).read_text())
    except FileNotFoundError:
        born = 1 if (data_dir / JOURNALS).exists() else None
    except (OSError, ValueError) as error:
        raise CannotStart(f"{data_dir / SHARDS} cannot be read: {error}.", exit_code=Exit.USAGE) from error
    if wanted is not None and born is not None and wanted != born:
        sentence = f"The data directory {data_dir} was created with {born} shard{'' if born == 1 else 's'}, and --shards is {wanted}."
        raise CannotStart(sentence, remedy=f"The number is fixed: leave out --shards, or say --shards {born}.", exit_code=Exit.USAGE)
    return born or wanted or 1


def keep_shards(data_dir: Path, shards: int) -> None:
    """Write the number of shards once, when the directory is created with several. OSError."""
    if shards > 1 and not (data_dir / SHARDS).exists():
        (data_dir / SHARDS).write_text(f"{shards}\n")


def wipe(data_dir: Path) -> None:
    """Remove everything except the lock and the mark. Links are removed, not followed."""
    for each in data_dir.iterdir():
        if each.name in (LOCK, MARK):
            continue
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def _lock(data_dir: Path) -> TextIO:
    try:
        return (data_dir / LOCK).open("a+")
    except OSError as error:
        raise unusable(data_dir, error) from error


def unusable(data_dir: Path, error: OSError) -> CannotStart:
    """Return CannotStart for an error of the disk: which file, why, and what to do."""
    where = f" ({error.filename})" if error.filename else ""
    sentence = f"The data directory {data_dir} cannot be used: {error.strerror or error}{where}."
    return CannotStart(sentence, remedy=OTHER_DIRECTORY, exit_code=Exit.USAGE)


def _make(data_dir: Path) -> None:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not (data_dir / MARK).exists():
            if any(data_dir.iterdir()):
                sentence = f"{data_dir} is not empty and was not created by `trade up`; it was left unchanged."
                raise CannotStart(sentence, remedy="Use a new or empty directory: trade up --data-dir D")
            (data_dir / MARK).write_text("State of a trade stack. `trade up --fresh` removes all of it.\n")
    except OSError as error:
        raise unusable(data_dir, error) from error
