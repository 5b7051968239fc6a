"""Scenes in which processes start, die and recover have more time than others: a busy machine is not what they look at."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests import mounts

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
    """A file system of its own with little room."""
    with mounts.small_disk(tmp_path / "small", DISK_MB) as home:
        yield home
