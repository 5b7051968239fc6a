"""Whether the engine of ClickHouse (chdb) is installed in this environment."""

from importlib.util import find_spec
from typing import Final

from apps.stack.trouble import CannotStart

INSTALL: Final = "Install it (half a gigabyte, only once): make analytics"
PACKAGES: Final = ("chdb", "clickhouse_connect")


def check() -> None:
    """Raise CannotStart with the command that installs it if a package is missing. Imports nothing."""
    if any(find_spec(name) is None for name in PACKAGES):
        raise CannotStart("The analytics engine (chdb) is not installed.", remedy=INSTALL)
