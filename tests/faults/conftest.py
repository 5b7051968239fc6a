"""Scenes in which processes start, die and recover have more time than others: a busy machine is not what they look at."""

from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
TIMEOUT_S: Final = 180


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))
