"""`trade secrets`: the passwords of the servers."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from apps.cli import show
from apps.cli.addresses import DATA_DIR_VARIABLE
from apps.cli.trouble import Refused, WrongUsage
from apps.stack.credentials import keys
from apps.stack.credentials.accounts import move_journals
from apps.stack.credentials.users import CONTAINER_UIDS
from apps.stack.directory import DATA_DIR, begin
from apps.stack.services import SECRETS
from apps.stack.trouble import CannotStart
from config.text import ConfigError

NATS_VOLUME: Final = Path("/volumes/nats")
VOLUMES: Final = {
    NATS_VOLUME: 10222,
    Path("/volumes/market-nats"): 10223,
    Path("/volumes/seaweedfs"): 10333,
    Path("/volumes/prometheus"): 65534,
}
"""Volumes whose server image has no directory that would set the owner; value: the user id."""

RENEW: Final = "Restore the file from a copy, or make new passwords: trade secrets init --renew, then restart servers and services."

app = typer.Typer(no_args_is_help=True)


@app.callback()
def secrets() -> None:
    """Passwords of the servers: generated once, stored in files of mode 0600, never shown."""


@app.command()
def init(
    data_dir: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="The stack of this directory, with the files in secrets. Else TRADE_DATA_DIR, else .trade."),
    ] = None,
    directory: Annotated[Path | None, typer.Option(file_okay=False, help="Directory of the files themselves, in place of a stack.")] = None,
    guests: Annotated[bool, typer.Option("--guests/--no-guests", help="Allow programs without a password to read published data.")] = False,
    renew: Annotated[bool, typer.Option("--renew", help="Make new passwords; restart servers and services afterwards.")] = False,
    for_containers: Annotated[
        bool, typer.Option("--for-containers", help="Give each file to the user of its container (as root).")
    ] = False,
) -> None:
    """Make missing passwords and rewrite each user's file. `trade up` does this itself."""
    if data_dir is not None and directory is not None:
        raise WrongUsage("--data-dir and --directory both say where the files are.", f"--data-dir D is --directory D/{SECRETS}.")
    stack = data_dir or Path(os.environ.get(DATA_DIR_VARIABLE) or DATA_DIR)
    directory, whole = directory or stack / SECRETS, directory is None
    try:
        if whole:
            begin(stack)
        keys.init(directory, guests=guests, owners=CONTAINER_UIDS if for_containers else None, renew=renew)
        for volume, owner in VOLUMES.items() if for_containers else ():
            if volume.is_dir():
                os.chown(volume, owner, owner)
        if for_containers:
            move_journals(NATS_VOLUME, VOLUMES[NATS_VOLUME])
    except keys.DamagedKeys as error:
        raise Refused(f"{error}.", RENEW) from error
    except ConfigError as error:
        raise Refused(f"{error}.") from error
    except CannotStart as error:
        raise Refused(*str(error).split("\n", 1)) from error
    except OSError as error:
        raise Refused(f"The secrets cannot be written to {directory}: {error.strerror}.") from error
    show.line(f"secrets are in {directory}")
