"""One open stack for all clients, and a key of an account of its own for each test."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.stack import CHECKOUT, PATIENT, LiveStack

CLIENTS: Final = CHECKOUT / ".clients"
"""Where make clients-test installs the clients: behind everything else, because ccxt pins versions of what the product needs too."""
sys.path.append(str(CLIENTS))
EQUITY_QUOTES: Final = "  AAPL: {start: 250, swing_pct: 0.05, spread_ticks: 2, size: 500}\n"
"""A row of simulated_quotes, at the end of venues.yaml: lumibot trades equities, and crypto only against USD."""


class Facade(NamedTuple):
    """Where the facade is, and a key of one account."""

    base: str
    key_id: str
    secret: str


def facade_of(stack: LiveStack, account: str, scopes: str = "trade,read") -> Facade:
    """A new key of an account of this stack."""
    answer = stack.trade("key", "create", "--account", account, "--scopes", scopes, "--json")
    assert answer.returncode == 0, answer.stderr
    key: dict[str, Any] = json.loads(answer.stdout)
    return Facade(f"{stack.url('oms').rstrip('/')}/alpaca", key["key_id"], key["secret"])


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    place = tmp_path_factory.mktemp("stack")
    config = Path(shutil.copytree(PATIENT, place / "config"))
    (config / "venues.yaml").write_text((CHECKOUT / "config/venues.yaml").read_text() + EQUITY_QUOTES)
    started = LiveStack(place / "data", "--fills", "sqlite", "--config-dir", str(config)).start()
    yield started
    started.close()


@pytest.fixture
def made(stack: LiveStack, request: pytest.FixtureRequest) -> Callable[..., Facade]:
    """Makes keys of accounts that are named for the file and the test: two files have a test of one name."""

    def make(account: str = "a", scopes: str = "trade,read") -> Facade:
        return facade_of(stack, f"{request.path.stem.removeprefix('test_')}-{request.node.originalname[-40:]}-{account}", scopes)

    return make


@pytest.fixture
def facade(made: Callable[..., Facade]) -> Facade:
    return made()
