"""`trade kill` and `trade arm`: stop sending for a scope, and let it pass again in two steps."""

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from adapters.clock import SystemClock
from adapters.local_kills import DIRECTORY, LocalKill, LocalKills
from apps.cli import show
from apps.cli.addresses import Addresses, find
from apps.cli.client import Oms, Reply
from apps.cli.options import DataDir, Json, PortOffset, Reason, Who, identifier
from apps.cli.trouble import Refused, Unreachable, WrongUsage
from domain.ports import Unavailable
from domain.risk.controls import ALL, words_of_kill
from domain.values import IDENTIFIER, SYMBOL

AT_EXEQ: Final = "Throw it at exeq itself, which needs nobody else: trade kill {scope} --local"
KINDS: Final = {"account": IDENTIFIER, "symbol": SYMBOL, "venue": IDENTIFIER}

Scope = Annotated[str, typer.Argument(metavar="SCOPE", help="all, account:A, symbol:S or venue:V.")]


def kill(
    scope: Scope,
    reason: Reason,
    who: Who = "",
    local: Annotated[bool, typer.Option("--local", help="At exeq itself, when risk, oms or NATS cannot be reached.")] = False,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Throw the kill switch: no new order of the scope, nothing sent, and what is open is cancelled. It stays thrown until it is armed.

    Exit code 0 when nothing of the scope is sent any more, 3 when it is thrown and somebody who sends did not say that he knows.
    """
    addresses = find(data_dir, port_offset)
    reason, who = words_of_kill(reason, who or getpass.getuser())
    body = {"scope": _scope(scope), "reason": reason, "who": who}
    answer = _thrown_locally(addresses, body, raw=json) if local else _thrown(addresses, body, raw=json)
    if answer is None:
        return
    if not json:
        show.line(f"Killed: {scope}. {_obedience(answer.object())}")
        show.hint(f"To let it pass again: trade arm {scope} --reason ... (two people)")
    if answer.status == 202:
        raise Unreachable(f"{scope} is killed for good, but not everybody who sends said that he knows.", AT_EXEQ.format(scope=scope))


def _thrown(addresses: Addresses, body: Mapping[str, str], *, raw: bool) -> Reply:
    try:
        with Oms(addresses["risk"], service="risk", raw=raw) as risk:
            return risk.post("/risk/kill", body)
    except Unreachable as trouble:
        raise Unreachable(str(trouble).partition("\n")[0], AT_EXEQ.format(scope=body["scope"])) from trouble


def _thrown_locally(addresses: Addresses, body: Mapping[str, str], *, raw: bool) -> Reply | None:
    """By exeq's door; when there is nobody, by a file that it reads within a second, or before it sends anything."""
    try:
        with Oms(addresses["exeq"], service="exeq", raw=raw) as exeq:
            return exeq.post("/kill", body)
    except Unreachable as trouble:
        if addresses.data_dir is None:
            raise Unreachable(str(trouble).partition("\n")[0], "Say where its files are (--data-dir), or stop the process.") from trouble
        _by_file(addresses.data_dir, body)
        return None


def _by_file(data_dir: Path, body: Mapping[str, str]) -> None:
    try:
        kills = LocalKills(data_dir / DIRECTORY)
        kills.prepare()
        kills.keep(LocalKill(**body, at=SystemClock().now_ns()))  # type: ignore[arg-type]
    except Unavailable as error:
        raise Refused(f"{error}.", "Stop exeq: it sends, and nobody can tell it not to.") from error
    show.line(f"Killed: {body['scope']}, by a file. exeq does not answer; it reads the file within a second, or before it sends anything.")


def arm(
    scope: Scope,
    reason: Reason,
    who: Who = "",
    token: Annotated[str | None, typer.Option(help="What the first step answered. Without it, this is the first step.")] = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Let a killed scope pass again: one person asks and gets a token, another one confirms with it within ten minutes."""
    signed = {"scope": _scope(scope), "reason": reason, "who": identifier(who or getpass.getuser(), "a name")}
    body = signed | ({"token": token} if token is not None else {})
    with Oms(find(data_dir, port_offset)["risk"], service="risk", raw=json) as risk:
        answer = risk.post("/risk/arm", body)
    if json:
        return
    said = answer.object()
    if token is not None:
        show.line(f"Armed: orders of {scope} may pass again.")
        return
    show.line(f"Asked to arm {scope}; it stays killed. Somebody else confirms it before {said.get('expires_at')}:")
    show.line(f"trade arm {scope} --token {said.get('token')} --reason ... --who ...")


def _scope(scope: str) -> str:
    """WrongUsage before anything is sent, for what can be seen from here."""
    kind, _, name = scope.partition(":")
    if scope != ALL and not (kind in KINDS and KINDS[kind].fullmatch(name)):
        raise WrongUsage(f"{scope!r} is no scope.", "It is all, account:A, symbol:S or venue:V.")
    return scope


def _obedience(said: Mapping[str, Any]) -> str:
    obeyed = said.get("acknowledged", said.get("obeyed"))
    words = {"yes": "obeys", "absent": "is not there, and sends nothing", "unknown": "did not say that it knows"}
    return ", ".join(f"{name} {words.get(str(how), how)}" for name, how in obeyed.items()) + "." if isinstance(obeyed, dict) else ""
