"""`trade positions`, `trade fills` and `trade equity`: what an account holds, the trades it came from, and what it was worth."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import typer

from apps.cli import show
from apps.cli.addresses import find
from apps.cli.client import ANSWER_TIMEOUT_S, Oms, not_ours
from apps.cli.options import Account, AtSeq, Cursor, DataDir, Everything, Json, OnlySymbol, PortOffset, RowsLimit, Since, Until, identifier
from apps.cli.paging import pages, tell_more
from apps.cli.trouble import WrongUsage

ROWS: Final = 50
PAST_TIMEOUT_S: Final = 25.0
"""Longer than oms's own limit for a point-in-time query."""
POSITION_NUMBERS: Final = ("quantity", "average_price", "last_price", "realised_pnl", "unrealised_pnl", "fees")
POSITION_FIELDS: Final = (*POSITION_NUMBERS, "currency")
AMOUNTS: Final = ("equity", "cash", "long", "short")
FILL_COLUMNS: Final = (
    "timestamp",
    "symbol",
    "side",
    "quantity",
    "price",
    "fee",
    "currency",
    "liquidity",
    "venue",
    "exec_id",
    "order_id",
    "seq",
)


def positions(
    account: Account,
    min_seq: Annotated[int | None, typer.Option(min=0, help="Wait up to 2 s until the projection has reached this sequence.")] = None,
    at_seq: AtSeq = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Show an account's positions by symbol; with --at-seq, the past ones, marked at the last fill's price."""
    if min_seq and at_seq:
        raise WrongUsage("--min-seq reads the present and --at-seq the past.", "Use only one of them.")
    with Oms(find(data_dir, port_offset), raw=json, answer_timeout_s=PAST_TIMEOUT_S if at_seq else ANSWER_TIMEOUT_S) as oms:
        answer = oms.get(f"/positions/{identifier(account, 'an account')}", min_seq=min_seq, at_seq=at_seq)
    if json:
        return
    held = answer.object()
    as_of = answer.headers.get("as-of-seq")
    show.table(f"as of sequence {as_of}" if as_of else "", ("symbol", *POSITION_FIELDS), _rows(held, answer.body), numbers=POSITION_NUMBERS)


def _rows(held: Mapping[str, Any], body: bytes) -> list[tuple[object, ...]]:
    if not all(isinstance(position, dict) for position in held.values()):
        not_ours(body)
    return [(symbol, *(position.get(name) for name in POSITION_FIELDS)) for symbol, position in held.items()]


def fills(
    account: Account,
    symbol: OnlySymbol = None,
    since: Since = None,
    until: Until = None,
    limit: RowsLimit = ROWS,
    everything: Everything = False,
    cursor: Cursor = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """List the trades of an account, newest first. With --json, each page is one line."""
    path, filters = f"/fills/{identifier(account, 'an account')}", {"symbol": symbol, "since": since, "until": until}
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        rows, cursor = pages(oms, path, "fills", filters, None if everything else limit, cursor)
    if not json:
        show.table("", FILL_COLUMNS, (_fill_row(row) for row in rows), numbers=("quantity", "price", "fee", "seq"))
        tell_more(cursor)


def equity(
    account: Account,
    interval: Annotated[Literal["1m", "5m", "15m", "1h", "1d"], typer.Option(help="Each interval shows its last sample.")] = "1m",
    since: Since = None,
    until: Until = None,
    limit: RowsLimit = ROWS,
    everything: Everything = False,
    cursor: Cursor = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """List what an account was worth, newest first, in USD. With --json, each page is one line."""
    path, filters = f"/equity/{identifier(account, 'an account')}", {"interval": interval, "since": since, "until": until}
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        rows, cursor = pages(oms, path, "samples", filters, None if everything else limit, cursor)
    if not json:
        show.table("", ("timestamp", *AMOUNTS), (_equity_row(row) for row in rows), numbers=AMOUNTS)
        tell_more(cursor)


def _equity_row(row: Mapping[str, Any]) -> tuple[object, ...]:
    return show.day_and_clock(row.get("timestamp")), *(row.get(name) for name in AMOUNTS)


def _fill_row(row: Mapping[str, Any]) -> tuple[object, ...]:
    return show.day_and_clock(row.get("timestamp")), *(row.get(name) for name in FILL_COLUMNS[1:])
