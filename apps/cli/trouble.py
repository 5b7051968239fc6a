"""What keeps a command from being done: one sentence, what to do next, and the exit code that says which kind it is."""

from apps.runtime.exit_codes import Exit


class Trouble(Exception):
    """An expected trouble. It ends the command with `exit_code`; the sentence and the remedy go to stderr, a line each."""

    exit_code = Exit.REFUSED

    def __init__(self, sentence: str, remedy: str = "") -> None:
        super().__init__(f"{sentence}\n{remedy}" if remedy else sentence)


class Refused(Trouble):
    """The system answered, and the answer is no; or two things that should be the same differ."""


class WrongUsage(Trouble):
    """The command line cannot be meant like this."""

    exit_code = Exit.USAGE


class Unreachable(Trouble):
    """Nobody answers, or not in time, or somebody who is not of this system."""

    exit_code = Exit.UNREACHABLE
