"""Files private to this user: new ones, and those that an earlier version or another umask left readable."""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

FILE: Final = 0o600
OTHERS: Final = 0o077

OF_A_SERVICE: Final = ("*.db", "*.db-wal", "*.db-shm", "snapshots", "watermarks", "kills")
"""Files of services in a data directory. Without `trade up`, the directory may also hold files that are not theirs."""


def begin() -> None:
    """Set the umask so that new files of this process and its children are private to this user."""
    os.umask(OTHERS)


def tighten(*paths: Path) -> None:
    """Remove the rights of other users on these paths, and on everything inside directories. Links are not followed.

    Files of another user stay as they are, because this user cannot change them.
    """
    for path in paths:
        _tighten(path)
        for directory, names, files in os.walk(path):  # empty for a file; links to directories are not entered
            for name in (*names, *files):
                _tighten(Path(directory, name))


def tighten_files_of_a_service(data_dir: Path) -> None:
    tighten(*(path for pattern in OF_A_SERVICE for path in data_dir.glob(pattern)))


def _tighten(path: Path) -> None:
    with contextlib.suppress(OSError):
        found = path.lstat()
        if not stat.S_ISLNK(found.st_mode) and found.st_mode & OTHERS:
            path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
