"""`GET /orders?at_seq=N` and `GET /changes` of desk: what was so at a sequence of the journal, and what changed between two.

Helper programs read the journal, beside the loop.
"""

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from apps.connections.past import answer_of
from apps.desk.query import AccountsQuery, NumbersQuery, accounts_asked, formats_asked
from apps.http.app import Exact
from apps.http.caller import caller_of
from apps.http.problem import Refusal
from apps.http.query import refused
from apps.runtime.helper_process import HelperProcess

ORDERS_MODULE: Final = "apps.tools.history.orders"
CHANGES_MODULE: Final = "apps.tools.history.changes"
ORDERS_MAX: Final = 5000
ORDERS_DEFAULT: Final = 1000
CHANGES_DEFAULT: Final = 500

ChangesLimit = Annotated[int, Query(ge=1, le=ORDERS_MAX, description="Orders, and as many positions; those that changed last come first.")]


class Past:
    """The routes. `end` returns the last sequence that was applied here."""

    def __init__(self, orders: HelperProcess, changes: HelperProcess, end: Callable[[], int]) -> None:
        self._orders_program = orders
        self._changes_program = changes
        self._end = end

    def router(self) -> APIRouter:
        router = APIRouter(tags=["past"])
        orders, changes = "The orders and positions as they were at a sequence of the journal", "What changed between two sequences"
        router.add_api_route("/orders", self._orders, methods=["GET"], summary=orders)
        router.add_api_route("/changes", self._changes, methods=["GET"], summary=changes)
        return router

    def stop(self) -> None:
        self._orders_program.stop()
        self._changes_program.stop()

    async def _orders(
        self,
        request: Request,
        at_seq: Annotated[int, Query(ge=1, description="A sequence of the journal. Orders of now are in the stream.")],
        account: AccountsQuery = None,
        limit: Annotated[int, Query(ge=1, le=ORDERS_MAX, description="Open orders first, then those that closed last.")] = ORDERS_DEFAULT,
        numbers: NumbersQuery = None,
    ) -> Response:
        accounts, formats = accounts_asked(account or [], caller_of(request.scope)), formats_asked(numbers)
        self._reached(at_seq)
        form = "string" if formats.as_text else "number"
        body = await answer_of(self._orders_program, str(at_seq), str(limit), form, *accounts)
        return Response(body, media_type=Exact.media_type, headers={"As-Of-Seq": str(at_seq)})

    async def _changes(
        self,
        request: Request,
        from_seq: Annotated[int, Query(ge=1, description="The earlier sequence of the journal.")],
        to_seq: Annotated[int, Query(ge=1, description="The later one. The answer says if it could not reach it.")],
        account: AccountsQuery = None,
        limit: ChangesLimit = CHANGES_DEFAULT,
        numbers: NumbersQuery = None,
    ) -> Response:
        """Return the orders and positions that are different at the later sequence, each as it was before and after."""
        accounts, formats = accounts_asked(account or [], caller_of(request.scope)), formats_asked(numbers)
        if to_seq < from_seq:
            raise refused("to_seq", "to_seq must not be before from_seq")
        self._reached(to_seq)
        form = "string" if formats.as_text else "number"
        body = await answer_of(self._changes_program, str(from_seq), str(to_seq), str(limit), form, *accounts)
        return Response(body, media_type=Exact.media_type)

    def _reached(self, seq: int) -> None:
        """Check that the journal has this sequence. Refusal 422."""
        end = self._end()
        if seq > end:
            raise Refusal(422, "seq_not_reached", f"the journal is at sequence {end}", as_of_seq=end)
