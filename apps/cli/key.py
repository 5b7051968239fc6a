"""`trade key`: make, revoke, rotate and list the keys that programs and people use."""

import getpass
import ipaddress
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from apps.cli import key_files, show
from apps.cli.acknowledgements import acknowledgements, check_acknowledged, report_unacknowledged
from apps.cli.addresses import find
from apps.cli.client import Oms, to_stderr
from apps.cli.options import DataDir, Json, PortOffset, duration_s, identifier
from apps.cli.trouble import Refused, WrongUsage
from apps.http.credentials import KEY_ID
from domain.access.scopes import EVERY_ACCOUNT, AccessScope, against

COLUMNS: Final = ("key_id", "owner", "account", "scopes", "state", "expires_at", "rate", "burst", "last_used_at", "note")
NUMBERS: Final = ("rate", "burst")
FIND: Final = "Find it: trade key list"
GRACE: Final = "10m"
GRACE_MAX_S: Final = 86_400
EXAMPLE: Final = "Example: trade key create --account alice --scopes trade,read"
SCOPES: Final = ", ".join(AccessScope)
LOST: Final = "{} is made, and its secret is lost. Make another one: trade key rotate {} --out FILE"

app = typer.Typer(no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(metavar="KEY_ID")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", dir_okay=False, help="A new file for the key (mode 0600), in place of stdout."),
]
KeyReason = Annotated[str | None, typer.Option("--reason", help="The reason; it is recorded permanently.")]


@app.callback()
def key() -> None:
    """Keys: each has an owner, an account and scopes. A secret is shown once, when it is made."""


