"""Client of the point-in-time query program."""

from typing import Final, Protocol

from adapters.codec import decoder
from apps.connections.past import answer_of
from apps.runtime.helper_process import HelperProcess
from domain.position.position import Position

MODULE: Final = "apps.tools.history"

_POSITIONS: Final = decoder(list[Position])


class PositionHistory(Protocol):
    """Positions as of an earlier sequence, never from live state."""

    async def positions(self, account: str, seq: int) -> list[Position]:
        """Return an account's positions by the journal up to and including `seq`. Refusal 503."""


class HistoryProcess:
    """Port: PositionHistory. `python -m apps.tools.history` does the work: what it read by its deadline is kept as saved books."""

    def __init__(self, program: HelperProcess) -> None:
        self._program = program

    async def positions(self, account: str, seq: int) -> list[Position]:
        found: list[Position] = _POSITIONS.decode(await answer_of(self._program, account, str(seq)))
        return found
