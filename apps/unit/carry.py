"""`python -m apps.unit.carry unit|services`: copy files that no journal holds from the volumes of oms, risk and exeq to a unit's, or back.

These are high-water marks, and kill switches set at exeq itself. Everything else in a data directory is rebuilt from the journal.
For containers, where each service has a volume whose files belong to its user. Run it as root, while neither side runs.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from adapters import local_kills, watermark
from apps.stack.credentials.users import CONTAINER_UIDS
from apps.stack.topology import TOPOLOGIES, UNIT, UNITED

VOLUMES: Final = Path("/volumes")
CARRIED: Final = (watermark.DIRECTORY, local_kills.DIRECTORY)


def carry(source: Path, target: Path, owner: int) -> Iterator[Path]:
    """Copy the files and yield each copied name; `target` and the copies then belong to `owner`. Raises OSError.

    The newer of two files is kept, so neither a second run nor one in the wrong direction lowers a mark.
    """
    os.chown(target, owner, owner)  # a volume belongs to root until its service has run
    for part in CARRIED:
        for file in sorted((source / part).rglob("*")):
            name = file.relative_to(source)
            if file.is_dir() or not _is_newer(file, target / name):
                continue
            _make(target, name.parent, owner)
            _copy(file, target / name, owner)
            yield name


def _is_newer(file: Path, other: Path) -> bool:
    return not other.exists() or file.stat().st_mtime_ns > other.stat().st_mtime_ns


def _make(root: Path, name: Path, owner: int) -> None:
    for directory in (*reversed(name.parents), name):
        if not (root / directory).exists():
            (root / directory).mkdir(mode=0o700)
            os.chown(root / directory, owner, owner)


def _copy(file: Path, target: Path, owner: int) -> None:
    """Copy a file with its modification time. A reader sees the old file or the new one, never a partial one."""
    fresh = target.with_name(f"{target.name}.carried")
    shutil.copy2(file, fresh)
    os.chown(fresh, owner, owner)
    fresh.replace(target)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m apps.unit.carry", description=__doc__)
    parser.add_argument("to", choices=TOPOLOGIES, help="the topology that will run next")
    to = parser.parse_args().to
    for service in UNITED:
        source, target = (service, UNIT) if to == UNIT else (UNIT, service)
        try:
            for name in carry(VOLUMES / source, VOLUMES / target, CONTAINER_UIDS[f"{target}.yaml"]):
                print(f"{source}: {name} -> {target}")
        except OSError as error:
            print(f"{error.filename}: cannot be carried to {target}: {error.strerror}", file=sys.stderr)
            return 1
    os.sync()
    return 0


if __name__ == "__main__":
    sys.exit(main())