@app.command()
def create(
    account: Annotated[str, typer.Option("--account", "-a", metavar="ACCOUNT", help="Its account, opened if it is not; * for all.")],
    scopes: Annotated[str, typer.Option(metavar="SCOPE,...", help=f"{SCOPES}; admin is never together with trade or cancel.")],
    owner: Annotated[str, typer.Option(help="The person or program that owns it. By default the current user.")] = "",
    expires_in: Annotated[str | None, typer.Option(metavar="TIME", help="For example 30d, 12h, 90s. By default never.")] = None,
    network: Annotated[list[str] | None, typer.Option(metavar="CIDR", help="May only be used from here. Can be repeated.")] = None,
    rate: Annotated[int | None, typer.Option(min=1, metavar="N", help="Requests a second.")] = None,
    burst: Annotated[int | None, typer.Option(min=1, metavar="N", help="Requests at once.")] = None,
    note: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    public_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The key signs its requests; this is its Ed25519 public key. There is no secret.")
    ] = None,
    reason: KeyReason = None,
    token: Annotated[str | None, typer.Option(help="The token of an admin key that another owner requested: confirm it.")] = None,
    out: Out = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Make a key and print it, once: KEY=$(trade key create --account alice --scopes trade,read)

    What is printed is KEY_ID.SECRET, as TRADE_KEY and `Authorization: Bearer` take it; details go to stderr. With --out it is in a file,
    as TRADE_KEY_FILE takes it.
    """
    optional = {
        "expires_in_sec": duration_s(expires_in, "--expires-in") if expires_in is not None else None,
        "networks": _networks(network) if network else None,
        "rate": rate,
        "burst": burst,
        "note": note,
        "public_key": key_files.public_key(public_key) if public_key is not None else None,
        "reason": reason,
        "token": token,
    }
    body: dict[str, object] = {
        "account": account if account == EVERY_ACCOUNT else identifier(account, "an account"),
        "scopes": _scopes(scopes, account),
        "owner": identifier(owner or getpass.getuser(), "an owner"),
        **{name: value for name, value in optional.items() if value is not None},
    }
    with _destination(out, json) as file:
        with Oms(find(data_dir, port_offset), "risk", raw=json) as risk:
            answer = risk.post("/access/keys", body)
        if json:
            return
        reply = answer.object()
        if "token" in reply:
            show.line(f"Requested; no key is made yet. Another owner of an admin key must confirm it before {reply.get('expires_at')}:")
            show.line(f"the same command, with --owner {body['owner']} --token {reply.get('token')}")
            return
        _hand_over(reply, file)
    _describe(reply, out)
    report_unacknowledged(answer)


def _destination(out: Path | None, json: bool) -> AbstractContextManager[key_files.NewFile | None]:
    """Return the new file, created before anything is sent; None for stdout."""
    if out is not None and json:
        raise WrongUsage("--json prints the secret, which --out keeps from stdout.", "Use one of them.")
    return nullcontext() if out is None else key_files.NewFile(out)


def _hand_over(reply: Mapping[str, Any], file: key_files.NewFile | None) -> None:
    """Print the key to stdout, alone, so that a variable can take it; or write it to its file."""
    key_id = str(reply.get("key_id"))
    line = f"{key_id}.{reply['secret']}" if "secret" in reply else key_id
    if file is None:
        show.line(line)
    else:
        file.write(f"{line}\n".encode(), LOST.format(key_id, key_id) if "secret" in reply else f"{key_id} is made. {FIND}")


def _describe(reply: Mapping[str, Any], out: Path | None) -> None:
    """Report everything about a new key on stderr, without its secret."""
    told = f"{reply.get('key_id')}: account {reply.get('account')}, owner {reply.get('owner')}, scopes {_joined(reply.get('scopes'))}, "
    to_stderr(show.clean(told + (f"until {reply['expires_at']}." if reply.get("expires_at") else "without an end.")))
    if "secret" not in reply:
        to_stderr("It signs its requests. Use it: TRADE_KEY=KEY_ID TRADE_PRIVATE_KEY=FILE trade ...")
    elif out is None:
        to_stderr("Its secret is shown only now. Use it: TRADE_KEY=KEY_ID.SECRET trade ...")
    else:
        to_stderr(f"Its secret is only in {out}. Use it: TRADE_KEY_FILE={out} trade ...")


@app.command()
def revoke(
    key_id: KeyId,
    reason: KeyReason = None,
    cancel_orders: Annotated[bool, typer.Option("--cancel-orders", help="Cancel the open orders of its account as well.")] = False,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """End a key now and for good, with its sessions and streams. Orders stay, unless --cancel-orders.

    Exit code 0 if every service has acknowledged it, 3 if it is revoked durably but one has not.
    """
    body = ({"reason": reason} if reason else {}) | ({"cancel_orders": True} if cancel_orders else {})
    with Oms(find(data_dir, port_offset), "risk", raw=json) as risk:
        answer = risk.post(f"/access/keys/{_key_id(key_id)}/revoke", body)
    if not json:
        show.line(f"Revoked: {key_id}. {acknowledgements(answer.object())}".rstrip())
    check_acknowledged(answer, f"{key_id} is revoked")


@app.command()
def rotate(
    key_id: KeyId,
    grace: Annotated[str, typer.Option(metavar="TIME", help="How long the old secret is good: 0s to 24h.")] = GRACE,
    reason: KeyReason = None,
    out: Out = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Make a new secret for a key and print it, once; the old one is good for a while."""
    seconds = duration_s(grace, "--grace", least=0)
    if seconds > GRACE_MAX_S:
        raise WrongUsage(f"--grace {grace!r} is more than 24h.", "A secret that leaked must end sooner: trade key revoke KEY_ID")
    body = {"grace_sec": seconds} | ({"reason": reason} if reason else {})
    path = f"/access/keys/{_key_id(key_id)}/rotate"
    with _destination(out, json) as file:
        with Oms(find(data_dir, port_offset), "risk", raw=json) as risk:
            answer = risk.post(path, body)
        if json:
            return
        reply = answer.object()
        _hand_over(reply, file)
    place = "shown only now" if out is None else f"only in {out}"
    to_stderr(show.clean(f"{key_id} has a new secret, {place}. The old one is good until {reply.get('old_secret_until')}."))
    report_unacknowledged(answer)


