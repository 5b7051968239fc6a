"""`trade kill` and `trade arm`: set the kill switch of a scope, and clear it again in two steps."""

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from adapters.clock import SystemClock
from adapters.local_kills import DIRECTORY, LocalKill, LocalKills
from apps.cli import show
from apps.cli.acknowledgements import acknowledgements
from apps.cli.addresses import Addresses, find
from apps.cli.client import Oms, Reply, signature
from apps.cli.options import DataDir, Json, PortOffset, Reason, Who, identifier
from apps.cli.trouble import Refused, Unreachable, WrongUsage
from domain.ports import Unavailable
from domain.risk.controls import ALL, words_of_kill
from domain.values import IDENTIFIER, SYMBOL

AT_EXEQ: Final = "Set it at exeq directly, which needs no other service: trade kill {scope} --local"
ABSENT: Final = "is not running and sends nothing"
KINDS: Final = {"account": IDENTIFIER, "symbol": SYMBOL, "venue": IDENTIFIER}

Scope = Annotated[str, typer.Argument(metavar="SCOPE", help="all, account:A, symbol:S or venue:V.")]


def kill(
    scope: Scope,
    reason: Reason,
    who: Who = "",
    local: Annotated[bool, typer.Option("--local", help="Set it at exeq directly, if risk, oms or NATS cannot be reached.")] = False,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Set the kill switch: orders of the scope are refused, nothing is sent, open orders are cancelled. It stays set until `trade arm`.

    Exit code 0 if nothing of the scope is sent any more, 3 if the switch is set but a sending service has not acknowledged it.
    """
    addresses = find(data_dir, port_offset)
    reason, signed = words_of_kill(reason, who or getpass.getuser())
    body = {"scope": _scope(scope), "reason": reason, "who": signed}
    at = _kill_at_exeq if local else _kill_at_risk
    answer = at(addresses, body, named=bool(who), raw=json)
    if answer is None:
        return
    if not json:
        show.line(f"Killed: {scope}. {acknowledgements(answer.object(), ABSENT)}")
        show.hint(f"To allow it again: trade arm {scope} --reason ... (two people)")
    if answer.status == 202:
        raise Unreachable(f"{scope} is killed durably, but a sending service has not acknowledged it.", AT_EXEQ.format(scope=scope))


def _kill_at_risk(addresses: Addresses, body: Mapping[str, str], *, named: bool, raw: bool) -> Reply | None:
    try:
        with Oms(addresses, "risk", raw=raw) as risk:
            return risk.post("/risk/kill", _sent(addresses, "risk", body, named=named))
    except Unreachable as trouble:
        raise Unreachable(str(trouble).partition("\n")[0], AT_EXEQ.format(scope=body["scope"])) from trouble


def _kill_at_exeq(addresses: Addresses, body: Mapping[str, str], *, named: bool, raw: bool) -> Reply | None:
    """Use exeq's endpoint. If exeq does not answer, write a file, which exeq reads within a second or before it sends anything."""
    try:
        with Oms(addresses, "exeq", raw=raw) as exeq:
            return exeq.post("/kill", _sent(addresses, "exeq", body, named=named))
    except Unreachable as trouble:
        if addresses.data_dir is None:
            raise Unreachable(str(trouble).partition("\n")[0], "Name its data directory (--data-dir), or stop the process.") from trouble
        _by_file(addresses.data_dir, body)
        return None


def _sent(addresses: Addresses, service: str, body: Mapping[str, str], *, named: bool) -> Mapping[str, str]:
    """Return the body to send. A person who was not named is left out if a key is sent, because its owner signs then."""
    signs = named or signature(addresses, service, "")
    return body if signs else {name: value for name, value in body.items() if name != "who"}


def _by_file(data_dir: Path, body: Mapping[str, str]) -> None:
    try:
        kills = LocalKills(data_dir / DIRECTORY)
        kills.prepare()
        kills.keep(LocalKill(**body, at=SystemClock().now_ns()))  # type: ignore[arg-type]
    except Unavailable as error:
        raise Refused(f"{error}.", "Stop exeq: it sends orders, and the kill switch cannot reach it.") from error
    show.line(f"Killed: {body['scope']}, by file. exeq does not answer; it reads the file within a second, or before it sends anything.")


def arm(
    scope: Scope,
    reason: Reason,
    who: Who = "",
    token: Annotated[str | None, typer.Option(help="The token from the first step. Without it, this is the first step.")] = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Allow a killed scope again: one person requests it and gets a token, another person confirms with it within ten minutes."""
    addresses = find(data_dir, port_offset)
    signed = {name: identifier(value, "a name") for name, value in signature(addresses, "risk", who).items()}
    body = {"scope": _scope(scope), "reason": reason, **signed} | ({"token": token} if token is not None else {})
    with Oms(addresses, "risk", raw=json) as risk:
        answer = risk.post("/risk/arm", body)
    if json:
        return
    reply = answer.object()
    if token is not None:
        show.line(f"Armed: orders of {scope} are allowed again.")
        return
    show.line(f"Arming of {scope} requested; it stays killed. A second person must confirm before {reply.get('expires_at')}:")
    show.line(f"trade arm {scope} --token {reply.get('token')} --reason ...{' --who ...' * bool(signed)}")


def _scope(scope: str) -> str:
    """Check the form of a scope before anything is sent. WrongUsage."""
    kind, _, name = scope.partition(":")
    if scope != ALL and not (kind in KINDS and KINDS[kind].fullmatch(name)):
        raise WrongUsage(f"{scope!r} is not a scope.", "A scope is all, account:A, symbol:S or venue:V.")
    return scope
