"""`trade up` and `trade version`."""

from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from apps.cli.addresses import DATA_DIR_VARIABLE
from apps.stack.directory import DATA_DIR
from apps.stack.extras import EXTRAS
from apps.stack.market import CONFIG, SIMULATED
from apps.stack.ports import PORT_MAX
from apps.stack.topology import APART, UNIT
from config.access_mode import ACCESS_VARIABLE, Mode
from domain.shards import SHARDS_MAX


class QuoteSource(StrEnum):
    SIMULATED = SIMULATED
    CONFIG = CONFIG


class FillsStore(StrEnum):
    QUESTDB = "questdb"
    SQLITE = "sqlite"


class Topology(StrEnum):
    UNIT = UNIT
    SERVICES = APART


NumberOfShards = Annotated[
    int | None,
    typer.Option(min=1, max=SHARDS_MAX, help="How many shards the order journal has; fixed when the data directory is created."),
]


def up(
    data_dir: Annotated[Path, typer.Option(file_okay=False, envvar=DATA_DIR_VARIABLE, help="Directory of the state.")] = DATA_DIR,
    port_offset: Annotated[int, typer.Option(min=-1024, max=PORT_MAX, help="Shift every port by this number.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="First remove the state of earlier runs, including the journal.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before removing state.")] = False,
    fills: Annotated[FillsStore, typer.Option(help="The store that serves fills.")] = FillsStore.QUESTDB,
    quotes: Annotated[Path | None, typer.Option(metavar="FILE", help="Replay this CSV instead of simulating quotes.")] = None,
    quotes_speed: Annotated[str, typer.Option(metavar="FACTOR|max", help="Replay speed of the quotes.")] = "",
    quotes_columns: Annotated[
        str,
        typer.Option(
            "--quotes-columns", "--columns", metavar="NAME=COLUMN,...", help="Other column names of the CSV: time=ts,bid=bidPrice."
        ),
    ] = "",
    config_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Directory with <service>/config.yaml, instruments.yaml or venues.yaml.")
    ] = None,
    guests: Annotated[bool, typer.Option("--guests/--no-guests", help="Allow programs without a password to read published data.")] = True,
    topology: Annotated[
        Topology, typer.Option(help="Run oms, risk and exeq in one process, or each service in its own process.")
    ] = Topology.UNIT,
    access: Annotated[
        Mode | None,
        typer.Option(
            envvar=ACCESS_VARIABLE,
            help="open: programs of this machine need no key, for paper venues only. keys: every request needs a key, and no guests. "
            "Default: open, or keys with a live venue.",
        ),
    ] = None,
    market: Annotated[
        QuoteSource, typer.Option(help="simulated: live-gateway makes the quotes. config: those of the venues in gateway/config.yaml.")
    ] = QuoteSource.SIMULATED,
    extras: Annotated[str, typer.Option("--with", metavar="NAME,...", help=f"Optional servers: {', '.join(EXTRAS)}.")] = "",
    desk: Annotated[bool, typer.Option("--desk/--no-desk", help="Start the service of the page and of the stream.")] = True,
    shards: NumberOfShards = None,
    only_servers: Annotated[bool, typer.Option("--only-servers", help="Start NATS, Valkey and QuestDB without the services.")] = False,
) -> None:
    """Start the whole stack on this machine and restart what fails; Ctrl-C stops everything cleanly."""
    from apps.stack.command import up as run  # late: the other commands do not need it

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
        access=access or "",
        desk=desk,
        market=str(market),
        extras=extras,
        shards=shards,
    )
    raise typer.Exit(code)


def show_version() -> None:
    """Show the version."""
    try:
        typer.echo(f"trade {version('trade2026')}")
    except PackageNotFoundError:
        typer.echo("trade, run from a checkout that is not installed")
