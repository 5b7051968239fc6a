"""The examples of docs/alpaca.md, each run as a reader would paste it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.clients.conftest import Facade
from tests.clients.other_python import ran
from tests.stack import CHECKOUT

PAGE: Final = (CHECKOUT / "docs/alpaca.md").read_text()
EXAMPLES: Final = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
BEFORE: Final = (
    "import os, sys\nsys.path.append(os.environ['CLIENTS'])\nID, SECRET, BASE = (os.environ[name] for name in ('ID', 'SECRET', 'BASE'))\n"
)
AFTER: Final = "\nif 'main' in globals():\n    import asyncio\n    asyncio.run(main())\n"


def name_of(code: str) -> str:
    return code.splitlines()[0].removeprefix("# ")


@pytest.mark.parametrize("code", EXAMPLES, ids=name_of)
def test_an_example_of_the_page_runs(code: str, made: Callable[..., Facade], tmp_path: Path) -> None:
    pytest.importorskip("ccxt", reason="ccxt is not installed: run make clients-test, which installs it")
    client = name_of(code).partition(",")[0]
    printed = ran(client, ["-c", BEFORE + code + AFTER], made(client.replace(" ", "-")), tmp_path)
    assert printed, "it prints what it found"
    if "fill" in code:
        assert re.search(r"^fill", printed, re.MULTILINE), printed