@app.command("list")
def list_(
    account: Annotated[str | None, typer.Option("--account", "-a", help="Only keys of this account.")] = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """List keys with their state and last use, never their secrets."""
    with Oms(find(data_dir, port_offset), "risk", raw=json) as risk:
        answer = risk.get("/access/keys", account=account)
    if not json:
        show.table("", COLUMNS, ([_cell(each.get(name)) for name in COLUMNS] for each in answer.rows("keys")), numbers=NUMBERS)


@app.command("show")
def show_(key_id: KeyId, json: Json = False, data_dir: DataDir = None, port_offset: PortOffset = None) -> None:
    """Show one key."""
    with Oms(find(data_dir, port_offset), "risk", raw=json) as risk:
        answer = risk.get(f"/access/keys/{_key_id(key_id)}")
    if not json:
        show.card((name, _cell(value)) for name, value in answer.object().items())


@app.command()
def limit(
    key_id: KeyId,
    rate: Annotated[int, typer.Option(min=1, metavar="N", help="Requests a second.")],
    burst: Annotated[int, typer.Option(min=1, metavar="N", help="Requests at once.")],
    reason: KeyReason = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Change how many requests a key may make. Cancels have limits of their own, which stay."""
    body: dict[str, object] = {"rate": rate, "burst": burst} | ({"reason": reason} if reason else {})
    with Oms(find(data_dir, port_offset), "risk", raw=json) as risk:
        answer = risk.post(f"/access/keys/{_key_id(key_id)}/limit", body)
    if not json:
        show.card((name, _cell(value)) for name, value in answer.object().items() if name in COLUMNS)
    check_acknowledged(answer, f"The limits of {key_id} are set")


@app.command("end-sessions")
def end_sessions(
    key_id: KeyId, reason: KeyReason = None, json: Json = False, data_dir: DataDir = None, port_offset: PortOffset = None
) -> None:
    """End all sessions of a key. The key itself stays good.

    Exit code 0 if every service has acknowledged it, 3 if it is durable but one has not.
    """
    with Oms(find(data_dir, port_offset), "risk", raw=json) as risk:
        answer = risk.post(f"/access/keys/{_key_id(key_id)}/end-sessions", {"reason": reason} if reason else {})
    if not json:
        show.line(f"Sessions ended: {key_id}. {acknowledgements(answer.object())}".rstrip())
    check_acknowledged(answer, f"The sessions of {key_id} are ended")


@app.command()
def generate(
    file: Annotated[Path, typer.Option("--out", metavar="FILE", dir_okay=False, help="A new file for the private key (PEM, mode 0600).")],
) -> None:
    """Make an Ed25519 key pair on this machine and print the public key, for `trade key create --public-key`."""
    show.line(key_files.new_private_key(file))
    show.hint(f"The private key is in {file}; it is never sent. The line above goes into a file for --public-key.")


def _scopes(text: str, account: str) -> list[str]:
    """Return the scopes of a list with commas. Refused for an unknown one and for those that no key has together."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in tuple(AccessScope)]:
        raise Refused(f"{unknown[0]!r} is not a scope.", f"The scopes are {SCOPES}.")
    scopes = list(dict.fromkeys(AccessScope(name) for name in names))
    if reason := against(scopes, account):
        raise Refused(f"Such a key is not made: {reason}.", EXAMPLE)
    return [str(scope) for scope in scopes]


def _networks(networks: list[str]) -> list[str]:
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise WrongUsage(f"--network: {error}.", "Examples: 10.1.0.0/16, 192.0.2.7 and 2001:db8::/32") from error
    return networks


def _key_id(value: str) -> str:
    if not KEY_ID.fullmatch(value):
        shown = value.partition(".")[0]  # what follows a dot may be a secret
        raise WrongUsage(f"{shown!r}{' with a secret' * (shown != value)} is not a key id, which is PK and 18 of A-Z 2-7.", FIND)
    return value


def _cell(value: object) -> object:
    return _joined(value) if isinstance(value, list) else value


def _joined(values: object) -> str:
    return ", ".join(map(str, values)) if isinstance(values, list) else ""
