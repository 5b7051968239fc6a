"""`GET /orders?at_seq=N` of desk: the orders as they were at a sequence, by the journal. A helper program reads them, beside the loop."""

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from apps.connections.past import answer_of
from apps.desk.query import AccountsQuery, NumbersQuery, accounts_asked, formats_asked
from apps.http.app import Exact
from apps.http.caller import caller_of
from apps.http.problem import Refusal
from apps.runtime.helper_process import HelperProcess

MODULE: Final = "apps.tools.history.orders"
ORDERS_MAX: Final = 5000
ORDERS_DEFAULT: Final = 1000


class PastOrders:
    """The route. `end` returns the last sequence that was applied here."""

    def __init__(self, program: HelperProcess, end: Callable[[], int]) -> None:
        self._program = program
        self._end = end

    def router(self) -> APIRouter:
        router = APIRouter(tags=["past"])
        router.add_api_route("/orders", self._orders, methods=["GET"], summary="The orders as they were at a sequence of the journal")
        return router

    async def _orders(
        self,
        request: Request,
        at_seq: Annotated[int, Query(ge=1, description="A sequence of the journal. Orders of now are in the stream.")],
        account: AccountsQuery = None,
        limit: Annotated[int, Query(ge=1, le=ORDERS_MAX, description="Open orders first, then those that closed last.")] = ORDERS_DEFAULT,
        numbers: NumbersQuery = None,
    ) -> Response:
        accounts, formats = accounts_asked(account or [], caller_of(request.scope)), formats_asked(numbers)
        end = self._end()
        if at_seq > end:
            raise Refusal(422, "seq_not_reached", f"the journal is at sequence {end}", as_of_seq=end)
        form = "string" if formats.as_text else "number"
        body = await answer_of(self._program, str(at_seq), str(limit), form, *accounts)
        return Response(body, media_type=Exact.media_type, headers={"As-Of-Seq": str(at_seq)})
