"""Open orders as oms shows them, compared with the fold of the journal."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, Final, Protocol

import httpx

from apps.http.app import encode
from apps.http.order_view import order_view
from apps.tools.verify.fold import JournalFold
from apps.tools.verify.orders import said
from apps.tools.verify.report import CheckLine
from domain.order.lifecycle import CLOSED, State
from domain.order.order import Order
from domain.ports import Unavailable

NAME: Final = "oms"
PAGE: Final = 100
"""Orders in one response; more would block oms."""
TRIES_MAX: Final = 20
OPEN: Final = tuple(state for state in State if state not in CLOSED)

View = dict[str, Any]


class Live(Protocol):
    """The live orders of oms. Unavailable."""

    def open(self) -> AsyncIterator[list[View]]: ...

    async def one(self, order_id: str) -> View | None: ...


class LiveOrders:
    """The open orders; closed ones are checked in the store. An order that changes is requested again until both versions match."""

    def __init__(self, live: Live, shard: int | None = None) -> None:
        """`shard`: the one whose orders are compared, where there are several."""
        self._live = live
        self._shard = shard
        self._shown: set[str] = set()

    async def compare(self, fold: JournalFold) -> CheckLine:
        found = await self._shown_ones(fold) or await self._missing_ones(fold)
        counts: dict[str, int | str] = {"open_orders": len(self._shown), "as_of": fold.head.seq}
        return CheckLine(NAME, "different" if found else "ok", counts, found)

    async def _shown_ones(self, fold: JournalFold) -> str:
        async for page in self._live.open():
            await fold.catch_up()
            for view in (view for view in page if self._shard is None or view["shard"] == self._shard):
                self._shown.add(view["order_id"])
                if found := await self._met(fold, view):
                    return found
        return ""

    async def _missing_ones(self, fold: JournalFold) -> str:
        """Check orders open by the journal that oms did not list: they have changed, or oms has lost them."""
        waiting = [order_id for order_id, line in fold.lines.items_in_order() if not line.order.closed and order_id not in self._shown]
        for order_id in waiting:
            view = await self._live.one(order_id)
            if (
                found := f"order {order_id} is open by the journal, and oms does not know it"
                if view is None
                else await self._met(fold, view)
            ):
                return found
        return ""

    async def _met(self, fold: JournalFold, view: View) -> str:
        """Compare one order at a common version. The later reading of either side has at least the version of the other."""
        order_id = view["order_id"]
        for _ in range(TRIES_MAX):
            if _version(fold, order_id) < view["version"]:
                await fold.catch_up()
                if (version := _version(fold, order_id)) < view["version"]:
                    return f"order {order_id} version: {version} by the journal, {view['version']} in oms"
            if (version := _version(fold, order_id)) == view["version"]:
                return difference(fold.lines[order_id].order, view)
            view = await self._live.one(order_id) or {"order_id": order_id, "version": 0}
            if view["version"] < version:
                return f"order {order_id} version: {version} by the journal, {view['version']} in oms"
        raise Unavailable(f"order {order_id} changes faster than it can be read")


def _version(fold: JournalFold, order_id: str) -> int:
    line = fold.lines.get(order_id)
    return line.order.version if line is not None else 0


def difference(order: Order, view: View) -> str:
    """Return the first field in which the view differs from the journal's order; empty if none."""
    made = _decoded(encode(order_view(order) | {"seq": order.seqs[-1]}))
    for field, value in made.items():
        if view.get(field) != value:
            return f"order {order.order_id} {field}: {said(value)} by the journal, {said(view.get(field))} in oms"
    return ""


class OmsReads:
    """The live orders, over HTTP."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def open(self) -> AsyncIterator[list[View]]:
        for state in OPEN:
            query = {"status": str(state), "limit": str(PAGE)}
            while True:
                page = await self._get("/orders", query) or {"orders": [], "next": None}
                yield page["orders"]
                if page["next"] is None:
                    break
                query["cursor"] = page["next"]

    async def one(self, order_id: str) -> View | None:
        return await self._get(f"/orders/{order_id}", {})

    async def _get(self, path: str, query: dict[str, str]) -> View | None:
        """Return the decoded response; None if the order does not exist."""
        try:
            answer = await self._http.get(path, params=query)
        except httpx.HTTPError as error:
            raise Unavailable(f"oms: {str(error) or type(error).__name__}") from error
        if answer.status_code == 404:
            return None
        if answer.status_code != 200:
            raise Unavailable(f"oms answered {answer.status_code}: {answer.text[:200]}")
        return _decoded(answer.content)


def _decoded(body: bytes) -> View:
    try:
        view: View = json.loads(body, parse_float=Decimal)
    except ValueError as error:
        raise Unavailable(f"the response is not from oms: {error}") from error
    return view
