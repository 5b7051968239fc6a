"""`trade order`: submit, show, list, events, cancel, settle, replace."""

import re
import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from apps.cli import show, story
from apps.cli.addresses import find
from apps.cli.client import Oms, Reply, to_stderr
from apps.cli.options import (
    AtSeq,
    Cursor,
    DataDir,
    Everything,
    Json,
    OnlySymbol,
    OrderId,
    PortOffset,
    RowsLimit,
    Since,
    Status,
    Until,
    client_order_id_of,
    identifier,
    number,
    price_of,
    status_name,
    symbol_name,
)
from apps.cli.paging import pages, tell_more
from apps.cli.settle import settle
from apps.cli.trail_options import ActivationPrice, LimitOffset, TrailAmount, TrailPercent, TrailTriggerOption, distance, trail
from apps.cli.trouble import Refused, WrongUsage
from domain.values import OrderType, Side, TimeInForce

RETRY_FOR_S: Final = 10.0
RETRY_FOR_MAX_S: Final = 3600.0
ROWS: Final = 20
NUMERIC: Final = re.compile(r"[\d.,+]*\d[\d.,eE+-]*", re.ASCII)
"""A word that is meant as a number, possibly malformed."""
SIDES: Final = frozenset(str(side) for side in Side)
EXAMPLE: Final = "Example: trade order submit buy 0.1 BTCUSDT --price 45000"

app = typer.Typer(no_args_is_help=True)

Number = typer.Option(metavar="NUMBER", help="Sent digit for digit.")
OwnAccount = Annotated[
    str | None, typer.Option("--account", "-a", metavar="ACCOUNT", help="By default the account that oms is configured with.")
]
OwnName = Annotated[
    str | None,
    typer.Option(help="Your idempotency key, 1 to 128 printable ASCII characters: the same order sent again with it stays one order."),
]
LIST_COLUMNS: Final = ("order_id", "created", "account", "symbol", "side", "type", "quantity", "price", "status", "filled", "average")
NUMBERS: Final = ("quantity", "price", "filled", "average", "seq", "fee", "average_price", "last_price")


