"""Whole stacks: one for the scenes that leave it as they found it, and fresh ones for those that do not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.doors import Doors
from tests.stack import LiveStack


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """One stack for all flows, with QuestDB: use an account of your own, and leave every process alive.

    It ends with them: an idle stack takes a sixth of a core from the thousands of tests that follow.
    """
    started = LiveStack(tmp_path_factory.mktemp("stack") / "data", desk=True).start()
    yield started
    started.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[LiveStack]:
    """A stack for this test alone, with SQLite fills (it starts quicker)."""
    started = LiveStack(tmp_path / "data", "--fills", "sqlite").start()
    yield started
    started.close()


@pytest.fixture
def doors(running: LiveStack) -> Iterator[Doors]:
    """A client of the shared stack's oms that takes no 500 for an answer."""
    opened = Doors(running)
    yield opened
    opened.close()
