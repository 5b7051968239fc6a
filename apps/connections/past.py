"""Point-in-time queries: a helper program reads the journal, and its failures become refusals."""

from typing import Final

import structlog

from apps.http.problem import Refusal
from apps.runtime.helper_process import Busy, HelperProcess, NotStarted, TookTooLong

log = structlog.get_logger()

PAST_MAX_S: Final = 20.0
"""Deadline of one query."""
WAITING_MAX: Final = 4

_AGAIN: Final = {"Retry-After": "1"}


async def answer_of(program: HelperProcess, *arguments: str) -> bytes:
    """Return what the program wrote. Refusal 503 `past_busy`, `past_timeout`, `past_unavailable`."""
    try:
        ended = await program.ask(*arguments)
    except Busy:
        raise Refusal(503, "past_busy", "too many point-in-time queries are waiting", headers=_AGAIN) from None
    except TookTooLong:
        raise Refusal(503, "past_timeout", f"the journal could not be read within {PAST_MAX_S:g} s; retry", headers=_AGAIN) from None
    except NotStarted as trouble:
        log.warning("point-in-time query failed", arguments=arguments, reason=str(trouble))
        raise Refusal(503, "past_unavailable", str(trouble), headers=_AGAIN) from trouble
    if ended.code:
        log.warning("point-in-time query failed", arguments=arguments, code=ended.code, reason=ended.words)
        raise Refusal(503, "past_unavailable", ended.reason, headers=_AGAIN)
    return ended.out
