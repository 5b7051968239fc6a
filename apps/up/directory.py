"""The data directory: ours alone while the stack runs, recognised by a mark, and wiped only when it carries it."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apps.up.trouble import CannotStart, Exit

MARK = "trade-data-directory"
LOCK = "lock"


@contextmanager
def claimed(data_dir: Path) -> Iterator[None]:
    """Hold the directory; CannotStart if another stack does, or if what is in it was not made by us."""
    _make(data_dir)
    with (data_dir / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotStart(
                f"The data directory {data_dir} is in use by another stack (pid {lock.read().strip() or 'unknown'}).",
                remedy="Stop that one, or start beside it: trade up --data-dir OTHER --port-offset 100",
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def wipe(data_dir: Path) -> None:
    """Remove everything but the lock and the mark. Links are removed, not followed."""
    for each in data_dir.iterdir():
        if each.name in (LOCK, MARK):
            continue
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def _make(data_dir: Path) -> None:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not (data_dir / MARK).exists():
            if any(data_dir.iterdir()):
                sentence = f"{data_dir} is not empty and was not made by `trade up`; nothing in it was touched."
                raise CannotStart(sentence, remedy="Name a directory that is new or empty: trade up --data-dir D")
            (data_dir / MARK).write_text("State of a trade stack. `trade up --fresh` removes all of it.\n")
    except OSError as error:
        raise CannotStart(f"The data directory {data_dir} cannot be used: {error}.", exit_code=Exit.USAGE) from error
