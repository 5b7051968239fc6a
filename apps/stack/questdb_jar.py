"""QuestDB's jar: found in the user's Maven cache, or fetched by its coordinates, and always checked against its hash."""

import sys
from pathlib import Path
from typing import Final

from apps.stack.maven import Jar
from apps.stack.trouble import CannotStart

VERSION: Final = "9.3.4"
JAR: Final = Jar(f"org.questdb:questdb:{VERSION}", "939bc53ab22f93dbaa6545143a6e7c536d4904c07b7f2d381e8eef10436be062")
REMEDY: Final = "Connect this machine and run `make install` again, or start without it: trade up --fills sqlite"


def fetch() -> Path:
    """Return the jar, from the cache or from Maven's repository. CannotStart if neither has it."""
    return JAR.fetch(REMEDY)


def main() -> int:
    try:
        fetch()
    except CannotStart as trouble:
        print(trouble, file=sys.stderr)
        return trouble.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
