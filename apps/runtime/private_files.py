"""Files of this user alone: what is made, and what an earlier version or another umask left open."""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

FILE: Final = 0o600
OTHERS: Final = 0o077

OF_A_SERVICE: Final = ("*.db", "*.db-wal", "*.db-shm", "snapshots", "watermarks", "kills")
"""What services keep in a data directory. The directory itself may hold what is not theirs, when they are run without `trade up`."""


def begin() -> None:
    """From now on this process, and those that it starts, make files that no other user may open."""
    os.umask(OTHERS)


def tighten(*paths: Path) -> None:
    """Take from other users what they may do with these, and with everything in those that are directories. Links are not followed.

    What belongs to another user is left as it is: it cannot be changed, and is not ours to hide.
    """
    for path in paths:
        _tighten(path)
        for directory, names, files in os.walk(path):  # nothing when it is no directory; links to directories are not entered
            for name in (*names, *files):
                _tighten(Path(directory, name))


def tighten_files_of_a_service(data_dir: Path) -> None:
    tighten(*(path for pattern in OF_A_SERVICE for path in data_dir.glob(pattern)))


def _tighten(path: Path) -> None:
    with contextlib.suppress(OSError):
        found = path.lstat()
        if not stat.S_ISLNK(found.st_mode) and found.st_mode & OTHERS:
            path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
