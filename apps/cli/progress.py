"""A progress bar for commands whose duration grows with a journal or a file."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Progressing = Callable[[int], None]
"""Called with the number of units done so far."""


@contextlib.contextmanager
def progress_of(total: int, doing: str = "reading the journal") -> Iterator[Progressing]:
    """Show a progress bar on stderr if it is a terminal; otherwise show nothing."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda seq: bar.update(task, completed=seq)
