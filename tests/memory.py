"""A group of processes that may have so much memory and no more: the kernel's own bound, as a container has it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.live import LiveProcess

ROOT: Final = Path("/sys/fs/cgroup")
ENTER: Final = 'echo $$ > "$0" && exec "$@"'


class MemoryGroup:
    """A control group of the kernel, of either version."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._first = (directory / "memory.limit_in_bytes").exists()

    def limit(self, size: int) -> None:
        (self._directory / ("memory.limit_in_bytes" if self._first else "memory.max")).write_text(str(size))

    @property
    def used(self) -> int:
        """What cannot be taken back from the processes."""
        stat = dict(line.split() for line in (self._directory / "memory.stat").read_text().splitlines())
        return int(stat["rss" if self._first else "anon"])

    def first_to_go(self) -> None:
        """When it gets too much, the kernel takes those who are in here now."""
        for pid in (self._directory / "cgroup.procs").read_text().split():
            Path(f"/proc/{pid}/oom_score_adj").write_text("1000")

    def inside(self, *command: str) -> tuple[str, ...]:
        """The command, run in here."""
        return ("sh", "-c", ENTER, str(self._directory / "cgroup.procs"), *command)

    def hold(self, process: LiveProcess) -> None:
        """From its next start on it lives in here."""
        process.program = replace(process.program, command=self.inside(*process.program.command))


@contextmanager
def memory_group(size: int) -> Iterator[MemoryGroup]:
    """Make one. The test is skipped where that is not permitted."""
    first = ROOT / "memory"
    directory = (first if first.is_dir() else ROOT) / f"trade-test-{os.getpid()}"
    try:
        directory.mkdir()
        group = MemoryGroup(directory)
        group.limit(size)
    except OSError as error:
        pytest.skip(f"making a control group is not permitted to user {os.getuid()}; run as root, with a writable {ROOT}: {error}")
    try:
        yield group
    finally:
        directory.rmdir()
