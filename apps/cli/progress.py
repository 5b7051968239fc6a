"""A bar on a terminal, for what takes as long as a journal or a file is."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Progressing = Callable[[int], None]
"""Told how far it has come."""


@contextlib.contextmanager
def progress_of(total: int, doing: str = "reading the journal") -> Iterator[Progressing]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda seq: bar.update(task, completed=seq)
