"""The terminal output of the stack: every line with the name of its source. A terminal that is not read blocks nothing."""

import os
import sys
from collections.abc import Callable
from typing import TextIO

from apps.runtime.background_writer import BackgroundWriter, Terminal

COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95)
ALARM = 31
NAME_WIDTH = 13


class Screen:
    """Lines under a coloured name; plain when the output is not a terminal or NO_COLOR is set."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        out, err = out or sys.stdout, err or sys.stderr
        self._out, self._err = (BackgroundWriter(Terminal(stream), "the screen", _missing) for stream in (out, err))
        self._coloured = out.isatty() and not os.environ.get("NO_COLOR")
        self._colours: dict[str, int] = {}

    def say(self, sentence: str, name: str = "up") -> None:
        colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
        self._print(self._out, self._paint(f"{name:<{NAME_WIDTH}}", colour) + sentence)

    def alarm(self, sentence: str) -> None:
        """Print a failure to stderr, so that it is visible if stdout is discarded."""
        self._print(self._err, self._paint(f"{'up':<{NAME_WIDTH}}{sentence}", ALARM))

    def lines_of(self, name: str) -> Callable[[str], None]:
        return lambda line: self.say(line, name)

    def show(self, text: str) -> None:
        self._print(self._out, text)

    def complain(self, text: str) -> None:
        """Print why the command ends, unformatted."""
        self._print(self._err, text)

    def flush(self) -> None:
        """Wait a moment until all lines so far are shown, or dropped."""
        self._out.flush()
        self._err.flush()

    def _paint(self, text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text

    def _print(self, writer: BackgroundWriter, text: str) -> None:
        writer.put((text + "\n").encode(errors="replace"))


def _missing(lines: int) -> bytes:
    return f"{'up':<{NAME_WIDTH}}{lines} lines are missing here: they were not read in time\n".encode()
