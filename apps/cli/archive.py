"""The archive that a command reads: its address, and the keys of its server."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from apps.cli import show
from apps.cli.addresses import DATA_DIR_VARIABLE
from apps.cli.progress import progress_of
from apps.cli.trouble import Unreachable, WrongUsage
from apps.stack import stack
from apps.stack.directory import DATA_DIR
from apps.stack.ports import HOST
from apps.stack.services import SECRETS
from apps.tools.verify.report import VerificationReport
from config.s3 import URL_VARIABLE as S3_VARIABLE
from config.s3 import s3_access
from config.text import ConfigError
from domain.ports import Unavailable

if TYPE_CHECKING:
    from adapters.objects import Objects

URL_VARIABLE: Final = "TRADE_ARCHIVE_URL"
DEFAULT_URL: Final = "s3://trade/archive"
FORMS: Final = "s3://BUCKET/PREFIX, or file:///DIRECTORY"
KEYS: Final = "The keys of the archive's server: docs/archive.md, Addresses and credentials."
REPEAT: Final = "Check the server, the address and the keys of the archive: docs/archive.md."


def opened(url: str | None, data_dir: Path | None) -> "Objects":
    """Open an archive. `url` None: TRADE_ARCHIVE_URL, else DEFAULT_URL. WrongUsage for an address of another form, Unreachable."""
    from adapters.objects import Objects, WrongAddress  # late, as other commands need no object store

    home, url = data_dir or Path(os.environ.get(DATA_DIR_VARIABLE) or DATA_DIR), url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    try:
        found = s3_access(endpoint=_endpoint_of(home), directory=home / SECRETS)
    except ConfigError as error:
        raise WrongUsage(f"{error}.", KEYS) from error
    if url.startswith("s3:") and not found.endpoint:
        raise WrongUsage(f"{S3_VARIABLE} does not name the server of {url}.", f"Example: {S3_VARIABLE}=http://{HOST}:8333")
    try:
        return Objects.at(url, endpoint=found.endpoint, credentials=found.keys, creates=False)
    except WrongAddress as error:
        raise WrongUsage(f"{error}.") from error
    except Unavailable as error:
        raise Unreachable(f"{error}.", REPEAT) from error


def _endpoint_of(data_dir: Path) -> str:
    """Return the S3 server of a stack that runs from a directory; empty if there is none."""
    running = stack.read(data_dir)
    ports = [process.ports["s3"] for process in running.processes if "s3" in process.ports] if running else []
    return f"http://{HOST}:{ports[0]}" if ports else ""


async def verified(objects: "Objects", *, quiet: bool) -> VerificationReport:
    """Verify an archive and print each check, unless `quiet`. Unavailable."""
    from apps.tools.archive.check import archive_size, verify_archive  # late: this import loads service code

    def tell(line: str) -> None:
        if not quiet:
            show.line(line)

    with progress_of(await archive_size(objects), "reading the archive") as progress:
        return await verify_archive(objects, lambda check: tell(check.line()), progress)
