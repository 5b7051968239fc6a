"""HTTP endpoints of a sink: what was put aside."""

from typing import Annotated, Final

from fastapi import APIRouter, Query

from apps.http.app import Exact, Refusal
from domain.archive.ports import DeadLetters
from domain.ports import Unavailable

PAGE_MAX: Final = 1000

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]


def sink_routes(letters: DeadLetters) -> APIRouter:
    router = APIRouter()

    @router.get("/dead-letters")
    async def dead_letters(limit: Limit = 100) -> Exact:
        """Return the newest rows that were put aside, with the reason, and how many each sink has had."""
        try:
            return Exact({"dead_letters": letters.newest(limit), "counts": letters.counts()})
        except Unavailable as trouble:
            raise Refusal(503, "dead_letters_unavailable", str(trouble)) from trouble

    return router
