"""Routes served by FastAPI: reads, cancels, the diagram. `POST /orders` is served by submit_endpoint.py and only documented here."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from apps.diagram.diagram import Counts, Format, draw
from apps.http.app import Exact, Refusal
from apps.http.caller import Caller, account_not_found, account_not_yours, caller_of, scope_missing
from apps.http.query import refused, time_window
from apps.http.route_scopes import OPERATE
from apps.journal.shard_hosts import Hosts
from apps.oms.accounts import Accounts
from apps.oms.cancel import cancel, cancel_all, open_algos
from apps.oms.openapi import (
    CANCEL_ALL_DOC,
    CANCEL_DOC,
    DRAWING_DOC,
    NOT_FOUND,
    NOT_REACHED,
    REPLACE_DOC,
    SUBMIT_DOC,
    TIMELINE_DOC,
    UNAVAILABLE,
    AccountPath,
    AccountQuery,
    ClientOrderIdQuery,
    CursorQuery,
    FillsCursorQuery,
    GroupIdQuery,
    LimitQuery,
    SinceQuery,
    StatusQuery,
    SymbolQuery,
    UntilQuery,
)
from apps.oms.reads import OrderReads
from apps.oms.replace import ReplaceHandler, read_replace
from apps.oms.submit import untradable
from domain.access.scopes import EVERY_ACCOUNT
from domain.instruments import Denial
from domain.order.index import OrderFilter
from domain.order.lifecycle import State
from domain.values import Side

MEDIA: Final = {
    "mermaid": "text/plain; charset=utf-8",
    "dot": "text/plain; charset=utf-8",
    "svg": "image/svg+xml",
    "json": "application/json",
}


def router(
    hosts: Hosts,
    reads: OrderReads,
    accounts: Accounts,
    replaces: ReplaceHandler,
    symbols: Collection[str],
    may_trade: Callable[[str], bool],
) -> APIRouter:
    """Build the routes. `symbols` are those of the catalogue. `may_trade`: whether the account is not closed."""
    routes = APIRouter()
    _orders(routes, hosts, reads)
    _changes(routes, hosts, reads, replaces, symbols, may_trade)
    _accounts(routes, accounts, reads)
    _drawing(routes, hosts)
    return routes


def _orders(routes: APIRouter, hosts: Hosts, reads: OrderReads) -> None:
    @routes.post("/orders", **SUBMIT_DOC)
    async def submit_order() -> None:
        """Submit an order. Served in front of FastAPI by apps/oms/submit_endpoint.py."""
        raise AssertionError("served by SubmitEndpoint")

    @routes.get("/orders/{order_id}", responses={**NOT_FOUND, **NOT_REACHED, **UNAVAILABLE})
    async def show_order(
        order_id: str, request: Request, at_seq: Annotated[int | None, Query(ge=1, description="The order as of this sequence.")] = None
    ) -> Response:
        """Return one order, current or as of a sequence. Everything shown is durable."""
        caller = caller_of(request.scope)
        view = await (reads.one(order_id, caller) if at_seq is None else reads.as_of(order_id, at_seq, caller))
        return Exact(view, headers=_shard_header(view))

    @routes.get("/orders/{order_id}/events", responses=TIMELINE_DOC)
    async def show_timeline(order_id: str, request: Request) -> Response:
        """Return every event of the order, with its sequence in the journal."""
        return Exact({"order_id": order_id, "events": await reads.timeline(order_id, caller_of(request.scope))})

    @routes.get("/orders", responses=UNAVAILABLE)
    async def list_orders(
        request: Request,
        account: AccountQuery | None = None,
        status: StatusQuery | None = None,
        symbol: SymbolQuery | None = None,
        client_order_id: ClientOrderIdQuery | None = None,
        group_id: GroupIdQuery | None = None,
        since: SinceQuery | None = None,
        until: UntilQuery | None = None,
        limit: LimitQuery = 100,
        cursor: CursorQuery | None = None,
    ) -> Response:
        """List orders by creation time, newest first; `next` is null on the last page. A symbol without orders returns an empty list."""
        since_ns, until_ns = time_window(since, until)
        wanted = OrderFilter(
            account=readable(caller_of(request.scope), account),
            symbol=symbol,
            client_order_id=client_order_id,
            group_id=group_id,
            since_ns=since_ns,
            until_ns=until_ns,
            **_standing(status),
        )
        return Exact(await reads.page(wanted, limit, cursor))


def _standing(status: str | None) -> dict[str, Any]:
    """Translate `status` into filter fields: one state, or all open or all closed states."""
    if status in ("open", "closed"):
        return {"closed": status == "closed"}
    return {} if status is None else {"status": State(status)}


def _changes(
    routes: APIRouter,
    hosts: Hosts,
    reads: OrderReads,
    replaces: ReplaceHandler,
    symbols: Collection[str],
    may_trade: Callable[[str], bool],
) -> None:
    @routes.patch("/orders/{order_id}", **REPLACE_DOC)
    async def replace_order(order_id: str, request: Request) -> Response:
        """Replace the terms of an open order. A repeated request changes nothing."""
        body = await request.body()
        read_replace(body, negative=True)  # a body that is invalid for any order is refused before the order is read
        order = await reads.find_own(order_id, caller_of(request.scope))
        if not may_trade(order.account):
            raise untradable(Denial("account_closed", order.account))
        await replaces.replace(order, replaces.read(order, body), by=caller_of(request.scope).key_id)
        view = await reads.one(order_id, caller_of(request.scope))
        return Exact(view, status_code=202 if view["status"] == State.PENDING_REPLACE else 200, headers=_shard_header(view))

    @routes.delete("/orders/{order_id}", responses=CANCEL_DOC)
    async def cancel_order(order_id: str, request: Request) -> Response:
        """Cancel an order. A repeated request changes nothing."""
        order = await reads.find_own(order_id, caller_of(request.scope))
        await cancel(hosts, order, by=caller_of(request.scope).key_id)
        view = await reads.one(order_id, caller_of(request.scope))
        return Exact(view, status_code=202 if view["status"] == State.PENDING_CANCEL else 200, headers=_shard_header(view))

    @routes.delete("/orders", responses=CANCEL_ALL_DOC)
    async def cancel_orders(
        request: Request,
        account: AccountQuery,
        symbol: SymbolQuery | None = None,
        side: Side | None = None,
        client_order_id: ClientOrderIdQuery | None = None,
        status: StatusQuery | None = None,
    ) -> Response:
        """Cancel the open orders of an account that match every given filter. Closed orders do not change.

        Without a client_order_id and a status the algos that match are cancelled too: they would send more orders.
        """
        caller = caller_of(request.scope)
        if readable(caller, account) and not caller.owns(account):
            raise account_not_yours()
        await reads.proven_of(account)
        opened = hosts.of(account).orders.open_of(account)
        if symbol is not None and symbol not in symbols and not any(order.symbol == symbol for order in opened):
            detail = f"unknown instrument {symbol}: nothing was cancelled"
            raise Refusal(422, "unknown_symbol", detail, pointer="?symbol", within="query")
        wanted = OrderFilter(symbol=symbol, client_order_id=client_order_id, **_standing(status))
        chosen = [order for order in opened if wanted.takes(order) and side in (None, order.side)]
        algos = open_algos(hosts, account, symbol=symbol, side=side) if client_order_id is None and status is None else []
        return Exact(await cancel_all(hosts, chosen, algos, by=caller_of(request.scope).key_id))


def _accounts(routes: APIRouter, accounts: Accounts, reads: OrderReads) -> None:
    @routes.get("/positions/{account}", responses={**NOT_REACHED, **UNAVAILABLE})
    async def show_positions(
        account: AccountPath,
        request: Request,
        min_seq: int = Query(0, ge=0, description="Wait up to 2 s until the positions reflect this sequence."),
        at_seq: Annotated[int | None, Query(ge=1, description="Positions as of this sequence, computed from the journal alone.")] = None,
    ) -> Response:
        """Return the account's positions by symbol; the header As-Of-Seq gives the sequence that they reflect."""
        readable(caller_of(request.scope), account)
        if at_seq is None:
            view, seq = await accounts.positions(account, min_seq)
        elif min_seq:
            raise refused("at_seq", "min_seq and at_seq cannot be combined")
        else:
            await reads.reached(account, at_seq)
            view, seq = await accounts.positions_at(account, at_seq), at_seq
        return Exact(view, headers={"As-Of-Seq": str(seq)} | _shard_header(reads.shard_of(account)))

    @routes.get("/fills/{account}", responses=UNAVAILABLE)
    async def show_fills(
        account: AccountPath,
        request: Request,
        symbol: SymbolQuery | None = None,
        since: SinceQuery | None = None,
        until: UntilQuery | None = None,
        limit: LimitQuery = 100,
        cursor: FillsCursorQuery | None = None,
    ) -> Response:
        """Return rows of the fills table, newest first; `next` is null on the last page. Pages reach back to the first trade."""
        readable(caller_of(request.scope), account)
        since_ns, until_ns = time_window(since, until)
        view = await accounts.fills(account, symbol=symbol, since_ns=since_ns, until_ns=until_ns, limit=limit, cursor=cursor)
        return Exact(view)


