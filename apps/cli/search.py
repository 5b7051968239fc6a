"""`trade search` and `trade query`: questions to sink-alt over all orders, by words and in SQL."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from apps.cli import show
from apps.cli.addresses import Addresses, find
from apps.cli.client import Oms
from apps.cli.options import DataDir, Json, PortOffset
from apps.cli.order import LIST_COLUMNS, NUMBERS, ROWS, list_row
from apps.cli.trouble import Unreachable, WrongUsage

SERVICE: Final = "sink-alt"
LIMIT_MAX: Final = 500
QUERY_TIMEOUT_S: Final = 30.0
NUMBER_TYPES: Final = ("Int", "UInt", "Decimal", "Float", "Nullable(Int", "Nullable(UInt", "Nullable(Decimal", "Nullable(Float")


def search(
    words: Annotated[list[str], typer.Argument(metavar="WORDS", help="Words that an order must have, or FIELD:VALUE.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=LIMIT_MAX, help="Maximum number of rows.")] = ROWS,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Find orders by account, symbol, status, reason, ids or words of their timeline: trade search "alice BTCUSDT price_collar"

    Every word must match. Fields: account, symbol, status, reason, source, side, type, venues, exec_ids, price, quantity, created_at.
    Also: price:>100, created_at:[2026-11-01 TO *], OR, NOT, "a phrase", and * at the end of a word.
    """
    with _service(data_dir, port_offset, "search", json) as api:
        answer = api.get("/search", q=" ".join(words), limit=limit)
    if json:
        return
    show.table("", LIST_COLUMNS, map(list_row, answer.rows("orders")), numbers=NUMBERS)
    found = answer.object()
    if not found.get("complete") or found.get("found", 0) > len(found["orders"]):
        more = "" if found.get("complete") else "at least "
        show.hint(f"{more}{found.get('found')} orders have these words; these are the newest. More: --limit N, at most {LIMIT_MAX}")


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT.")],
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Ask the analytic tables in SQL: trade query "SELECT account, count() FROM orders GROUP BY account"

    Tables: order_events, orders, fills, controls, market_facts, quotes_1s, pnl_daily. One SELECT; nothing can be changed.
    """
    if not sql.strip():
        raise WrongUsage("The query is empty.", 'Example: trade query "SELECT count() FROM orders"')
    with _service(data_dir, port_offset, "analytics", json) as api:
        answer = api.post("/query", {"sql": sql})
    if json:
        return
    columns: Sequence[Mapping[str, Any]] = answer.rows("columns")
    names = [show.text(column.get("name")) for column in columns]
    numbers = [name for name, column in zip(names, columns, strict=True) if str(column.get("type")).startswith(NUMBER_TYPES)]
    show.table("", names, answer.object()["rows"], numbers=numbers)


def _service(data_dir: Path | None, port_offset: int | None, part: str, json: bool) -> Oms:
    """Return the client of sink-alt. Unreachable, naming the part, if the stack runs without it."""
    addresses: Addresses = find(data_dir, port_offset)
    if SERVICE not in addresses.urls:
        raise Unreachable(f"This stack runs without {part}.", f"Start it with: trade up --with {part}")
    return Oms(addresses, SERVICE, raw=json, answer_timeout_s=QUERY_TIMEOUT_S)
