"""QuestDB's jar: found in the user's Maven cache, or fetched by its coordinates, and always checked against its hash."""

import hashlib
import os
import sys
from pathlib import Path

from apps.stack.trouble import CannotStart

VERSION = "9.3.4"
COORDINATES = f"org.questdb:questdb:{VERSION}"
SHA256 = "939bc53ab22f93dbaa6545143a6e7c536d4904c07b7f2d381e8eef10436be062"
REMEDY = "Connect this machine and run `make install` again, or start without it: trade up --fills sqlite"


def cached() -> Path | None:
    """Return the jar if the Maven cache has it whole; a damaged or partial one counts as absent."""
    jar = _place()
    return jar if jar.is_file() and _is_whole(jar) else None


def fetch() -> Path:
    """Return the jar, from the cache or from Maven's repository. CannotStart if neither has it."""
    if jar := cached():
        return jar
    import jgo  # imported late: it costs 0.2 s, and a cached jar does not need it

    _place().unlink(missing_ok=True)  # or jgo would take a damaged copy as valid
    try:
        jar = jgo.resolve(COORDINATES)[0].resolve()
    except (OSError, RuntimeError) as error:
        sentence = f"QuestDB's jar ({COORDINATES}) is not on this machine and could not be fetched ({type(error).__name__})."
        raise CannotStart(sentence, remedy=REMEDY) from error
    if not _is_whole(jar):
        jar.unlink()
        raise CannotStart(
            f"QuestDB's jar ({COORDINATES}) was fetched but its SHA-256 is not the expected one; it was removed.", remedy=REMEDY
        )
    return jar


def _place() -> Path:
    repository = Path(os.environ.get("M2_REPO") or Path.home() / ".m2" / "repository")
    return repository / "org" / "questdb" / "questdb" / VERSION / f"questdb-{VERSION}.jar"


def _is_whole(jar: Path) -> bool:
    with jar.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == SHA256


def main() -> int:
    try:
        fetch()
    except CannotStart as trouble:
        print(trouble, file=sys.stderr)
        return trouble.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
