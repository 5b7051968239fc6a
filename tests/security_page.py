"""The table of scopes and routes of docs/security.md, written from the code: `python -m tests.security_page` (in `make docs`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from apps.http.route_scopes import ALPACA, ANY, EVERYWHERE, OPEN, PUBLIC, TABLES, Row, Table
from domain.access.scopes import scopes_of

PAGE: Final = Path(__file__).parents[1] / "docs/security.md"
BEGIN: Final = "<!-- scopes: python -m tests.security_page -->\n"
END: Final = "<!-- end of scopes -->"


def scopes(row: Row) -> str:
    """Return the scopes of a row as the page has them."""
    if row is OPEN:
        return "no key"
    if row & PUBLIC:
        return "no key, or any"
    return "any key" if row & ANY == ANY else ", ".join(f"`{scope}`" for scope in scopes_of(row))


def lines(service: str, table: Table) -> Iterator[str]:
    """Yield a line for each set of scopes, in the order of the table."""
    by_scopes: dict[str, list[str]] = {}
    for (method, path), row in table.items():
        by_scopes.setdefault(scopes(row), []).append(f"`{method} {path}`")
    for needed, routes in by_scopes.items():
        yield f"| {service} | {needed} | {' · '.join(routes)} |"


def table_of_scopes() -> str:
    own: dict[str, Table] = {
        service: {route: row for route, row in table.items() if route not in EVERYWHERE} for service, table in TABLES.items()
    }
    own["oms, Alpaca facade"] = ALPACA
    head = ("| service | needs one of | routes |", "|---|---|---|")
    rows = (line for service, table in {"every service": EVERYWHERE, **own}.items() for line in lines(service, table))
    return "\n".join((*head, *rows)) + "\n"


def written() -> str:
    """Return the page with its table as the code has it."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"{PAGE.name} has lost its markers"
    return before + BEGIN + table_of_scopes() + END + after


if __name__ == "__main__":
    PAGE.write_text(written(), "utf-8")
