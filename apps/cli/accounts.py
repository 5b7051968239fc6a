"""`trade account`: open accounts, close them, and list them."""

from typing import Annotated

import typer

from apps.cli import show
from apps.cli.acknowledgements import acknowledgements, check_acknowledged
from apps.cli.addresses import find
from apps.cli.client import Oms
from apps.cli.options import Account, DataDir, Json, PortOffset, Reason, identifier

app = typer.Typer(no_args_is_help=True)

AccountReason = Annotated[str | None, typer.Option("--reason", help="The reason; it is recorded permanently.")]


@app.callback()
def accounts() -> None:
    """Accounts of the system. Where every request needs a key, only an open account may trade."""


@app.command()
def create(
    account: Account, reason: AccountReason = None, json: Json = False, data_dir: DataDir = None, port_offset: PortOffset = None
) -> None:
    """Open an account, or open a closed one again. `trade key create` opens the account of its key by itself."""
    body = {"account": identifier(account, "an account")} | ({"reason": reason} if reason else {})
    with Oms(find(data_dir, port_offset), "risk", raw=json) as risk:
        answer = risk.post("/access/accounts", body)
    if not json:
        show.line(f"Open: {account}. {acknowledgements(answer.object())}".rstrip())
    check_acknowledged(answer, f"{account} is open")


@app.command()
def close(
    account: Account, reason: AccountReason = None, json: Json = False, data_dir: DataDir = None, port_offset: PortOffset = None
) -> None:
    """Close an account: it takes cancels only. Its open orders stay; its keys stay and may read.

    Exit code 0 if every service has acknowledged it, 3 if it is durable but one has not.
    """
    path = f"/access/accounts/{identifier(account, 'an account')}/close"
    with Oms(find(data_dir, port_offset), "risk", raw=json) as risk:
        answer = risk.post(path, {"reason": reason} if reason else {})
    if not json:
        show.line(f"Closed: {account}. {acknowledgements(answer.object())}".rstrip())
        show.hint(f"Its open orders stay; cancel them: trade order cancel --account {account}")
    check_acknowledged(answer, f"{account} is closed")


@app.command()
def suspend(account: Account, reason: Reason, json: Json = False, data_dir: DataDir = None, port_offset: PortOffset = None) -> None:
    """Refuse new orders of your own account, until `trade account resume`. Its open orders work on and can be cancelled.

    Exit code 0 if every service has acknowledged it, 3 if it is durable but one has not.
    """
    path = f"/risk/accounts/{identifier(account, 'an account')}/suspend"
    with Oms(find(data_dir, port_offset), "risk", raw=json) as risk:
        answer = risk.post(path, {"reason": reason})
    if not json:
        show.line(f"Suspended: {account}. {acknowledgements(answer.object())}".rstrip())
    check_acknowledged(answer, f"{account} is suspended")


@app.command()
def resume(account: Account, reason: Reason, json: Json = False, data_dir: DataDir = None, port_offset: PortOffset = None) -> None:
    """Accept orders of your own account again, after `trade account suspend`."""
    with Oms(find(data_dir, port_offset), "risk", raw=json) as risk:
        risk.post(f"/risk/accounts/{identifier(account, 'an account')}/resume", {"reason": reason})
    if not json:
        show.line(f"Resumed: {account}.")


@app.command("list")
def list_(json: Json = False, data_dir: DataDir = None, port_offset: PortOffset = None) -> None:
    """List accounts that were opened: whether they are open, and how many live keys they have."""
    with Oms(find(data_dir, port_offset), "risk", raw=json) as risk:
        answer = risk.get("/access/accounts")
    if not json:
        rows = [(each.get("account"), each.get("open"), each.get("keys")) for each in answer.rows("accounts")]
        show.table("", ("account", "open", "keys"), rows, numbers=("keys",))
