"""`trade whoami` and `trade access`: who a request comes from, and what happened to keys and accounts."""

from typing import Annotated, Any

import typer

from apps.cli import show
from apps.cli.addresses import find
from apps.cli.client import Oms
from apps.cli.options import DataDir, Json, PortOffset, Since

app = typer.Typer(no_args_is_help=True)

LOG_COLUMNS = ("at", "type", "who", "key_id", "account", "code", "address", "service", "what")


def whoami(json: Json = False, data_dir: DataDir = None, port_offset: PortOffset = None) -> None:
    """Show the owner, account, scopes, expiry and rate left of the key that this command sends; `local` without a key."""
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        reply = oms.get("/access/me").object()
    if json:
        return
    rate = reply.get("rate")
    limits = {f"rate_{name}": value for name, value in rate.items()} if isinstance(rate, dict) else {}
    shown = {name: value for name, value in reply.items() if name != "rate"} | limits
    show.card((name, ", ".join(map(str, value)) if isinstance(value, list) else value) for name, value in shown.items())


@app.callback()
def access() -> None:
    """Access to the system: what happened to keys and accounts, and what was refused."""


@app.command()
def log(
    key: Annotated[str | None, typer.Option("--key", metavar="KEY_ID", help="Only about this key.")] = None,
    since: Since = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Maximum number of rows.")] = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """List changes of keys and accounts, first uses from new addresses, and refused requests, newest first.

    Refused requests are kept in memory only: the newest ones since the services started.
    """
    with Oms(find(data_dir, port_offset), "risk", raw=json) as risk:
        answer = risk.get("/access/log", key=key, since=since, limit=limit)
    if not json:
        show.table("", LOG_COLUMNS, map(_log_row, answer.rows("log")))


def _log_row(entry: dict[str, Any]) -> tuple[object, ...]:
    return show.day_and_clock(entry.get("at")), *(entry.get(name) for name in LOG_COLUMNS[1:-1]), entry.get("reason")
