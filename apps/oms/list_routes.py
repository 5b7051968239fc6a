"""`/order-lists`: orders that belong together. Submit, read, cancel."""

import asyncio
import secrets
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from adapters.codec import ORDER_COMMITS
from apps.http.app import Exact, Refusal
from apps.http.caller import Caller, account_not_yours, caller_of
from apps.http.order_view import View, event_view, fix_view
from apps.http.problem import problem_doc
from apps.http.schema import schema_of
from apps.journal.shard_hosts import Hosts
from apps.oms.list_body import ListBody, ListReader, first_denial
from apps.oms.list_view import list_view, result_view
from apps.oms.lists import ListHandler, Members
from apps.oms.openapi import UNAVAILABLE, AccountQuery, CursorQuery, LimitQuery
from apps.oms.reads import ForeignIds, OrderReads
from apps.oms.routes import readable
from apps.oms.submit import unavailable
from apps.oms.submit_body import TermsReader
from domain.groups.status import ListStatus, status_of
from domain.narrative import OwnerOf, no_owner
from domain.order.index import OrderFilter, lead_of
from domain.order.order import Order, evolve
from domain.ports import Clock, Unavailable

PAGES_MAX: Final = 20
"""Pages of lists that are read for one response when a status is asked for, which only their orders show."""

LIST_SCHEMA: Final = schema_of(
    ListBody,
    example={
        "type": "bracket",
        "orders": [
            {"symbol": "BTCUSDT", "side": "buy", "quantity": 0.2, "price": 45000},
            {"role": "take_profit", "price": 46000},
            {"role": "stop_loss", "stop_price": 44000},
        ],
    },
)
NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {404: problem_doc("`list_not_found`")}
SUBMIT_DOC: Final[dict[str, Any]] = {
    "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": {"schema": LIST_SCHEMA}}}},
    "responses": {
        200: {"description": "Journaled: `submitted`, or `rejected` as a whole, with the `leg` and its `reason`."},
        400: problem_doc("`malformed`, with a pointer to the field"),
        422: problem_doc("`not_a_list`; `client_list_id_reused`; or a `leg` is well-formed but not tradable, with a pointer"),
        429: problem_doc("`overloaded`, with Retry-After"),
        503: problem_doc("`outcome`: `not_accepted` or `unknown`; retry with the same client_list_id"),
    },
}
CANCEL_DOC: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The list, ended."},
    202: {"description": "The list: venues have not answered yet, or exits protect a position."},
    409: problem_doc("`illegal_transition`: the list has ended otherwise"),
    **NOT_FOUND,
    **UNAVAILABLE,
}
ListStatusQuery = Annotated[ListStatus, Query(description="Only lists with this status.")]
ExitsQuery = Annotated[str, Query(pattern="^(keep|cancel)$", description="Whether orders that protect a position are cancelled too.")]


