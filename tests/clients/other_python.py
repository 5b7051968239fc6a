"""Programs of clients whose packages differ from those of the product: each runs in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.clients.conftest import CLIENTS, Facade
from tests.stack import CHECKOUT

ENDS_S: Final = 120.0
DIRECTORIES: Final = {"alpaca-trade-api": CHECKOUT / ".clients-trade-api", "lumibot": CHECKOUT / ".clients-lumibot"}
"""Where make clients-test installs them: in front of everything else."""


def ran(client: str, arguments: Sequence[str], facade: Facade, home: Path) -> str:
    """Run Python with the packages of a client and return what it prints. The facade is in ID, SECRET and BASE of the environment."""
    directory = DIRECTORIES.get(client)
    if directory is not None and not directory.exists():
        pytest.skip(f"{client} is not installed: run make clients-test, which installs it")
    path = [str(each) for each in (directory, CHECKOUT) if each is not None]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path),
        "HOME": str(home),
        "ID": facade.key_id,
        "SECRET": facade.secret,
        "BASE": facade.base,
        "CLIENTS": str(CLIENTS),
        "APCA_API_DATA_URL": facade.base,
    }
    ended = subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=home, capture_output=True, text=True, timeout=ENDS_S, check=False
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return ended.stdout
