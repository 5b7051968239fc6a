"""`trade secrets`: the passwords of the servers."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from apps.cli import show
from apps.cli.addresses import DATA_DIR
from apps.cli.trouble import Refused
from apps.stack.credentials import keys
from apps.stack.credentials.accounts import move_journals
from apps.stack.credentials.users import CONTAINER_UIDS
from apps.stack.services import SECRETS

NATS_VOLUME: Final = Path("/volumes/nats")
VOLUMES: Final = {NATS_VOLUME: 10222, Path("/volumes/prometheus"): 65534}
"""Volumes of servers whose images have no directory of their own to take the owner from."""

RENEW: Final = "Bring the file back from a copy, or make new passwords: trade secrets init --renew, and restart servers and services."

app = typer.Typer(no_args_is_help=True)


@app.callback()
def secrets() -> None:
    """Passwords of the servers: made once, kept in files of mode 0600, shown nowhere."""


@app.command()
def init(
    directory: Annotated[Path, typer.Option(file_okay=False, help="Where the files are kept.")] = DATA_DIR / SECRETS,
    guests: Annotated[bool, typer.Option("--guests/--no-guests", help="Programs without a password may read what is published.")] = False,
    renew: Annotated[bool, typer.Option("--renew", help="New passwords; restart servers and services afterwards.")] = False,
    for_containers: Annotated[
        bool, typer.Option("--for-containers", help="Give each file to the user of its container (as root).")
    ] = False,
) -> None:
    """Make the passwords that are missing, and each user's file anew. `trade up` does it by itself."""
    try:
        keys.init(directory, guests=guests, owners=CONTAINER_UIDS if for_containers else None, renew=renew)
        for volume, owner in VOLUMES.items() if for_containers else ():
            if volume.is_dir():
                os.chown(volume, owner, owner)
        if for_containers:
            move_journals(NATS_VOLUME, VOLUMES[NATS_VOLUME])
    except keys.DamagedKeys as error:
        raise Refused(f"{error}.", RENEW) from error
    except OSError as error:
        raise Refused(f"The secrets cannot be kept in {directory}: {error.strerror}.") from error
    show.line(f"secrets are in {directory}")
