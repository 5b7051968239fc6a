"""The examples of docs/alpaca.md, each run as a reader would paste it."""

import asyncio
import re
from typing import Any, Final

import pytest

from tests.clients.conftest import Facade
from tests.stack import CHECKOUT

PAGE: Final = (CHECKOUT / "docs/alpaca.md").read_text()
EXAMPLES: Final = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def name_of(code: str) -> str:
    return code.splitlines()[0].removeprefix("# ")


@pytest.mark.parametrize("code", EXAMPLES, ids=name_of)
def test_an_example_of_the_page_runs(code: str, facade: Facade, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ccxt", reason="make clients-test installs the clients")
    names: dict[str, Any] = {"ID": facade.key_id, "SECRET": facade.secret, "BASE": facade.base, "__name__": "example"}
    exec(compile(code, "docs/alpaca.md", "exec"), names)
    if "main" in names:
        asyncio.run(names["main"]())
    assert capsys.readouterr().out, "it prints what it found"