class ListReads:
    """Reads of lists. Everything shown is durable."""

    def __init__(self, hosts: Hosts, reads: OrderReads, owner_of: OwnerOf = no_owner) -> None:
        self._hosts = hosts
        self._reads = reads
        self._owner_of = owner_of
        self._foreign = ForeignIds()

    async def find(self, list_id: str, caller: Caller) -> tuple[Order, Members]:
        """Return the lead and all orders of a list that the caller may read. Refusal 404, 503.

        A foreign list is refused in the same time as one that does not exist, as a foreign order is: see OrderReads.find.
        """
        await self._reads.proven(list_id)
        members = self._members(f"{list_id}?" if self._foreign.has(caller, list_id) else list_id)
        lead = lead_of(members)
        if lead is not None and caller.sees(lead.account):
            return lead, members
        if lead is not None:
            self._foreign.add(caller, list_id)
            if list_id in self._hosts.of_id(list_id).orders.groups:
                self._members(f"{list_id}?")  # an absent list is looked for in the store
        raise Refusal(404, "list_not_found", f"unknown list {list_id[:64]!r}")

    def _members(self, list_id: str) -> Members:
        try:
            return self._hosts.of_id(list_id).book.members(list_id)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble

    async def own(self, list_id: str, caller: Caller) -> Order:
        """Return the lead of a list that the caller may change. Refusal 403, 404, 503."""
        lead, _ = await self.find(list_id, caller)
        if not caller.owns(lead.account):
            raise account_not_yours()
        return lead

    async def one(self, list_id: str, caller: Caller) -> View:
        lead, members = await self.find(list_id, caller)
        await self._settled(lead, members)
        return list_view(lead, members) | self.shard_of(lead)

    def shard_of(self, lead: Order) -> dict[str, int]:
        """Return the field that says of which shard a sequence is; nothing where there is only one."""
        return self._reads.shard_of(lead.account)

    async def _settled(self, lead: Order, members: Members) -> None:
        try:
            await self._hosts.of(lead.account).settled(*members.values())
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble

    async def page(self, account: str | None, status: ListStatus | None, limit: int, cursor: str | None, caller: Caller) -> View:
        """Return a page of lists, newest first. With a status, the page may be short although more follow: `next` continues it."""
        shown: list[View] = []
        for _ in range(PAGES_MAX):
            found = await self._reads.page(OrderFilter(account=account, leads=True), limit - len(shown), cursor)
            cursor = found["next"]
            for order in found["orders"]:
                await asyncio.sleep(0)  # each list may be read from the store, on this thread: submits come in between
                lead, members = await self.find(order["group_id"], caller)
                assert lead.group is not None, "a lead has a group"
                if status is None or status_of(lead.group, members) is status:
                    await self._settled(lead, members)
                    shown.append(list_view(lead, members) | self.shard_of(lead))
            if cursor is None or len(shown) >= limit:
                break
        return {"lists": shown, "next": cursor}

    async def story(self, list_id: str, caller: Caller) -> list[View]:
        """Return every event of the list and of its orders, from the journal. Refusal 404, 503."""
        lead, members = await self.find(list_id, caller)
        await self._settled(lead, members)
        journal = self._hosts.of(lead.account).journal
        lines: list[View] = []
        orders: dict[str, Order] = {}
        for seq in sorted({seq for order in members.values() for seq in order.seqs}):
            try:
                recorded = await journal.read(seq)
            except Unavailable as trouble:
                raise unavailable(trouble, unknown=False) from trouble
            assert recorded is not None, f"the journal lost sequence {seq}"
            for event in ORDER_COMMITS.read(recorded).events:
                if event.order_id in members:
                    order = orders[event.order_id] = evolve(orders.get(event.order_id), event)
                    named = {"order_id": event.order_id, "role": order.role}
                    lines.append(named | event_view(event, seq, self._owner_of) | fix_view(event, order))
        return lines


def router(lists: ListHandler, reads: ListReads, terms: TermsReader, clock: Clock) -> APIRouter:
    """Build the routes."""
    routes, reader = APIRouter(), ListReader(terms)

    @routes.post("/order-lists", **SUBMIT_DOC)
    async def submit_list(request: Request) -> Response:
        """Submit a list of orders: all of them are accepted, or none."""
        caller = caller_of(request.scope)
        asked, legs = reader.read(await request.body(), caller.account, f"auto-{secrets.token_hex(12)}")
        result = await lists.submit(asked, legs, first_denial(terms, legs, clock.now_ns()), by=caller.key_id)
        return Exact(result_view(result) | reads.shard_of(result.lead))

    @routes.get("/order-lists/{list_id}", responses={**NOT_FOUND, **UNAVAILABLE})
    async def show_list(list_id: str, request: Request) -> Response:
        """Return a list with its orders."""
        return Exact(await reads.one(list_id, caller_of(request.scope)))

    @routes.get("/order-lists", responses=UNAVAILABLE)
    async def show_lists(
        request: Request,
        account: AccountQuery | None = None,
        status: ListStatusQuery | None = None,
        limit: LimitQuery = 100,
        cursor: CursorQuery | None = None,
    ) -> Response:
        """List lists by creation time, newest first; `next` is null on the last page."""
        caller = caller_of(request.scope)
        return Exact(await reads.page(readable(caller, account), status, limit, cursor, caller))

    @routes.get("/order-lists/{list_id}/events", responses={**NOT_FOUND, **UNAVAILABLE})
    async def show_story(list_id: str, request: Request) -> Response:
        """Return every event of the list and its orders, in the order of the journal."""
        return Exact({"list_id": list_id, "events": await reads.story(list_id, caller_of(request.scope))})

    @routes.delete("/order-lists/{list_id}", responses=CANCEL_DOC)
    async def cancel_list(list_id: str, request: Request, exits: ExitsQuery = "keep") -> Response:
        """Cancel a list: its entry and held orders. Orders that protect a position stay unless `exits=cancel`."""
        caller = caller_of(request.scope)
        lead = await reads.own(list_id, caller)
        await lists.cancel(lead, exits=exits == "cancel", by=caller.key_id)
        view = await reads.one(list_id, caller)
        return Exact(view, status_code=200 if view["reason"] else 202)

    return routes
