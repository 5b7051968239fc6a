"""The options that several commands share, said once."""

from pathlib import Path
from typing import Annotated

import typer

from apps.cli.trouble import WrongUsage
from apps.up.ports import PORT_MAX
from domain.values import IDENTIFIER, SYMBOL

_WHERE = "Which stack"

DataDir = Annotated[
    Path | None,
    typer.Option(
        file_okay=False,
        rich_help_panel=_WHERE,
        help="The stack that runs from this directory. Else TRADE_OMS_URL and its kind, else .trade, else the usual ports.",
    ),
]
PortOffset = Annotated[
    int | None, typer.Option(min=-1024, max=PORT_MAX, rich_help_panel=_WHERE, help="The stack whose ports are shifted by this number.")
]
Json = Annotated[bool, typer.Option("--json", help="Print what the API sent, byte for byte, and a line feed.")]
OnlySymbol = Annotated[str | None, typer.Option("--symbol", "-s", help="Only this symbol.")]
AtSeq = Annotated[int | None, typer.Option(min=1, help="As it was at this sequence of the journal.")]
Reason = Annotated[str, typer.Option(help="Why: it is kept for ever.")]
Who = Annotated[str, typer.Option(help="Who says so: it is kept for ever. By default the user who runs this.")]
Account = Annotated[str, typer.Argument(metavar="ACCOUNT")]
OrderId = Annotated[str, typer.Argument(metavar="ORDER_ID")]


def identifier(value: str, name: str) -> str:
    """The value, when it may stand in a path or subject as it is. WrongUsage."""
    if not IDENTIFIER.fullmatch(value):
        raise WrongUsage(f"{value!r} is not {name}: 1 to 64 of the characters A-Z a-z 0-9 _ -")
    return value


def symbol_name(value: str) -> str:
    if not SYMBOL.fullmatch(value):
        raise WrongUsage(f"{value!r} is not a symbol: 1 to 64 of the characters A-Z a-z 0-9 _ - /")
    return value
