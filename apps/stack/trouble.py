"""What keeps the stack from starting: one sentence and what to do about it."""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of every `trade` command."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3


class CannotStart(Exception):
    """The stack cannot start or go on; the sentence is written for the person at the terminal."""

    def __init__(self, sentence: str, *, remedy: str = "", exit_code: Exit = Exit.REFUSED) -> None:
        super().__init__(f"{sentence}\n{remedy}" if remedy else sentence)
        self.exit_code = exit_code


class NotReady(Exception):
    """A program runs but is not ready; the text says why. `answered`: it said so itself."""

    def __init__(self, reason: str, *, answered: bool = False) -> None:
        super().__init__(reason)
        self.answered = answered
