"""`trade risk`: what is forbidden, blocks of symbols, and the limits of accounts."""

import getpass
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from apps.cli import show
from apps.cli.addresses import find
from apps.cli.client import Oms
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
"""What only the configuration says."""

app = typer.Typer(no_args_is_help=True)
limits = typer.Typer(no_args_is_help=True)
app.add_typer(limits, name="limits", help="The limits in force, and those of accounts.")

Symbol = Annotated[str, typer.Argument(metavar="SYMBOL")]
OfSymbol = Annotated[str | None, typer.Option("--symbol", "-s", help="Of this symbol of the account alone.")]
Number = Annotated[str | None, typer.Option(metavar="NUMBER")]


@app.callback()
def risk() -> None:
    """What is forbidden, and the limits in force."""


@app.command()
def controls(json: Json = False, data_dir: DataDir = None, port_offset: PortOffset = None) -> None:
    """What is killed and blocked now, by whom and why."""
    with Oms(find(data_dir, port_offset)["risk"], service="risk", raw=json) as door:
        answer = door.get("/risk/controls")
    if json:
        return
    said = answer.object()
    rows = [
        *(("killed", kill.get("scope"), *_signed(kill)) for kill in said.get("killed", ())),
        *(("blocked", f"symbol:{block.get('symbol')}", *_signed(block)) for block in said.get("blocked_symbols", ())),
        *((f"arming, token {asked.get('token')}", asked.get("scope"), *_signed(asked)) for asked in said.get("arming", ())),
    ]
    show.table(f"as of version {said.get('version')}", ("state", "scope", "version", "at", "who", "what"), rows, numbers=("version",))


@app.command()
def history(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")] = 20,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Who blocked, killed, armed and limited what, when and why, newest first."""
    with Oms(find(data_dir, port_offset)["risk"], service="risk", raw=json) as door:
        answer = door.get("/risk/controls/history", limit=limit)
    if not json:
        rows = [(each.get("type"), _about(each), *_signed(each)) for each in answer.rows("controls")]
        show.table("", ("event", "about", "version", "at", "who", "what"), rows, numbers=("version",))


@app.command()
def block(
    symbol: Symbol, reason: Reason, who: Who = "", json: Json = False, data_dir: DataDir = None, port_offset: PortOffset = None
) -> None:
    """No new order in a symbol; what is open in it is cancelled."""
    said = _change(symbol, "block", reason, who, find(data_dir, port_offset)["risk"], raw=json)
    if said is not None:
        show.line(f"Blocked: {symbol}.")


@app.command()
def unblock(
    symbol: Symbol, reason: Reason, who: Who = "", json: Json = False, data_dir: DataDir = None, port_offset: PortOffset = None
) -> None:
    """Orders in the symbol may pass again."""
    said = _change(symbol, "unblock", reason, who, find(data_dir, port_offset)["risk"], raw=json)
    if said is not None:
        show.line(f"Not blocked any more: {symbol}.")


def _change(symbol: str, verb: str, reason: str, who: str, url: str, *, raw: bool) -> dict[str, Any] | None:
    with Oms(url, service="risk", raw=raw) as door:
        answer = door.post(f"/risk/symbols/{symbol_name(symbol)}/{verb}", {"reason": reason, "who": _who(who)})
    if answer.status == 202:
        raise Unreachable(f"{symbol} is blocked for good, but not everybody who sends said that he knows.", "See: trade status")
    return None if raw else answer.object()


@limits.command("show")
def show_limits(
    account: Annotated[str | None, typer.Argument(metavar="ACCOUNT")] = None,
    symbol: OfSymbol = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """The limits that hold for everybody, for an account, or for one symbol of it."""
    if symbol is not None and account is None:
        raise WrongUsage("A symbol's limits are those of an account.", "trade risk limits show ACCOUNT --symbol SYMBOL")
    query = {"account": identifier(account, "an account") if account else None, "symbol": symbol_name(symbol) if symbol else None}
    with Oms(find(data_dir, port_offset)["risk"], service="risk", raw=json) as door:
        answer = door.get("/risk/limits", **query)
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
    unset: Annotated[list[str] | None, typer.Option(metavar="NAME", help="As for everybody again, for example max_order_size_usd.")] = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Change limits of an account, or of one symbol of it; those that are not named stay. In force for the next check."""
    given = dict(
        zip(
            LIMITS,
            (max_order_size_usd, max_order_size_shares, max_position_size_usd, max_concentration_pct, max_portfolio_var_usd, short_allowed),
            strict=True,
        )
    )
    named = {name: _number(name, value) if isinstance(value, str) else value for name, value in given.items() if value is not None}
    if unknown := [name for name in unset or () if name not in LIMITS]:
        raise WrongUsage(f"{unknown[0]!r} is not a limit.", f"They are {', '.join(LIMITS)}.")
    if not named and not unset:
        raise WrongUsage("No limit is named.", "An example: trade risk limits set alice --max-order-size-usd 5000 --reason 'new desk'")
    where = {"symbol": symbol_name(symbol)} if symbol else {}
    with Oms(find(data_dir, port_offset)["risk"], service="risk") as door:
        found = door.get("/risk/limits", account=identifier(account, "an account"), **where).object()
    own = found.get("own") or {}
    stays = {name: value for name, value in own.get("new", {}).items() if name not in (unset or ())}
    body = {**stays, **named, **where, "version": found.get("version"), "reason": reason, "who": _who(who)}
    with Oms(find(data_dir, port_offset)["risk"], service="risk", raw=json) as door:
        answer = door.put(f"/risk/limits/{account}", body)
    if not json:
        _print_limits(answer.object())


def _print_limits(said: Mapping[str, Any]) -> None:
    own = (said.get("own") or {}).get("new", {})
    about = " ".join(str(said[name]) for name in ("account", "symbol") if name in said) or "everybody"
    rows = [(name, said[name], "own" if name in own else "") for name in (*LIMITS, *FIXED) if name in said]
    show.table(f"{about}, version {said.get('version')}, set by {said.get('set_by')}", ("limit", "value", "note"), rows, numbers=("value",))
    if overrides := said.get("overrides"):
        columns = ("account", "symbol", "version", "at", "who", "what")
        show.table("limits of their own", columns, [_override_row(each) for each in overrides], numbers=("version",))


def _override_row(change: Mapping[str, Any]) -> tuple[object, ...]:
    return change.get("account"), change.get("symbol"), *_signed(change)[:3], _set(change.get("new"))


def _signed(each: Mapping[str, Any]) -> tuple[object, ...]:
    return each.get("version"), show.day_and_clock(each.get("at")), each.get("who"), each.get("reason")


def _about(each: Mapping[str, Any]) -> str:
    if each.get("type") == "LimitsChanged":
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
        f"gone: {', '.join(map(str, delisted[:NAMES_MAX]))}{' …' if len(delisted) > NAMES_MAX else ''}" if delisted else "",
    )
    return "; ".join(part for part in parts if part)


def _set(limits_: object) -> str:
    if not isinstance(limits_, dict) or not limits_:
        return "as for everybody"
    return ", ".join(f"{name} {show.text(value)}" for name, value in limits_.items())


def _number(name: str, value: str) -> str:
    if exact(value) is None:
        raise WrongUsage(f"--{name.replace('_', '-')} {value!r} is not {NUMBER_RULE}.", "An example: 5000")
    return value


def _who(who: str) -> str:
    return identifier(who or getpass.getuser(), "a name")
