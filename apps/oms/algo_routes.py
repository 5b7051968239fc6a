"""`/algos`: parents that work a quantity over time. Submit, read, pause, resume, change, cancel."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from msgspec import UNSET
from msgspec.structs import replace

from apps.http.app import Exact
from apps.http.body import exact_number, moment
from apps.http.caller import caller_of
from apps.http.problem import malformed, problem_doc
from apps.http.schema import schema_of
from apps.oms.algo_body import SCHEMA_EXAMPLE, AlgoBody, AlgoReader, AmendBody, HaltBody, read_amend, read_halt, unsupported
from apps.oms.algo_reads import AlgoReads
from apps.oms.algo_view import result_view
from apps.oms.algos import AlgoHandler, check_quantity, question
from apps.oms.openapi import UNAVAILABLE, AccountQuery, CursorQuery, LimitQuery
from apps.oms.routes import readable
from apps.oms.submit import untradable
from apps.oms.submit_body import TermsReader
from domain.groups.schedule import LARGEST, even_slice, middle_of
from domain.instruments import Denial, Instrument, display_denial
from domain.order.algo import LIVE, AlgoFilter, AlgoState, AlgoTerms, Parent, Strategy, slices_between
from domain.order.algo_commands import AmendAlgo
from domain.ports import Clock
from domain.values import OrderType, plain

NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {404: problem_doc("`algo_not_found`")}
ENDED: Final[dict[int | str, dict[str, Any]]] = {409: problem_doc("`illegal_transition`: the state of the algo does not allow it")}


def _body(schema: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


SUBMIT_DOC: Final[dict[str, Any]] = {
    "openapi_extra": _body(schema_of(AlgoBody, example=SCHEMA_EXAMPLE)),
    "responses": {
        200: {"description": "Journaled: `submitted`, or `rejected` with its `reason`."},
        400: problem_doc("`malformed`, with a pointer to the field"),
        409: problem_doc("`client_algo_id_reused`: the id was used for another algo"),
        422: problem_doc("Well-formed but not possible, with a pointer to the field or parameter"),
        429: problem_doc("`overloaded`, with Retry-After"),
        503: problem_doc("`outcome`: `not_accepted` or `unknown`; retry with the same client_algo_id"),
    },
}
AMEND_DOC: Final[dict[str, Any]] = {
    "openapi_extra": _body(schema_of(AmendBody)),
    "responses": {
        200: {"description": "The algo, with the new terms."},
        400: problem_doc("`malformed`, with a pointer to the field"),
        409: problem_doc("`illegal_transition`; `quantity_committed`: so much has traded or may trade"),
        422: problem_doc("The new terms are not possible, or risk denied them"),
        **NOT_FOUND,
        **UNAVAILABLE,
    },
}
HALT_DOC: Final[dict[str, Any]] = {
    "openapi_extra": _body(schema_of(HaltBody), required=False),
    "responses": {200: {"description": "The algo."}, **ENDED, **NOT_FOUND, **UNAVAILABLE},
}
CANCEL_DOC: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The algo, ended."},
    202: {"description": "The algo, `ending`: its last child may still trade."},
    **ENDED,
    **NOT_FOUND,
    **UNAVAILABLE,
}
StatusQuery = Annotated[
    str,
    Query(pattern=f"^(open|closed|{'|'.join(AlgoState)})$", description="Only algos in this state; `open`, `closed`: in any such state."),
]
PlaceQuery = Annotated[str, Query(pattern="^[0-9]{1,9}$", description="`next` of the previous page.")]


def _states(status: str | None) -> tuple[AlgoState, ...]:
    if status is None:
        return ()
    if status in ("open", "closed"):
        going = (*LIVE, AlgoState.ENDING)
        return tuple(state for state in AlgoState if (state in going) == (status == "open"))
    return (AlgoState(status),)


class AlgoDoor:
    """What the routes share: the reader of bodies, and what may trade."""

    def __init__(self, reader: AlgoReader, terms: TermsReader, instruments: Mapping[str, Instrument], clock: Clock) -> None:
        self.reader = reader
        self._terms = terms
        self._instruments = instruments
        self._clock = clock

    def arrival(self, terms: AlgoTerms) -> Any:
        """Return the quote that the parent meets; None without one."""
        return self._terms.arrival(terms.symbol, terms.side)

    def check(self, terms: AlgoTerms) -> Callable[[], None]:
        """Return a function that raises the refusal of a parent that cannot trade now: 422."""

        def checked() -> None:
            now = self._clock.now_ns()
            self._check_terms(terms, now)
            self.reader.check_times(terms, now)
            self._check_slices(terms, now)

        return checked

    def _check_slices(self, terms: AlgoTerms, now: int) -> None:
        """Refuse a curve whose largest child could not trade: no slice of it ever would. Refusal 422."""
        if terms.strategy is Strategy.ICEBERG or terms.end_at is None:
            return
        instrument, least = self._instruments[terms.symbol], terms.params.child_quantity_min
        slices = slices_between(max(terms.start_at or now, now), terms.end_at, terms.params)
        most = LARGEST * even_slice(terms.quantity, slices, instrument.lot)
        price = terms.limit_price or middle_of(self.arrival(terms))
        if price is not None and abs(price) * most < instrument.notional_min:
            detail = f"two slices are worth {plain(abs(price) * most)}, less than the minimum notional {plain(instrument.notional_min)}"
            raise unsupported("slice_too_small", detail, "/params/interval_sec")
        if least is not None and most < least:
            detail = f"a child has at most two slices, {plain(most)}: less than child_quantity_min"
            raise unsupported("slice_too_small", detail, "/params/child_quantity_min")

    def _check_terms(self, terms: AlgoTerms, now: int) -> None:
        """Refusal 422 by the instrument."""
        display = terms.params.display_quantity
        denial = self._terms.denial(question(terms), now)
        if denial is None and terms.strategy is Strategy.ICEBERG and terms.limit_price is None:
            denial = Denial("price_required")
        if denial is None and display is not None:
            instrument = self._instruments[terms.symbol]
            denial = display_denial(instrument, OrderType.LIMIT, replace(question(terms), display_quantity=display))
        if denial is not None:
            raise untradable(denial)

    def amended(self, parent: Parent, asked: AmendBody, by: str) -> AmendAlgo:
        """Return the command that makes these changes. Refusal 400, 409, 422."""
        negative = self._terms.may_be_negative(parent.symbol)
        quantity = exact_number(asked.quantity, "quantity")
        limit_price: Decimal | None = exact_number(asked.limit_price, "limit_price", negative=negative)
        if asked.limit_price is not UNSET and limit_price is None:
            raise malformed("limit_price must be a number", "/limit_price")
        end_at = moment(asked.end_at, "end_at") if isinstance(asked.end_at, str) else parent.end_at
        params, _ = self.reader.params(parent.strategy, asked.params, parent.params)
        command = AmendAlgo(
            order_id=parent.algo_id,
            by=by,
            quantity=parent.quantity if quantity is None else quantity,
            limit_price=parent.limit_price if limit_price is None else limit_price,
            end_at=end_at,
            params=params,
        )
        check_quantity(parent, command.quantity)
        self._check_amended(parent, command)
        return command

    def _check_amended(self, parent: Parent, command: AmendAlgo) -> None:
        """Refusal 422."""
        now = self._clock.now_ns()
        terms = AlgoTerms(
            algo_id=parent.algo_id,
            account=parent.account,
            client_algo_id=parent.client_algo_id,
            symbol=parent.symbol,
            side=parent.side,
            quantity=command.quantity,
            strategy=parent.strategy,
            limit_price=command.limit_price,
            start_at=parent.start_at,
            end_at=command.end_at,
            params=command.params,
        )
        self._check_terms(terms, now)
        began = max(parent.start_at, now)
        if command.end_at is not None and command.end_at != parent.end_at:
            self.reader.check_end(parent.symbol, began, command.end_at)
        if (command.quantity, command.end_at, command.params) != (parent.quantity, parent.end_at, parent.params):
            self.reader.check_slices(terms, began, done=parent.slices)
            self._check_slices(terms, parent.start_at)


def router(algos: AlgoHandler, reads: AlgoReads, door: AlgoDoor) -> APIRouter:
    """Build the routes."""
    routes = APIRouter()
    _changes(routes, algos, reads, door)
    _reads(routes, reads)
    return routes


def _changes(routes: APIRouter, algos: AlgoHandler, reads: AlgoReads, door: AlgoDoor) -> None:
    @routes.post("/algos", **SUBMIT_DOC)
    async def submit_algo(request: Request) -> Response:
        """Submit an algo: a quantity that is worked over time with child orders."""
        caller = caller_of(request.scope)
        terms = door.reader.read(await request.body(), caller.account)
        result = await algos.submit(terms, door.arrival(terms), door.check(terms), by=caller.key_id)
        return Exact(result_view(result) | reads.shard_of(result.parent))

    @routes.patch("/algos/{algo_id}", **AMEND_DOC)
    async def amend_algo(algo_id: str, request: Request) -> Response:
        """Change an algo that has not ended: its quantity, limit price, end or parameters."""
        caller, asked = caller_of(request.scope), read_amend(await request.body())
        parent = await reads.own(algo_id, caller)
        await algos.amend(parent, lambda found: door.amended(found, asked, caller.key_id))
        return Exact(await reads.one(algo_id, caller))

    @routes.post("/algos/{algo_id}/pause", **HALT_DOC)
    async def pause_algo(algo_id: str, request: Request) -> Response:
        """Pause an algo: no slice follows, and its open child is cancelled unless `keep_child` is true."""
        caller, asked = caller_of(request.scope), read_halt(await request.body())
        await algos.pause(await reads.own(algo_id, caller), asked.reason, keeps_child=asked.keep_child, by=caller.key_id)
        return Exact(await reads.one(algo_id, caller))

    @routes.post("/algos/{algo_id}/resume", **HALT_DOC)
    async def resume_algo(algo_id: str, request: Request) -> Response:
        """Resume a paused algo. What it is behind is made up for by its rule."""
        caller, asked = caller_of(request.scope), read_halt(await request.body())
        await algos.resume(await reads.own(algo_id, caller), asked.reason, by=caller.key_id)
        return Exact(await reads.one(algo_id, caller))

    @routes.delete("/algos/{algo_id}", responses=CANCEL_DOC)
    async def cancel_algo(algo_id: str, request: Request) -> Response:
        """Cancel an algo and its open child. What has traded stays."""
        caller = caller_of(request.scope)
        await algos.cancel(await reads.own(algo_id, caller), by=caller.key_id)
        parent = await reads.find(algo_id, caller)
        return Exact((await reads.views(parent))[0], status_code=200 if parent.closed else 202)


def _reads(routes: APIRouter, reads: AlgoReads) -> None:
    @routes.get("/algos/{algo_id}", responses={**NOT_FOUND, **UNAVAILABLE})
    async def show_algo(algo_id: str, request: Request) -> Response:
        """Return an algo as it is."""
        return Exact(await reads.one(algo_id, caller_of(request.scope)))

    @routes.get("/algos", responses=UNAVAILABLE)
    async def show_algos(
        request: Request,
        account: AccountQuery | None = None,
        status: StatusQuery | None = None,
        limit: LimitQuery = 100,
        cursor: CursorQuery | None = None,
    ) -> Response:
        """List algos by creation time, newest first; `next` is null on the last page."""
        caller = caller_of(request.scope)
        return Exact(await reads.page(AlgoFilter(account=readable(caller, account), states=_states(status)), limit, cursor))

    @routes.get("/algos/{algo_id}/slices", responses={**NOT_FOUND, **UNAVAILABLE})
    async def show_slices(algo_id: str, request: Request, limit: LimitQuery = 1000, cursor: PlaceQuery = "0") -> Response:
        """Return the slices of an algo, the first one first, with what each was decided from and what became of its child."""
        return Exact(await reads.slices(algo_id, limit, int(cursor), caller_of(request.scope)))

    @routes.get("/algos/{algo_id}/events", responses={**NOT_FOUND, **UNAVAILABLE})
    async def show_algo_story(algo_id: str, request: Request, limit: LimitQuery = 1000, cursor: PlaceQuery = "0") -> Response:
        """Return the events of an algo with those of its orders in the same commits, in the order of the journal."""
        return Exact(await reads.story(algo_id, limit, int(cursor), caller_of(request.scope)))
