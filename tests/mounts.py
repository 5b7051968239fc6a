"""A small file system of its own, in memory."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(directory: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system of this size at a new directory. The test is skipped where that is not permitted."""
    directory.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m"]
    mounted = subprocess.run(["mount", *options, "tmpfs", directory], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(
            f"mounting a tmpfs is not permitted to user {os.getuid()}; run as root, in a privileged container: {mounted.stderr.strip()}"
        )
    yield directory
    subprocess.run(["umount", "-l", directory], check=True)
