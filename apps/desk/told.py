"""`GET /alarms` and `GET /history`: what desk keeps besides its streams."""

from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from apps.desk.fold import DeskFold
from apps.desk.query import AccountsQuery, accounts_asked
from apps.desk.services import Services
from apps.http.app import Exact
from apps.http.caller import caller_of
from domain.access.scopes import EVERY_ACCOUNT
from domain.alarms import alarm_views

ALARMS_DOC: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Newest first, with the sequence of the journal up to which they are known; a key of one account sees its own."}
}


class Told:
    """The routes."""

    def __init__(self, fold: DeskFold, services: Services, seq: Callable[[], int]) -> None:
        self._fold = fold
        self._services = services
        self._seq = seq

    def router(self) -> APIRouter:
        router = APIRouter(tags=["past"])
        router.add_api_route("/alarms", self._alarms, methods=["GET"], summary="The newest alarms of the journal", responses=ALARMS_DOC)
        router.add_api_route("/history", self._history, methods=["GET"], summary="Latencies and load of the last hour, a sample every 10 s")
        return router

    async def _alarms(self, request: Request, account: AccountsQuery = None) -> Response:
        """Return late fills, overfills, quarantined reports, steps that were refused to venues, and orders that became in doubt."""
        accounts = accounts_asked(account or [], caller_of(request.scope))
        shown = [each for each in self._fold.alarms if EVERY_ACCOUNT in accounts or each.account in accounts]
        return Exact({"as_of_seq": self._seq(), "alarms": alarm_views(shown)})

    async def _history(self) -> Response:
        """Return the samples, the oldest one first. A restart of desk empties them."""
        return Response(self._services.last_hour.encoded(), media_type=Exact.media_type)
