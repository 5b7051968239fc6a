"""The archive that a command reads: its address, and the keys of its server."""

import os
from pathlib import Path
from typing import Final

from adapters.objects import Objects, WrongAddress
from apps.cli import show
from apps.cli.addresses import DATA_DIR_VARIABLE
from apps.cli.progress import progress_of
from apps.cli.trouble import WrongUsage
from apps.stack import stack
from apps.stack.directory import DATA_DIR
from apps.stack.services import SECRETS
from apps.tools.verify.report import VerificationReport
from config.s3 import s3_access

URL_VARIABLE: Final = "TRADE_ARCHIVE_URL"
DEFAULT_URL: Final = "s3://trade/archive"
FORMS: Final = "s3://BUCKET/PREFIX, or file:///DIRECTORY"


def opened(url: str | None, data_dir: Path | None) -> Objects:
    """Open an archive. `url` None: TRADE_ARCHIVE_URL, else DEFAULT_URL. WrongUsage for an address of another form."""
    home = data_dir or Path(os.environ.get(DATA_DIR_VARIABLE) or DATA_DIR)
    running = stack.read(home)
    found = s3_access(endpoint=running.urls.get("s3", "") if running else "", directory=home / SECRETS)
    try:
        return Objects.at(url or os.environ.get(URL_VARIABLE) or DEFAULT_URL, endpoint=found.endpoint, credentials=found.keys)
    except WrongAddress as error:
        raise WrongUsage(f"{error}.") from error


async def verified(objects: Objects, *, quiet: bool) -> VerificationReport:
    """Verify an archive and print each check, unless `quiet`. Unavailable."""
    from apps.tools.archive.check import verify_archive  # late: this import loads service code

    def tell(line: str) -> None:
        if not quiet:
            show.line(line)

    with progress_of(0, "reading the archive") as progress:
        return await verify_archive(objects, lambda check: tell(check.line()), progress)
