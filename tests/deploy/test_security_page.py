"""docs/security.md says what the code does: its scopes and routes, its bounds, and the tests that hold each row of OWASP."""

import ast
import importlib
import re
from pathlib import Path
from typing import Final

from apps.http.route_scopes import ALPACA, EVERYWHERE, TABLES
from tests.security_page import PAGE, table_of_scopes, written

ROOT: Final = Path(__file__).parents[2]
TEXT: Final = PAGE.read_text("utf-8")
ROUTE: Final = re.compile(r"`((?:GET|POST|PATCH|PUT|DELETE) /[^`]*)`")


def test_the_table_of_scopes_is_that_of_the_code() -> None:
    assert written() == TEXT, "run: make docs"


def test_every_route_of_every_service_is_in_the_table() -> None:
    routes = [f"{method} {path}" for method, path in EVERYWHERE]
    routes += [f"{method} {path}" for table in TABLES.values() for method, path in table if (method, path) not in EVERYWHERE]
    routes += [f"{method} {path}" for method, path in ALPACA]
    assert sorted(ROUTE.findall(table_of_scopes())) == sorted(routes)


def test_every_bound_that_the_page_names_exists() -> None:
    bounds = re.findall(r"^\| `([A-Z_]+)` \| `(\w+(?:/\w+)+)\.py` \|", TEXT, re.M)
    assert len(bounds) > 15
    for name, module in bounds:
        assert hasattr(importlib.import_module(module.replace("/", ".")), name), (module, name)


def functions(file: Path) -> set[str]:
    tree = ast.parse(file.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_each_of_the_ten_is_held_by_tests_that_exist() -> None:
    rows = re.findall(r"^\| (API\d+) .*\|([^|]*)\|$", TEXT, re.M)
    assert [row for row, _ in rows] == [f"API{number}" for number in range(1, 11)]
    for row, cell in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", cell)
        assert named, row
        for file, function in named:
            assert (ROOT / file).is_file(), (row, file)
            assert not function or function in functions(ROOT / file), (row, file, function)