@app.command()
def submit(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="SIDE QUANTITY SYMBOL", help="In any order, or as options of the same names.")
    ] = None,
    side: Annotated[Side | None, typer.Option()] = None,
    quantity: Annotated[str | None, Number] = None,
    symbol: Annotated[str | None, typer.Option("--symbol", "-s")] = None,
    order_type: Annotated[OrderType | None, typer.Option("--type", "-t", help="By default limit with a price, market without one.")] = None,
    notional: Annotated[str | None, typer.Option(help="In place of the quantity: the money to trade, at market or with ioc.")] = None,
    price: Annotated[str | None, Number] = None,
    stop_price: Annotated[str | None, Number] = None,
    time_in_force: Annotated[TimeInForce | None, typer.Option(help="By default gtc.")] = None,
    expire_at: Annotated[str | None, typer.Option(metavar="TIME", help="For gtd, for example 2027-01-31T12:00:00Z.")] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=9)] = None,
    post_only: Annotated[bool, typer.Option("--post-only", help="Never take liquidity: the venue rejects the order instead.")] = False,
    reduce_only: Annotated[bool, typer.Option("--reduce-only", help="Only reduce a position, never open or reverse one.")] = False,
    display_quantity: Annotated[str | None, typer.Option(metavar="NUMBER", help="Of a limit order: show only so much of it.")] = None,
    trail_amount: TrailAmount = None,
    trail_percent: TrailPercent = None,
    trail_trigger: TrailTriggerOption = None,
    limit_offset: LimitOffset = None,
    activation_price: ActivationPrice = None,
    account: OwnAccount = None,
    client_order_id: OwnName = None,
    retry_for: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, max=RETRY_FOR_MAX_S, help="How long to retry while oms is unavailable or overloaded.")
    ] = RETRY_FOR_S,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Submit an order: trade order submit buy 0.1 BTCUSDT --price 45000

    Exit code 0 if it was accepted, 1 if it was refused.

    Every order has a client_order_id, generated unless given. If a response is lost, the same order is sent again and stays one order.
    """
    given = {"side": side, "quantity": quantity, "symbol": symbol}
    order = {
        "client_order_id": client_order_id_of(client_order_id) if client_order_id else f"cli-{secrets.token_hex(12)}",
        **_main_terms(given, words or (), notional),
        "account": identifier(account, "an account") if account else None,
        "type": order_type,
        "price": price_of(price, "--price"),
        "stop_price": price_of(stop_price, "--stop-price"),
        "time_in_force": time_in_force,
        "expire_at": expire_at,
        "priority": priority,
        "post_only": post_only or None,
        "reduce_only": reduce_only or None,
        "display_quantity": number(display_quantity, "--display-quantity"),
        **trail(trail_amount, trail_percent, trail_trigger, limit_offset, activation_price),
    }
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        answer = oms.submit({name: value for name, value in order.items() if value is not None}, retry_for, to_stderr)
    _print_submitted(answer.object(), quiet=json)


def _main_terms(given: Mapping[str, str | None], words: list[str] | tuple[str, ...], notional: str | None) -> dict[str, str]:
    """Return side, quantity or notional, and symbol from the options and the bare words. WrongUsage if one is missing or given twice."""
    terms = {name: value for name, value in given.items() if value is not None}
    for word in words:
        name = "side" if word.lower() in SIDES else "quantity" if NUMERIC.fullmatch(word) else "symbol"
        if name in terms:
            raise WrongUsage(f"The {name} is given twice: {terms[name]} and {word}.", EXAMPLE)
        terms[name] = word.lower() if name == "side" else word
    if notional is not None:
        if "quantity" in terms:
            raise WrongUsage("The order has a quantity and a notional.", EXAMPLE)
        terms["notional"] = notional
    if missing := [name for name in given if name not in terms and not (name == "quantity" and notional is not None)]:
        raise WrongUsage(f"The order lacks its {' and its '.join(missing)}.", EXAMPLE)
    number(terms.get("quantity"), "--quantity")
    number(notional, "--notional")
    symbol_name(terms["symbol"])
    return terms


def _print_submitted(answer: Mapping[str, Any], *, quiet: bool) -> None:
    order_id = show.text(answer.get("order_id"))
    if answer.get("status") == "rejected":
        raise Refused(f"Rejected, {story.denial(answer)}.", f"It is recorded: trade order events {order_id}")
    if not quiet:
        show.card((name, answer.get(name)) for name in ("status", "order_id", "client_order_id", "seq", "replayed"))
        show.hint(f"Follow it: trade order events {order_id}")


@app.command("show")
def show_(
    order_id: OrderId,
    events: Annotated[bool, typer.Option("--events", help="Show its timeline as well.")] = False,
    at_seq: AtSeq = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Show one order as it is now, or as it was at a sequence."""
    if events and at_seq:
        raise WrongUsage("--events shows the whole timeline and --at-seq one moment of it.", "Use only one of them.")
    path = f"/orders/{identifier(order_id, 'an order id')}"
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        order = oms.get(path, at_seq=at_seq)
        timeline = oms.get(f"{path}/events") if events else None
    if json:
        return
    show.card(_card(order.object()))
    if timeline:
        print()
        _print_timeline(timeline)


