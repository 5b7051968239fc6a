"""Whether the engine of ClickHouse (chdb) is installed in this environment."""

from importlib.util import find_spec
from typing import Final

from apps.stack.trouble import CannotStart

INSTALL: Final = "Install it (half a gigabyte, only once): make analytics"
PACKAGE: Final = "chdb"


def check() -> None:
    """Raise CannotStart with the command that installs it if it is missing. Imports nothing."""
    if find_spec(PACKAGE) is None:
        raise CannotStart("The analytics engine (chdb) is not installed.", remedy=INSTALL)
