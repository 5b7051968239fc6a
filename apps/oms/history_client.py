"""Client of the point-in-time query program; its failures become refusals."""

from typing import Final, Protocol

import structlog

from adapters.codec import decoder
from apps.http.problem import Refusal
from apps.runtime.helper_process import Busy, HelperProcess, NotStarted, TookTooLong
from domain.position.position import Position

log = structlog.get_logger()

MODULE: Final = "apps.tools.history"
PAST_MAX_S: Final = 20.0
"""Deadline of one query. What was read by then is kept as saved books; a repeated query continues from there."""
WAITING_MAX: Final = 4

_POSITIONS: Final = decoder(list[Position])


class PositionHistory(Protocol):
    """Positions as of an earlier sequence, never from live state."""

    async def positions(self, account: str, seq: int) -> list[Position]:
        """Return an account's positions by the journal up to and including `seq`. Refusal 503."""


class HistoryProcess:
    """Port: PositionHistory. `python -m apps.tools.history` does the work."""

    def __init__(self, program: HelperProcess) -> None:
        self._program = program

    async def positions(self, account: str, seq: int) -> list[Position]:
        try:
            ended = await self._program.ask(account, str(seq))
        except Busy:
            raise Refusal(503, "past_busy", "too many point-in-time queries are waiting", headers={"Retry-After": "1"}) from None
        except TookTooLong:
            raise Refusal(
                503, "past_timeout", f"the journal could not be read within {PAST_MAX_S:g} s; retry", headers={"Retry-After": "1"}
            ) from None
        except NotStarted as trouble:
            log.warning("point-in-time query failed", account=account, at_seq=seq, reason=str(trouble))
            raise Refusal(503, "past_unavailable", str(trouble), headers={"Retry-After": "1"}) from trouble
        if ended.code:
            log.warning("point-in-time query failed", account=account, at_seq=seq, code=ended.code, reason=ended.words)
            raise Refusal(503, "past_unavailable", ended.reason, headers={"Retry-After": "1"})
        found: list[Position] = _POSITIONS.decode(ended.out)
        return found
