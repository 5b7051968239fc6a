"""Move the journals of a release that kept all of them in one NATS account to the accounts that they have now."""

import os
from pathlib import Path
from typing import Final

from apps.stack.credentials.nats import JOURNALS

GLOBAL: Final = "$G"
"""nats-server's name for the only account of a configuration without accounts."""


def move_journals(store: Path, owner: int | None = None) -> list[str]:
    """Move each journal's directory to its account, and return the names of those moved. nats-server must not run. OSError.

    A move is one rename: a crash leaves a journal in the old place or in the new one. A journal that is already moved stays.
    """
    moved = []
    for journal in JOURNALS:
        old = store / "jetstream" / GLOBAL / "streams" / journal.stream
        new = store / "jetstream" / journal.account / "streams" / journal.stream
        if old.is_dir() and not new.exists():
            for directory in (new.parent.parent, new.parent):
                directory.mkdir(mode=0o750, exist_ok=True)
                if owner is not None:
                    os.chown(directory, owner, owner)
            old.rename(new)
            moved.append(journal.stream)
    return moved