def _shard_header(view: Mapping[str, object]) -> dict[str, str]:
    """Return the header that says of which shard the answer is; none where there is only one."""
    return {"Shard": str(view["shard"])} if "shard" in view else {}


def readable(caller: Caller, account: str | None) -> str | None:
    """Return the account that a read is about: by default the caller's, None for all. Refusal 404 for one that the caller may not see."""
    if account is None:
        return None if caller.sees(EVERY_ACCOUNT) else caller.account
    if not caller.sees(account):
        raise account_not_found()
    return account


def _drawing(routes: APIRouter, hosts: Hosts) -> None:
    @routes.get("/diagram", response_class=Response, responses=DRAWING_DOC)
    async def show_diagram(request: Request, form: Annotated[Format, Query(alias="format")] = "mermaid", counts: bool = False) -> Response:
        """Draw the order state machine. `counts` adds the orders in each state and the transitions since this process recovered."""
        if counts and not caller_of(request.scope).mask & OPERATE:
            raise scope_missing(OPERATE)  # they count the orders of all accounts
        return Response(draw(form, _counts(hosts) if counts else None), media_type=MEDIA[form])


def _counts(hosts: Hosts) -> Counts:
    if len(hosts.all) == 1:
        return Counts(states=hosts.all[0].orders.states, steps=hosts.all[0].orders.steps)
    states, steps = Counter[State](), Counter[tuple[State, str]]()
    for host in hosts.all:
        states.update(host.orders.states)
        steps.update(host.orders.steps)
    return Counts(states=states, steps=steps)
