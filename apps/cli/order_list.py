"""`trade list`: submit, show, list and cancel lists of orders that belong together."""

import json as jsonlib
import secrets
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from apps.cli import show, story
from apps.cli.addresses import find
from apps.cli.client import Oms, to_stderr
from apps.cli.json_file import object_of
from apps.cli.options import Cursor, DataDir, Everything, Json, PortOffset, RowsLimit, identifier
from apps.cli.order import NUMBERS, RETRY_FOR_MAX_S, RETRY_FOR_S, ROWS
from apps.cli.paging import pages, tell_more
from apps.cli.trouble import Refused

app = typer.Typer(no_args_is_help=True)

EXAMPLE = "trade list submit bracket.json; docs/lists.md has an example of each type"
ListId = Annotated[str, typer.Argument(metavar="LIST_ID")]
ORDER_COLUMNS = ("role", "order_id", "side", "type", "quantity", "price", "stop", "status", "filled", "average")
LIST_COLUMNS = ("list_id", "created", "account", "type", "client_list_id", "status", "reason", "flags")


@app.command()
def submit(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The list as JSON; - reads it from stdin.")],
    client_list_id: Annotated[str | None, typer.Option(help="Your idempotency key, in place of the one in the file.")] = None,
    retry_for: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, max=RETRY_FOR_MAX_S, help="How long to retry while oms is unavailable or overloaded.")
    ] = RETRY_FOR_S,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Submit a list of orders: all of them are accepted, or none.

    Exit code 0 if it was accepted, 1 if it was refused. If a response is lost, the same list is sent again and stays one list.
    """
    asked = object_of(file, "a list", EXAMPLE)
    if client_list_id is not None:
        asked["client_list_id"] = identifier(client_list_id, "a client_list_id")
    name = str(asked.setdefault("client_list_id", f"cli-{secrets.token_hex(12)}"))
    body = jsonlib.dumps(asked).encode()
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        answer = oms.submit_list(body, name, retry_for, to_stderr).object()
    list_id = show.text(answer.get("list_id"))
    if answer.get("status") == "rejected":
        raise Refused(f"Rejected, order {answer.get('leg')}: {story.denial(answer)}.", f"It is recorded: trade list show {list_id}")
    if not json:
        show.card((field, answer.get(field)) for field in ("status", "list_id", "client_list_id", "seq", "replayed"))
        show.hint(f"Follow it: trade list show {list_id}")


@app.command("show")
def show_(
    list_id: ListId,
    events: Annotated[bool, typer.Option("--events", help="Show every event of the list and its orders as well.")] = False,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Show one list with its orders."""
    path = f"/order-lists/{identifier(list_id, 'a list id')}"
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        found = oms.get(path).object()
        timeline = oms.get(f"{path}/events") if events else None
    if json:
        return
    show.card((name, value) for name, value in found.items() if not isinstance(value, list | dict))
    show.card([("flags", ", ".join(map(str, found.get("flags", []))) or "none")])
    orders = found.get("orders")
    show.table("", ORDER_COLUMNS, map(_order_row, orders if isinstance(orders, list) else ()), numbers=NUMBERS)
    if timeline:
        rows = [(event.get("role"), *story.row(event)) for event in timeline.rows("events")]
        show.table("", ("role", *story.COLUMNS), ((role, seq, show.clock(at), *rest) for role, seq, at, *rest in rows), numbers=NUMBERS)


def _order_row(order: Mapping[str, Any]) -> tuple[object, ...]:
    names = ("role", "order_id", "side", "type", "quantity", "price", "stop_price", "status", "cum_quantity", "average_price")
    return tuple(order.get(name) for name in names)


@app.command("list")
def list_(
    account: Annotated[str | None, typer.Option("--account", "-a", help="Only this account.")] = None,
    status: Annotated[str | None, typer.Option(help="executing, cancelling, alert, done or rejected.")] = None,
    limit: RowsLimit = ROWS,
    everything: Everything = False,
    cursor: Cursor = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """List lists by the time they were created, newest first. With --json, each page is one line."""
    filters = {"account": account, "status": status}
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        rows, cursor = pages(oms, "/order-lists", "lists", filters, None if everything else limit, cursor)
    if not json:
        show.table("", LIST_COLUMNS, map(_list_row, rows), numbers=NUMBERS)
        tell_more(cursor)


def _list_row(found: Mapping[str, Any]) -> tuple[object, ...]:
    names = ("account", "type", "client_list_id", "status", "reason")
    flags = ", ".join(map(str, found.get("flags") or ()))
    return found.get("list_id"), show.day_and_clock(found.get("created_at")), *(found.get(name) for name in names), flags


@app.command()
def cancel(
    list_id: ListId,
    exits: Annotated[bool, typer.Option("--exits", help="Cancel the orders that protect a position as well.")] = False,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Cancel a list: its entry and its held orders. Repeating the command is safe."""
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        answer = oms.delete(f"/order-lists/{identifier(list_id, 'a list id')}", exits="cancel" if exits else None)
    if not json:
        found = answer.object()
        show.card((name, found.get(name)) for name in ("status", "reason", "list_id", "client_list_id", "seq"))
    if answer.status == 202:
        show.hint(f"Venues must answer, or exits protect a position: trade list show {list_id}")
