"""`trade algo`: submit, show, list, pause, resume and cancel parents that work a quantity over time, and report on them."""

import json as jsonlib
import secrets
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

import typer

from adapters.clock import SystemClock
from apps.cli import show, story
from apps.cli.addresses import find
from apps.cli.client import Oms, Reply, to_stderr
from apps.cli.json_file import object_of
from apps.cli.options import Cursor, DataDir, Everything, Json, PortOffset, RowsLimit, duration_s, identifier
from apps.cli.order import NUMBERS, RETRY_FOR_MAX_S, RETRY_FOR_S, ROWS
from apps.cli.paging import pages, tell_more
from apps.cli.trouble import Refused, WrongUsage
from domain.values import rfc3339

app = typer.Typer(no_args_is_help=True)

EXAMPLE: Final = "trade algo submit twap.json; docs/algos.md has an example of each strategy"
SECOND: Final = 1_000_000_000
AlgoId = Annotated[str, typer.Argument(metavar="ALGO_ID")]
LIST_COLUMNS: Final = ("algo_id", "created", "account", "strategy", "side", "quantity", "symbol", "status", "filled", "average")
SLICE_COLUMNS: Final = ("n", "due", "target", "quantity", "price", "status", "filled", "average", "order_id")
VENUE_COLUMNS: Final = ("venue", "trades", "quantity", "average", "fees", "maker %", "bps to arrival")
FIGURES: Final = (*NUMBERS, "n", "target", "fees", "trades", "maker %", "bps to arrival")


@app.command()
def submit(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The algo as JSON; - reads it from stdin.")],
    lasts: Annotated[str | None, typer.Option("--for", metavar="DURATION", help="In place of end_at: 90s, 10m, 2h from now on.")] = None,
    client_algo_id: Annotated[str | None, typer.Option(help="Your idempotency key, in place of the one in the file.")] = None,
    retry_for: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, max=RETRY_FOR_MAX_S, help="How long to retry while oms is unavailable or overloaded.")
    ] = RETRY_FOR_S,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Submit an algo: a quantity that is worked over time with child orders.

    Exit code 0 if it was accepted, 1 if it was refused. If a response is lost, the same algo is sent again and stays one.
    """
    asked = object_of(file, "an algo", EXAMPLE)
    if lasts is not None:
        if asked.get("end_at") is not None:
            raise WrongUsage("The file has an end_at: leave it out, or leave out --for.", EXAMPLE)
        asked["end_at"] = rfc3339(SystemClock().now_ns() + duration_s(lasts, "--for") * SECOND)
    if client_algo_id is not None:
        asked["client_algo_id"] = identifier(client_algo_id, "a client_algo_id")
    name = str(asked.setdefault("client_algo_id", f"cli-{secrets.token_hex(12)}"))
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        answer = oms.submit_algo(jsonlib.dumps(asked).encode(), name, retry_for, to_stderr).object()
    algo_id = show.text(answer.get("algo_id"))
    if answer.get("status") == "rejected":
        raise Refused(f"Rejected: {story.denial(answer)}.", f"It is recorded: trade algo show {algo_id}")
    if not json:
        show.card((field, answer.get(field)) for field in ("status", "algo_id", "client_algo_id", "seed", "slices", "seq", "replayed"))
        show.hint(f"Follow it: trade algo show {algo_id}")


@app.command("show")
def show_(
    algo_id: AlgoId,
    slices: Annotated[bool, typer.Option("--slices", help="Show every slice and its child as well.")] = False,
    events: Annotated[bool, typer.Option("--events", help="Show every event of the algo as well.")] = False,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Show one algo: what is done, and what should be done by now."""
    path = f"/algos/{identifier(algo_id, 'an algo id')}"
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        answer = oms.get(path)
        sliced = pages(oms, f"{path}/slices", "slices", {}, None, None)[0] if slices else None
        told = pages(oms, f"{path}/events", "events", {}, None, None)[0] if events else None
    if json:
        return
    _print_algo(answer)
    if sliced is not None:
        show.table("", SLICE_COLUMNS, map(_slice_row, sliced), numbers=FIGURES)
    if told is not None:
        rows = (story.row(event) for event in told)
        show.table("", story.COLUMNS, ((seq, show.clock(at), *rest) for seq, at, *rest in rows), numbers=NUMBERS)


