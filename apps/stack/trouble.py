"""Errors of a start: one sentence and a remedy."""

from apps.runtime.exit_codes import Exit


class CannotStart(Exception):
    """The stack cannot start or continue; the sentence and the remedy are shown at the terminal."""

    def __init__(self, sentence: str, *, remedy: str = "", exit_code: Exit = Exit.REFUSED) -> None:
        super().__init__(f"{sentence}\n{remedy}" if remedy else sentence)
        self.exit_code = exit_code


class NotReady(Exception):
    """A program runs but is not ready; the text says why. `answered`: the program itself reported it."""

    def __init__(self, reason: str, *, answered: bool = False) -> None:
        super().__init__(reason)
        self.answered = answered
