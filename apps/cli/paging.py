"""Reads paged lists: up to the requested number of rows, or all of them."""

from collections.abc import Mapping
from typing import Any, Final

from apps.cli import show
from apps.cli.client import Oms

PAGE_ROWS_MAX: Final = 100


def pages(
    oms: Oms, path: str, name: str, filters: Mapping[str, object], limit: int | None, cursor: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """Return the rows under `name`, at most `limit` (None: all), from `cursor` on, and the next cursor (None at the end)."""
    rows: list[dict[str, Any]] = []
    while limit is None or len(rows) < limit:
        wanted = PAGE_ROWS_MAX if limit is None else min(limit - len(rows), PAGE_ROWS_MAX)
        page = oms.get(path, **filters, limit=wanted, cursor=cursor)
        rows += page.rows(name)
        cursor = page.object().get("next")
        if not cursor:
            break
    return rows, cursor


def tell_more(cursor: str | None) -> None:
    if cursor:
        show.hint(f"More rows are available: --all, or continue with --cursor {show.clean(str(cursor))}")