def _card(order: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Return all scalar fields of the API's order, one line each; each route is one line."""
    plain_fields = [(name, value) for name, value in order.items() if not isinstance(value, list | dict)]
    routes = order.get("routes")
    return plain_fields + [("route", _route(each)) for each in (routes if isinstance(routes, list) else ()) if isinstance(each, dict)]


def _route(route: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {show.text(value)}" for name, value in route.items() if not isinstance(value, list | dict))


@app.command()
def events(order_id: OrderId, json: Json = False, data_dir: DataDir = None, port_offset: PortOffset = None) -> None:
    """Show every event of one order, with the numbers that decided it."""
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        timeline = oms.get(f"/orders/{identifier(order_id, 'an order id')}/events")
    if not json:
        _print_timeline(timeline)


def _print_timeline(answer: Reply) -> None:
    rows = [story.row(event) for event in answer.rows("events")]
    day = show.moment(rows[0][1])[:10] if rows else ""
    show.table(day, story.COLUMNS, ((seq, show.clock(at), *rest) for seq, at, *rest in rows), numbers=NUMBERS)


@app.command("list")
def list_(
    account: Annotated[str | None, typer.Option("--account", "-a", help="Only this account.")] = None,
    status: Status = None,
    symbol: OnlySymbol = None,
    client_order_id: Annotated[str | None, typer.Option(help="Only the order with this id.")] = None,
    since: Since = None,
    until: Until = None,
    limit: RowsLimit = ROWS,
    everything: Everything = False,
    cursor: Cursor = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """List orders by the time they were created, newest first. With --json, each page is one line."""
    filters = {
        "account": account,
        "status": status_name(status),
        "symbol": symbol,
        "client_order_id": client_order_id,
        "since": since,
        "until": until,
    }
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        rows, cursor = pages(oms, "/orders", "orders", filters, None if everything else limit, cursor)
    if not json:
        show.table("", LIST_COLUMNS, map(list_row, rows), numbers=NUMBERS)
        tell_more(cursor)


def list_row(order: Mapping[str, Any]) -> tuple[object, ...]:
    names = ("account", "symbol", "side", "type", "quantity", "price", "status", "cum_quantity", "average_price")
    return order.get("order_id"), show.day_and_clock(order.get("created_at")), *(order.get(name) for name in names)


@app.command()
def cancel(
    order_id: Annotated[str | None, typer.Argument(metavar="[ORDER_ID]")] = None,
    account: Annotated[str | None, typer.Option("--account", "-a", help="Every open order of this account.")] = None,
    symbol: OnlySymbol = None,
    side: Annotated[Side | None, typer.Option(help="Only this side.")] = None,
    client_order_id: Annotated[str | None, typer.Option(help="Only the order with this id.")] = None,
    status: Status = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Cancel one order, or all open orders of an account. Repeating the command is safe."""
    filters = {"symbol": symbol, "side": side, "client_order_id": client_order_id, "status": status_name(status)}
    if (order_id is None) == (account is None) or (order_id and any(filters.values())):
        raise WrongUsage(
            "Name one order, or an account.",
            "trade order cancel ORDER_ID; or trade order cancel --account A, with --symbol, --side, --client-order-id or --status",
        )
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        if order_id:
            answer = oms.delete(f"/orders/{identifier(order_id, 'an order id')}")
        else:
            answer = oms.delete("/orders", account=account, **filters)
    if not json:
        show.card((name, value) for name, value in answer.object().items() if name in CANCEL_FIELDS)
    if answer.status == 202:
        show.hint(f"Requested at the venue; see its answer: trade order events {order_id}")


app.command()(settle)


@app.command()
def replace(
    order_id: OrderId,
    quantity: Annotated[str | None, Number] = None,
    price: Annotated[str | None, Number] = None,
    stop_price: Annotated[str | None, Number] = None,
    client_order_id: Annotated[str | None, typer.Option(help="A name for the new terms, as unique as that of an order.")] = None,
    trail_amount: TrailAmount = None,
    trail_percent: TrailPercent = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Change the terms of an open order: trade order replace ORDER_ID --price 45100. Repeating the command is safe."""
    numbers = {
        "quantity": number(quantity, "--quantity"),
        "price": price_of(price, "--price"),
        "stop_price": price_of(stop_price, "--stop-price"),
        **distance(trail_amount, trail_percent),
    }
    terms = {name: value for name, value in numbers.items() if value is not None}
    if not terms:
        raise WrongUsage(
            "No new term is given.", "trade order replace ORDER_ID [--quantity N] [--price N] [--stop-price N] [--trail-amount N]"
        )
    if client_order_id is not None:
        terms["client_order_id"] = client_order_id_of(client_order_id)
    with Oms(find(data_dir, port_offset), raw=json) as oms:
        answer = oms.patch(f"/orders/{identifier(order_id, 'an order id')}", terms)
    if not json:
        show.card((name, value) for name, value in answer.object().items() if name in REPLACE_FIELDS)
    if answer.status == 202:
        show.hint(f"Requested at the venue; see its answer: trade order events {order_id}")


REPLACE_FIELDS: Final = ("status", "order_id", "quantity", "price", "stop_price", "cum_quantity", "leaves_quantity", "seq")
CANCEL_FIELDS: Final = ("status", "order_id", "client_order_id", "cum_quantity", "leaves_quantity", "seq", "cancelled", "pending", "algos")