def _print_algo(answer: Reply) -> None:
    found = answer.object()
    show.card(_scalars(found.items()))
    params = found.get("params")
    if isinstance(params, Mapping):
        show.card((f"params.{name}", value) for name, value in _scalars(params.items()))
    show.card([("flags", ", ".join(map(str, found.get("flags") or ())) or "none")])


def _scalars(items: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Any]]:
    return ((name, value) for name, value in items if not isinstance(value, list | dict))


def _slice_row(found: Mapping[str, Any]) -> tuple[object, ...]:
    quantity, price, child = found.get("quantity"), found.get("price"), found.get("order_id")
    status = found.get("status") or found.get("reason")
    return (
        found.get("n"),
        show.clock(found.get("due_at")),
        found.get("target"),
        quantity,
        price,
        status,
        found.get("cum_quantity"),
        found.get("average_price"),
        child,
    )


@app.command("list")
def list_(
    account: Annotated[str | None, typer.Option("--account", "-a", help="Only this account.")] = None,
    status: Annotated[str | None, typer.Option(help="One state, or open or closed.")] = None,
    limit: RowsLimit = ROWS,
    everything: Everything = False,
    cursor: Cursor = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """List algos by the time they were created, newest first. With --json, each page is one line."""
    filters = {"account": account, "status": status}
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        rows, cursor = pages(oms, "/algos", "algos", filters, None if everything else limit, cursor)
    if not json:
        show.table("", LIST_COLUMNS, map(_list_row, rows), numbers=NUMBERS)
        tell_more(cursor)


def _list_row(found: Mapping[str, Any]) -> tuple[object, ...]:
    names = ("account", "strategy", "side", "quantity", "symbol", "status", "cum_quantity", "average_price")
    return found.get("algo_id"), show.day_and_clock(found.get("created_at")), *(found.get(name) for name in names)


@app.command()
def pause(
    algo_id: AlgoId,
    reason: Annotated[str, typer.Option(help="The reason; it is recorded permanently.")] = "",
    keep_child: Annotated[bool, typer.Option("--keep-child", help="Do not cancel the open child.")] = False,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Pause an algo: no slice follows, and its open child is cancelled. Repeating the command is safe."""
    asked: dict[str, object] = {"reason": reason} | ({"keep_child": True} if keep_child else {})
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        answer = oms.post(f"/algos/{identifier(algo_id, 'an algo id')}/pause", asked)
    if not json:
        _print_algo(answer)


@app.command()
def resume(
    algo_id: AlgoId,
    reason: Annotated[str, typer.Option(help="The reason; it is recorded permanently.")] = "",
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Resume a paused algo. What it is behind is made up for by its rule. Repeating the command is safe."""
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        answer = oms.post(f"/algos/{identifier(algo_id, 'an algo id')}/resume", {"reason": reason})
    if not json:
        _print_algo(answer)


@app.command()
def cancel(algo_id: AlgoId, json: Json = False, data_dir: DataDir = None, port_offset: PortOffset = None) -> None:
    """Cancel an algo and its open child. What has traded stays. Repeating the command is safe."""
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        answer = oms.delete(f"/algos/{identifier(algo_id, 'an algo id')}")
    if not json:
        _print_algo(answer)
    if answer.status == 202:
        show.hint(f"Its last child may still trade: trade algo show {algo_id}")


@app.command()
def report(algo_id: AlgoId, json: Json = False, data_dir: DataDir = None, port_offset: PortOffset = None) -> None:
    """Report how well an algo was worked: its price against the arrival and the time's average, fees, shares and delays."""
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        found = oms.get(f"/algos/{identifier(algo_id, 'an algo id')}/report").object()
    if json:
        return
    show.card(_scalars(found.items()))
    for name in ("to_arrival", "to_twap", "without_child"):
        nested = found.get(name)
        if isinstance(nested, Mapping):
            show.card((f"{name}.{key}", value) for key, value in nested.items())
    venues = found.get("venues")
    show.table("", VENUE_COLUMNS, map(_venue_row, venues if isinstance(venues, list) else ()), numbers=FIGURES)


def _venue_row(share: Mapping[str, Any]) -> tuple[object, ...]:
    names = ("venue", "trades", "quantity", "average_price", "fees", "maker_pct")
    slippage = share.get("to_arrival")
    return *(share.get(name) for name in names), slippage.get("bps") if isinstance(slippage, Mapping) else None
