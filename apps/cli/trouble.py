"""Expected failures of a command: one sentence, a remedy, and the exit code of their kind."""

from apps.runtime.exit_codes import Exit


class Trouble(Exception):
    """An expected failure. It ends the command with `exit_code`; the sentence and the remedy go to stderr, one line each."""

    exit_code = Exit.REFUSED

    def __init__(self, sentence: str, remedy: str = "") -> None:
        super().__init__(f"{sentence}\n{remedy}" if remedy else sentence)


class Refused(Trouble):
    """The system refused the request, or two things that should be identical differ."""


class WrongUsage(Trouble):
    """The command line is wrong; nothing was sent."""

    exit_code = Exit.USAGE


class Unreachable(Trouble):
    """No answer, no answer in time, or an answer from another program."""

    exit_code = Exit.UNREACHABLE
