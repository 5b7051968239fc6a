"""The routes that FastAPI serves: reads, cancels, the drawing. `POST /orders` is in door.py; its twin here only documents it."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Response

from apps.host import Host
from apps.http import Exact, Refusal
from apps.oms.accounts import Accounts
from apps.oms.body import identifier
from apps.oms.cancels import cancel, cancel_all
from apps.oms.docs import SUBMIT_DOC
from apps.oms.reads import LIST_MAX, Reads, status_filter
from domain.drawing import Counts, Format, draw
from domain.lifecycle import State
from domain.values import Side, from_rfc3339

MEDIA: Final = {"mermaid": "text/plain; charset=utf-8", "dot": "text/plain; charset=utf-8", "svg": "image/svg+xml"}


def router(host: Host, reads: Reads, accounts: Accounts) -> APIRouter:
    routes = APIRouter()
    _orders(routes, host, reads)
    _accounts(routes, accounts)
    _drawing(routes, host)
    return routes


def _orders(routes: APIRouter, host: Host, reads: Reads) -> None:
    @routes.post("/orders", **SUBMIT_DOC)
    async def submit_order() -> None:
        """Submit an order. Served in front of FastAPI by apps/oms/door.py."""
        raise AssertionError("the fast path serves this")

    @routes.get("/orders/{order_id}")
    async def show_order(order_id: str) -> Response:
        return Exact(await reads.one(order_id))

    @routes.get("/orders/{order_id}/events")
    async def show_timeline(order_id: str) -> Response:
        return Exact({"order_id": order_id, "events": await reads.timeline(order_id)})

    @routes.get("/orders")
    async def list_orders(
        account: str | None = None,
        status: str | None = None,
        symbol: str | None = None,
        client_order_id: str | None = None,
        limit: int = Query(100, ge=1, le=LIST_MAX),
        cursor: int | None = Query(None, ge=0),
    ) -> Response:
        wanted = {"account": account, "status": status and status_filter(status), "symbol": symbol, "client_order_id": client_order_id}
        return Exact(await reads.page({k: v for k, v in wanted.items() if v is not None}, limit, cursor))

    @routes.delete("/orders/{order_id}")
    async def cancel_order(order_id: str) -> Response:
        order = reads.find(order_id)
        await cancel(host, order)
        view = await reads.one(order_id)
        return Exact(view, status_code=202 if view["status"] == State.PENDING_CANCEL else 200)

    @routes.delete("/orders")
    async def cancel_orders(account: str, symbol: str | None = None, side: Side | None = None) -> Response:
        identifier(account, "account")
        if not host.ready:
            raise Refusal(503, "journal_unavailable", "the order journal is not available", outcome="not_accepted")
        orders = [
            order
            for order in host.orders.by_account.get(account, [])
            if not order.closed and symbol in (None, order.symbol) and side in (None, order.side)
        ]
        return Exact(await cancel_all(host, orders))


def _accounts(routes: APIRouter, accounts: Accounts) -> None:
    @routes.get("/positions/{account}")
    async def show_positions(account: str, min_seq: int = Query(0, ge=0)) -> Response:
        identifier(account, "account")
        view, seq = await accounts.positions(account, min_seq)
        return Exact(view, headers={"As-Of-Seq": str(seq)})

    @routes.get("/fills/{account}")
    async def show_fills(
        account: str, symbol: str | None = None, since: str | None = None, limit: int = Query(100, ge=1, le=LIST_MAX)
    ) -> Response:
        identifier(account, "account")
        return Exact({"fills": await accounts.fills(account, symbol, _since(since), limit)})


def _since(text: str | None) -> int:
    try:
        return from_rfc3339(text) if text else 0
    except (ValueError, OverflowError):
        raise Refusal(400, "malformed", "since must be a time with its zone, for example 2026-01-31T12:00:00Z", pointer="/since") from None


def _drawing(routes: APIRouter, host: Host) -> None:
    @routes.get("/diagram")
    async def show_diagram(form: Annotated[Format, Query(alias="format")] = "mermaid", counts: bool = False) -> Response:
        """The machine that runs; with `counts`, how many orders are in each state and took each step since this process recovered."""
        return Response(draw(form, _counts(host) if counts else None), media_type=MEDIA[form])


def _counts(host: Host) -> Counts:
    return Counts(states=host.orders.states, steps=host.orders.steps)
