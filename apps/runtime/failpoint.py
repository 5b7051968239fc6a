"""Named places where a test ends the process as a crash would: TRADE_FAILPOINT=after_append, or after_append:3 for the third pass."""

import os
from collections.abc import Callable
from typing import Final

VARIABLE: Final = "TRADE_FAILPOINT"
KILLED: Final = 137
"""The exit code that a shell shows for kill -9."""

POINTS: Final = (
    "during_recovery",  # oms has read a first part of the journal and saved none of it
    "before_append",  # decided in memory, nothing sent to the journal
    "after_append",  # on disk and acknowledged, nothing published or answered
    "after_risk",  # risk approved and reserved, nothing journaled
    "before_slice",  # exeq has decided a slice of a parent, oms was not asked for it
    "after_slice",  # oms has answered that the slice and its child are on disk
    "before_send",  # exeq read the route back from the journal, nothing sent to the venue
    "before_report",  # the venue's decision is journaled, nothing published
    "before_publish",  # a notification, or a request to a venue, is about to be published
    "after_publish",  # the client has it; whether it left the machine is unknown
    "before_reply",  # POST /orders is decided and on disk, no response sent
    "before_access_answer",  # an access event is on disk and in force in risk, no response sent
    "after_reply",  # the response was written
    "before_rows",  # a sink has read a batch, nothing of it is in the place
    "after_rows",  # the rows are in the place, the checkpoint is not
    "after_checkpoint",  # a batch and its checkpoint are in the place, the sink has not noted it
    "before_removal",  # the archive has an object and the tails that it replaces
    "after_aside",  # a refused row is among the dead letters, the rest of its batch is not in the place
)


class Bomb:
    """A failpoint that ends the process the n-th time that its place is reached."""

    def __init__(self, text: str) -> None:
        self.name, _, times = text.partition(":")
        self.left = int(times or 1)
        if self.name not in POINTS:
            raise ValueError(f"{VARIABLE}: unknown failpoint {self.name!r}; known are {', '.join(POINTS)}")

    def __call__(self, name: str) -> None:
        if name == self.name:
            self.left -= 1
            if not self.left:
                os._exit(KILLED)


def _nothing(name: str) -> None:
    """The failpoint of every process that is not under test."""


failpoint: Final[Callable[[str], None]] = Bomb(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else _nothing
