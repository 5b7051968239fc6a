"""The exit codes of `trade` and of the programs that it and the services run."""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of every `trade` command."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
