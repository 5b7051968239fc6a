"""Whole stacks: one that the scenes share, with no order open when the next one begins, and fresh ones for scenes that harm a process."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from domain.order.lifecycle import CLOSED, State
from tests.flows.doors import Doors
from tests.stack import LiveStack

CLOSE_S: Final = 60.0


@pytest.fixture(scope="package")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """One stack for all flows, with QuestDB: use an account of your own, and leave every process alive.

    It ends with them: an idle stack takes a sixth of a core from the thousands of tests that follow.
    """
    started = LiveStack(tmp_path_factory.mktemp("stack") / "data", desk=True).start()
    yield started
    started.close()


@pytest.fixture
def running(shared_stack: LiveStack) -> Iterator[LiveStack]:
    """The shared stack. What a scene left open is cancelled, so that no order moves while a later scene counts."""
    yield shared_stack
    with shared_stack.client() as oms:
        deadline = time.monotonic() + CLOSE_S
        while open_states := [each for each in oms.get("/stats").json()["orders"] if State(each) not in CLOSED]:
            left = [
                order for state in open_states for order in oms.get("/orders", params={"status": state, "limit": 1000}).json()["orders"]
            ]
            for account in {order["account"] for order in left}:
                oms.delete("/orders", params={"account": account})
            assert time.monotonic() < deadline, f"these orders stay open: {left}"
            time.sleep(0.02)


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
