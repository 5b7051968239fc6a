"""Scenes in which processes start, die and recover have more time than others: a busy machine is not what they look at."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
TIMEOUT_S: Final = 900
"""A test that hangs is found; one that is slow on a busy machine is not one that hangs."""

DISK_MB: Final = 224
"""nats-server gives streams three quarters of it; those of controls and access want 64 MB each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little room. It takes root, and a machine that permits mounts."""
    home = tmp_path / "small"
    home.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", home], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here (user {os.getuid()}): {mounted.stderr.strip()}")
    yield home
    subprocess.run(["umount", "-l", home], check=True)
