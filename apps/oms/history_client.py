"""How oms asks for the past: in words that are answers or refusals."""

from typing import Final, Protocol

import structlog

from adapters.codec import decoder
from apps.http.problem import Refusal
from apps.runtime.helper_process import Busy, HelperProcess, NotStarted, TookTooLong
from domain.position.position import Position

log = structlog.get_logger()

MODULE: Final = "apps.tools.history"
PAST_MAX_S: Final = 20.0
"""From the asking to the answer. What was read by then is kept as saved books: asked again, it goes on from there."""
WAITING_MAX: Final = 4

_POSITIONS: Final = decoder(list[Position])


class PositionHistory(Protocol):
    """Positions as they were. Never from live state."""

    async def positions(self, account: str, seq: int) -> list[Position]:
        """By the journal up to and with `seq`. Refusal."""


class HistoryProcess:
    """Port: Past. The work is done by `python -m apps.tools.history`."""

    def __init__(self, program: HelperProcess) -> None:
        self._program = program

    async def positions(self, account: str, seq: int) -> list[Position]:
        try:
            ended = await self._program.ask(account, str(seq))
        except Busy:
            raise Refusal(503, "past_busy", "others wait for the past already", headers={"Retry-After": "1"}) from None
        except TookTooLong:
            raise Refusal(
                503, "past_timeout", f"the journal could not be read within {PAST_MAX_S:g} s; ask again", headers={"Retry-After": "1"}
            ) from None
        except NotStarted as trouble:
            log.warning("the past could not be read", account=account, at_seq=seq, reason=str(trouble))
            raise Refusal(503, "past_unavailable", str(trouble), headers={"Retry-After": "1"}) from trouble
        if ended.code:
            log.warning("the past could not be read", account=account, at_seq=seq, code=ended.code, reason=ended.words)
            raise Refusal(503, "past_unavailable", ended.words.rpartition("\n")[2] or "it ended", headers={"Retry-After": "1"})
        found: list[Position] = _POSITIONS.decode(ended.out)
        return found
