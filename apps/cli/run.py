"""`trade up` and `trade version`."""

from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from apps.cli.addresses import DATA_DIR, DATA_DIR_VARIABLE
from apps.stack.ports import PORT_MAX
from apps.stack.topology import APART, UNIT


class FillsStore(StrEnum):
    QUESTDB = "questdb"
    SQLITE = "sqlite"


class Topology(StrEnum):
    UNIT = UNIT
    SERVICES = APART


def up(
    data_dir: Annotated[Path, typer.Option(file_okay=False, envvar=DATA_DIR_VARIABLE, help="Where the state is kept.")] = DATA_DIR,
    port_offset: Annotated[int, typer.Option(min=-1024, max=PORT_MAX, help="Shift every port by this number.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove the state of earlier runs first, the journal too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before removing.")] = False,
    fills: Annotated[FillsStore, typer.Option(help="Where fills are kept for readers.")] = FillsStore.QUESTDB,
    quotes: Annotated[Path | None, typer.Option(metavar="FILE", help="Replay this CSV instead of simulating quotes.")] = None,
    quotes_speed: Annotated[str, typer.Option(metavar="FACTOR|max", help="How fast the quotes are replayed.")] = "",
    quotes_columns: Annotated[
        str,
        typer.Option("--quotes-columns", "--columns", metavar="NAME=COLUMN,...", help="Other names of its columns: time=ts,bid=bidPrice."),
    ] = "",
    config_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Has <service>/config.yaml, instruments.yaml or venues.yaml.")
    ] = None,
    guests: Annotated[bool, typer.Option("--guests/--no-guests", help="Programs without a password may read what is published.")] = True,
    topology: Annotated[
        Topology, typer.Option(help="oms, risk and exeq as one process, or every service as a process of its own.")
    ] = Topology.UNIT,
    only_servers: Annotated[bool, typer.Option("--only-servers", help="NATS, Valkey and QuestDB without the services.")] = False,
) -> None:
    """Start everything on this machine and keep it alive; Ctrl-C stops all of it cleanly."""
    from apps.stack.command import up as run  # late: the other commands need none of it

    code = run(
        data_dir=data_dir,
        port_offset=port_offset,
        fresh=fresh,
        yes=yes,
        fills=str(fills),
        quotes=quotes,
        quotes_speed=quotes_speed,
        quotes_columns=quotes_columns,
        config_dir=config_dir,
        only_servers=only_servers,
        guests=guests,
        topology=str(topology),
    )
    raise typer.Exit(code)


def show_version() -> None:
    """Which version this is."""
    try:
        typer.echo(f"trade {version('trade2026')}")
    except PackageNotFoundError:
        typer.echo("trade, run from a checkout that is not installed")
