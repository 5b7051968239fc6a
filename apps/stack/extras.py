"""Optional servers of a stack, named in `trade up --with`: object store, search and analytics, all for sink-alt."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from apps.runtime.exit_codes import Exit
from apps.stack.program import Program
from apps.stack.trouble import CannotStart


class Extra(NamedTuple):
    """One optional server.

    `check` raises CannotStart, with the remedy, if it is not installed. `program` gets the data directory, the port offset and the
    directory of the passwords; None if the server is a library inside sink-alt. `environment` gets the data directory and the port
    offset, and returns how services find the server.
    """

    check: Callable[[], None]
    program: Callable[[Path, int, Path], Program] | None
    ports: Callable[[int], Mapping[str, int]]
    environment: Callable[[Path, int], Mapping[str, str]]


EXTRAS: Final[Mapping[str, Extra]] = {}


def wanted(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list, in the order of EXTRAS and each once. CannotStart (usage) for an unknown one."""
    names = [name.strip() for name in text.split(",")] if text.strip() else []
    for name in names:
        if name not in EXTRAS:
            raise CannotStart(f"--with: {name!r} is not one of {', '.join(EXTRAS)}.", exit_code=Exit.USAGE)
    return tuple(name for name in EXTRAS if name in names)


def check_installed(names: Sequence[str]) -> None:
    """Raise CannotStart for the first of these that is not installed."""
    for name in names:
        EXTRAS[name].check()
