"""`trade risk`: the controls in force, blocks of symbols, and the limits of accounts."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

import typer

from apps.cli import show
from apps.cli.addresses import Addresses, find
from apps.cli.client import Oms, signature
from apps.cli.options import DataDir, Json, PortOffset, Reason, Who, identifier, symbol_name
from apps.cli.trouble import Unreachable, WrongUsage
from domain.values import NUMBER_RULE, exact

NAMES_MAX: Final = 5
LIMITS: Final = (
    "max_order_size_usd",
    "max_order_size_shares",
    "max_position_size_usd",
    "max_concentration_pct",
    "max_portfolio_var_usd",
    "short_allowed",
)
FIXED: Final = ("initial_buying_power_usd", "margin_requirement_pct", "market_buffer_pct")
"""Limits that only the configuration sets."""

app = typer.Typer(no_args_is_help=True)
limits = typer.Typer(no_args_is_help=True)
app.add_typer(limits, name="limits", help="Show the limits in force, and set those of accounts.")

Symbol = Annotated[str, typer.Argument(metavar="SYMBOL")]
OfSymbol = Annotated[str | None, typer.Option("--symbol", "-s", help="Only the limits of this symbol of the account.")]
Number = Annotated[str | None, typer.Option(metavar="NUMBER")]


@app.callback()
def risk() -> None:
    """Controls and limits in force."""


@app.command()
def controls(json: Json = False, data_dir: DataDir = None, port_offset: PortOffset = None) -> None:
    """Show what is killed and blocked now, and what waits for a second person, by whom and why."""
    with Oms(find(data_dir, port_offset), "risk", raw=json) as api:
        answer = api.get("/risk/controls")
    if json:
        return
    reply = answer.object()
    rows = [
        *(("killed", kill.get("scope"), *_signed(kill)) for kill in reply.get("killed", ())),
        *(("blocked", f"symbol:{block.get('symbol')}", *_signed(block)) for block in reply.get("blocked_symbols", ())),
        *(("suspended", f"account:{each.get('account')}", *_signed(each)) for each in reply.get("suspended", ())),
        *((f"arming, token {asked.get('token')}", asked.get("scope"), *_signed(asked)) for asked in reply.get("arming", ())),
        *((f"proposed, token {each.get('token')}", _about(each), *_signed(each)) for each in reply.get("proposals", ())),
    ]
    show.table(f"as of version {reply.get('version')}", ("state", "scope", "version", "at", "who", "what"), rows, numbers=("version",))


@app.command()
def history(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Maximum number of rows.")] = 20,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """List all changes of controls and limits, newest first, with who made them and why."""
    with Oms(find(data_dir, port_offset), "risk", raw=json) as api:
        answer = api.get("/risk/controls/history", limit=limit)
    if not json:
        rows = [(each.get("type"), _about(each), *_signed(each)) for each in answer.rows("controls")]
        show.table("", ("event", "about", "version", "at", "who", "what"), rows, numbers=("version",))


@app.command()
def block(
    symbol: Symbol, reason: Reason, who: Who = "", json: Json = False, data_dir: DataDir = None, port_offset: PortOffset = None
) -> None:
    """Refuse new orders in a symbol and cancel its open orders."""
    reply = _change(symbol, "block", reason, who, find(data_dir, port_offset), raw=json)
    if reply is not None:
        show.line(f"Blocked: {symbol}.")


@app.command()
def unblock(
    symbol: Symbol, reason: Reason, who: Who = "", json: Json = False, data_dir: DataDir = None, port_offset: PortOffset = None
) -> None:
    """Allow orders in a symbol again."""
    reply = _change(symbol, "unblock", reason, who, find(data_dir, port_offset), raw=json)
    if reply is not None:
        show.line(f"Unblocked: {symbol}.")


def _change(symbol: str, verb: str, reason: str, who: str, addresses: Addresses, *, raw: bool) -> dict[str, Any] | None:
    with Oms(addresses, "risk", raw=raw) as api:
        answer = api.post(f"/risk/symbols/{symbol_name(symbol)}/{verb}", {"reason": reason, **_signed_by(addresses, who)})
    if answer.status == 202:
        raise Unreachable(f"{symbol} is blocked durably, but a sending service has not acknowledged it.", "See: trade status")
    return None if raw else answer.object()


@limits.command("show")
def show_limits(
    account: Annotated[str | None, typer.Argument(metavar="ACCOUNT")] = None,
    symbol: OfSymbol = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Show the default limits, or those of an account, or of one symbol of it."""
    if symbol is not None and account is None:
        raise WrongUsage("Limits of a symbol need an account.", "trade risk limits show ACCOUNT --symbol SYMBOL")
    query = {"account": identifier(account, "an account") if account else None, "symbol": symbol_name(symbol) if symbol else None}
    with Oms(find(data_dir, port_offset), "risk", raw=json) as api:
        answer = api.get("/risk/limits", **query)
    if not json:
        _print_limits(answer.object())


