"""Options that several commands share."""

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from apps.cli.trouble import WrongUsage
from apps.stack.ports import PORT_MAX
from domain.order.index import STATUSES
from domain.values import CLIENT_ORDER_ID, CLIENT_ORDER_ID_RULE, IDENTIFIER, NUMBER_RULE, SIGNED_RULE, SYMBOL, exact, signed_exact

_WHERE = "Which stack"
UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION: Final = re.compile(rf"([0-9]{{1,9}})([{''.join(UNITS_S)}])", re.ASCII)

DataDir = Annotated[
    Path | None,
    typer.Option(
        file_okay=False,
        rich_help_panel=_WHERE,
        help="The stack that runs from this directory. Else TRADE_OMS_URL and the like, else .trade, else the default ports.",
    ),
]
PortOffset = Annotated[
    int | None, typer.Option(min=-1024, max=PORT_MAX, rich_help_panel=_WHERE, help="The stack whose ports are shifted by this number.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the API's response byte for byte, then a line feed.")]
OnlySymbol = Annotated[str | None, typer.Option("--symbol", "-s", help="Only this symbol.")]
AtSeq = Annotated[int | None, typer.Option(min=1, help="The state at this sequence of the journal.")]
_MOMENT: Final = "2027-01-31T12:00:00Z, 2027-01-31, or an epoch number"
Since = Annotated[str | None, typer.Option(metavar="TIME", help=f"Not before this moment: {_MOMENT}.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help=f"Before this moment: {_MOMENT}.")]
RowsLimit = Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of rows.")]
Everything = Annotated[bool, typer.Option("--all", help="All rows, page by page.")]
Cursor = Annotated[str | None, typer.Option(help="Continue after this page.")]
Status = Annotated[str | None, typer.Option(metavar="STATE", help="Only orders in this state; open and closed each cover several states.")]
Reason = Annotated[str, typer.Option(help="The reason; it is recorded permanently.")]
Who = Annotated[str, typer.Option(help="The person responsible; recorded permanently. By default the current user, with a key its owner.")]
Account = Annotated[str, typer.Argument(metavar="ACCOUNT")]
OrderId = Annotated[str, typer.Argument(metavar="ORDER_ID")]


def identifier(value: str, name: str) -> str:
    """Return the value if it can be used in a path or subject unchanged. WrongUsage."""
    if not IDENTIFIER.fullmatch(value):
        raise WrongUsage(f"{value!r} is not {name}: 1 to 64 of the characters A-Z a-z 0-9 _ -")
    return value


def client_order_id_of(value: str) -> str:
    """Return the value if an order may have this client_order_id. WrongUsage."""
    if not CLIENT_ORDER_ID.fullmatch(value):
        raise WrongUsage(f"{value!r} is not a client_order_id: {CLIENT_ORDER_ID_RULE}")
    return value


def duration_s(value: str, name: str, least: int = 1) -> int:
    """Return the seconds of a duration like 30d, 12h, 10m or 90s. WrongUsage, also below `least` seconds."""
    found = DURATION.fullmatch(value)
    seconds = int(found[1]) * UNITS_S[found[2]] if found else -1
    if seconds < least:
        raise WrongUsage(f"{name} {value!r} is not a duration.", "Examples: 30d, 12h, 10m and 90s")
    return seconds


def symbol_name(value: str) -> str:
    """Return the value if it is a valid symbol. WrongUsage."""
    if not SYMBOL.fullmatch(value):
        raise WrongUsage(f"{value!r} is not a symbol: 1 to 64 of the characters A-Z a-z 0-9 _ - / .")
    return value


def status_name(value: str | None) -> str | None:
    """Return the value if it is an order state, `open` or `closed`. WrongUsage."""
    if value is not None and value not in STATUSES:
        raise WrongUsage(f"{value!r} is not a state.", f"The states are {', '.join(STATUSES)}.")
    return value


def number(value: str | None, name: str) -> str | None:
    """Return the value if it is a number. WrongUsage."""
    if value is not None and exact(value) is None:
        raise WrongUsage(f"{name} {value!r} is not {NUMBER_RULE}.", "Examples: 0.001 and 1e-3")
    return value


def price_of(value: str | None, name: str) -> str | None:
    """Return the value if it may be a price. WrongUsage.

    A minus is accepted: oms's catalogue decides whether the instrument may have a negative price.
    """
    if value is not None and signed_exact(value) is None:
        raise WrongUsage(f"{name} {value!r} is not {SIGNED_RULE}.", "Examples: 0.001, 1e-3 and -37.63")
    return value
