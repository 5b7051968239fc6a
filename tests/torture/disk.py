"""A disk whose power can be cut: ext4 in a file. What was not fsynced is in the memory of this machine only, and not in the file."""

import os
import subprocess
from pathlib import Path
from typing import Final, Self

SIZE_MB: Final = 512
COMMIT_EVERY_S: Final = 300
"""How often the file system writes by itself what was not fsynced: never, in one of our rounds."""


class NotPermitted(Exception):
    """This user, or this machine, cannot mount a file. The message says why."""


class Disk:
    """Mounted at `root`. After cut() the root shows what the machine would find when it comes up again."""

    def __init__(self, home: Path, size_mb: int = SIZE_MB) -> None:
        home.mkdir(parents=True)
        self.root = home / "root"
        self.root.mkdir()
        self._home = home
        self._image = home / "0.img"
        self._cuts = 0
        with self._image.open("wb") as file:
            file.truncate(size_mb * 2**20)
        _ran("mkfs.ext4", "-q", "-F", self._image)
        self._mount()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", self.root], check=False)

    def settle(self) -> None:
        """What is there by now was there long before: on the disk, fsynced or not."""
        _ran("sync", "--file-system", self.root)

    def cut(self) -> None:
        """The power is gone, and comes back. The writer must have been killed just before."""
        self._cuts += 1
        before, self._image = self._image, self._home / f"{self._cuts}.img"
        _ran("cp", "--sparse=always", before, self._image)
        _ran("umount", self.root)
        before.unlink()
        self._mount()

    def _mount(self) -> None:
        _ran("mount", "-o", f"loop,commit={COMMIT_EVERY_S}", self._image, self.root)


def _ran(*command: str | Path) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as missing:
        raise NotPermitted(f"{command[0]} is not installed") from missing
    if done.returncode:
        raise NotPermitted(f"{command[0]} as user {os.getuid()}: {done.stderr.strip() or done.returncode}")