@limits.command("set")
def set_limits(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT")],
    reason: Reason,
    who: Who = "",
    symbol: OfSymbol = None,
    max_order_size_usd: Number = None,
    max_order_size_shares: Number = None,
    max_position_size_usd: Number = None,
    max_concentration_pct: Number = None,
    max_portfolio_var_usd: Number = None,
    short_allowed: Annotated[bool | None, typer.Option("--short-allowed/--no-short")] = None,
    unset: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Return this limit to the default, for example max_order_size_usd.")
    ] = None,
    token: Annotated[str | None, typer.Option(help="The token of the same change, proposed by another person: confirm it.")] = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Change limits of an account, or of one symbol of it. Limits not named stay. In force from the next check.

    Where the configuration asks for a second person (`controls.limits_second_person_above_usd`), the change is only proposed, and another
    person confirms it with --token within ten minutes.
    """
    given = dict(
        zip(
            LIMITS,
            (max_order_size_usd, max_order_size_shares, max_position_size_usd, max_concentration_pct, max_portfolio_var_usd, short_allowed),
            strict=True,
        )
    )
    named = {name: _number(name, value) if isinstance(value, str) else value for name, value in given.items() if value is not None}
    if unknown := [name for name in unset or () if name not in LIMITS]:
        raise WrongUsage(f"{unknown[0]!r} is not a limit.", f"The limits are {', '.join(LIMITS)}.")
    if not named and not unset:
        raise WrongUsage("No limit is named.", "Example: trade risk limits set alice --max-order-size-usd 5000 --reason 'new desk'")
    where = {"symbol": symbol_name(symbol)} if symbol else {}
    addresses = find(data_dir, port_offset)
    with Oms(addresses, "risk") as api:
        found = api.get("/risk/limits", account=identifier(account, "an account"), **where).object()
    own = found.get("own") or {}
    stays = {name: value for name, value in own.get("new", {}).items() if name not in (unset or ())}
    signed = _signed_by(addresses, who)
    body = {**stays, **named, **where, "version": found.get("version"), "reason": reason, **signed}
    with Oms(addresses, "risk", raw=json) as api:
        answer = api.put(f"/risk/limits/{account}", body if token is None else {**body, "token": token})
    if json:
        return
    if answer.status == 202:
        reply = answer.object()
        show.line(f"Proposed: {_about(reply)}. Nothing has changed; a second person must confirm before {reply.get('expires_at')}:")
        show.line(_second_step(account, symbol, named, unset or (), str(reply.get("token"))) + " --who ..." * bool(signed))
        return
    _print_limits(answer.object())


def _second_step(account: str, symbol: str | None, named: Mapping[str, object], unset: Iterable[str], token: str) -> str:
    """Return the command line with which another person confirms a change of limits."""
    words = ["trade", "risk", "limits", "set", account, *(("--symbol", symbol) if symbol else ())]
    for name, value in named.items():
        words += _option(name, value)
    words += [word for name in unset for word in ("--unset", name)]
    return shlex.join([*words, "--token", token]) + " --reason ..."


def _option(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, bool):
        return ("--short-allowed" if value else "--no-short",)
    return f"--{name.replace('_', '-')}", str(value)


def _print_limits(reply: Mapping[str, Any]) -> None:
    own = (reply.get("own") or {}).get("new", {})
    about = " ".join(str(reply[name]) for name in ("account", "symbol") if name in reply) or "defaults"
    rows = [(name, reply[name], "own" if name in own else "") for name in (*LIMITS, *FIXED) if name in reply]
    title = f"{about}, version {reply.get('version')}, set by {reply.get('set_by')}"
    show.table(title, ("limit", "value", "note"), rows, numbers=("value",))
    if overrides := reply.get("overrides"):
        columns = ("account", "symbol", "version", "at", "who", "what")
        show.table("overrides", columns, [_override_row(each) for each in overrides], numbers=("version",))


def _override_row(change: Mapping[str, Any]) -> tuple[object, ...]:
    return change.get("account"), change.get("symbol"), *_signed(change)[:3], _set(change.get("new"))


def _signed(each: Mapping[str, Any]) -> tuple[object, ...]:
    return each.get("version"), show.day_and_clock(each.get("at")), each.get("who"), each.get("reason")


def _about(each: Mapping[str, Any]) -> str:
    if each.get("type") in ("LimitsChanged", "LimitsProposed"):
        of = " ".join(str(each[name]) for name in ("account", "symbol") if name in each)
        return f"{of}: {_set(each.get('old'))} -> {_set(each.get('new'))}"
    if each.get("type") == "ControlsAccepted":
        return "all" if each.get("lost") else "-"
    if each.get("type") == "CatalogueChanged":
        return _catalogue(each)
    return str(each.get("scope") or f"symbol:{each.get('symbol')}")


def _catalogue(each: Mapping[str, Any]) -> str:
    rates, listed, delisted = each.get("rates") or {}, each.get("listed") or {}, each.get("delisted") or []
    parts = (
        ", ".join(f"{currency} {show.text(rate)} USD" for currency, rate in rates.items()),
        f"{len(listed)} symbols listed" if listed else "",
        f"delisted: {', '.join(map(str, delisted[:NAMES_MAX]))}{' …' if len(delisted) > NAMES_MAX else ''}" if delisted else "",
    )
    return "; ".join(part for part in parts if part)


def _set(limits_: object) -> str:
    if not isinstance(limits_, dict) or not limits_:
        return "defaults"
    return ", ".join(f"{name} {show.text(value)}" for name, value in limits_.items())


def _number(name: str, value: str) -> str:
    if exact(value) is None:
        raise WrongUsage(f"--{name.replace('_', '-')} {value!r} is not {NUMBER_RULE}.", "Example: 5000")
    return value


def _signed_by(addresses: Addresses, who: str) -> dict[str, str]:
    return {name: identifier(value, "a name") for name, value in signature(addresses, "risk", who).items()}
