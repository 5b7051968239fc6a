"""`GET /algos/{id}/report`: how well a parent was worked, read from the journal."""

import asyncio
from collections.abc import Collection, Iterable
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from adapters.codec import ORDER_COMMITS
from apps.http.app import Exact, Refusal
from apps.http.caller import Caller, caller_of
from apps.http.order_view import View
from apps.http.problem import problem_doc
from apps.journal.shard_hosts import Hosts
from apps.oms.algo_reads import AlgoReads
from apps.oms.openapi import UNAVAILABLE
from apps.oms.submit import unavailable
from domain.groups.algo_report import report
from domain.order.algo import Parent, child_name_of
from domain.order.events import OrderEvent
from domain.ports import Journal, Unavailable
from domain.values import rfc3339

AT_ONCE: Final = 16
"""Commits that are read together."""
WAITING_MAX: Final = 8
"""Reports in progress or waiting. One is made at a time: that of a parent with 10 000 slices takes some seconds."""
DOCS: Final[dict[int | str, dict[str, Any]]] = {
    404: problem_doc("`algo_not_found`"),
    429: problem_doc("`overloaded`, with Retry-After"),
    **UNAVAILABLE,
}


class AlgoReports:
    """Makes reports on parents."""

    def __init__(self, hosts: Hosts, reads: AlgoReads) -> None:
        self._hosts = hosts
        self._reads = reads
        self._turn = asyncio.Lock()
        self._inside = 0

    async def of(self, algo_id: str, caller: Caller) -> View:
        """Return the report as of the parent's last commit. Refusal 404, 429, 503."""
        parent = await self._reads.find(algo_id, caller)
        if self._inside >= WAITING_MAX:
            raise Refusal(429, "overloaded", "too many reports are being made; retry", headers={"Retry-After": "1"})
        self._inside += 1
        try:
            async with self._turn:
                await self._hosts.of(parent.account).parents.settled(parent)
                return await self._made(parent)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble
        finally:
            self._inside -= 1

    async def _made(self, parent: Parent) -> View:
        """Unavailable."""
        host = self._hosts.of(parent.account)
        seq, status, wanted, seqs = parent.seen, parent.state, {parent.algo_id}, set(parent.seqs)
        for n in range(1, parent.slices + 1):
            child = host.find(self._hosts.shards.order_id(parent.account, child_name_of(parent.algo_id, n)))
            if child is not None:
                wanted.add(child.order_id)
                seqs.update(child.seqs)
            await asyncio.sleep(0)  # a child may be read from the store, on this thread: submits come in between
        found = report(await self._events(host.journal, sorted(each for each in seqs if each <= seq), wanted))
        named = {name: getattr(found, name) for name in found.__struct_fields__}
        at = found.deviation_at
        return {
            "algo_id": parent.algo_id,
            "client_algo_id": parent.client_algo_id,
            "account": parent.account,
            "symbol": parent.symbol,
            "side": parent.side,
            "strategy": parent.strategy,
            "status": status,
            **named,
            "deviation_at": None if at is None else rfc3339(at),
            "seq": seq,
            **self._hosts.shards.field(parent.account),
        }

    async def _events(self, journal: Journal, seqs: list[int], wanted: Collection[str]) -> list[OrderEvent]:
        """Return the events of these commits that are of the wanted ids, in the order of the journal. Unavailable."""
        found: list[OrderEvent] = []
        for begin in range(0, len(seqs), AT_ONCE):
            for events in await asyncio.gather(*map(partial(self._commit, journal), seqs[begin : begin + AT_ONCE])):
                found += [event for event in events if event.order_id in wanted]
        return found

    async def _commit(self, journal: Journal, seq: int) -> Iterable[OrderEvent]:
        recorded = await journal.read(seq)
        assert recorded is not None, f"the journal lost sequence {seq}"
        return ORDER_COMMITS.read(recorded).events


def router(reports: AlgoReports) -> APIRouter:
    """Build the route."""
    routes = APIRouter()

    @routes.get("/algos/{algo_id}/report", responses=DOCS)
    async def show_report(algo_id: str, request: Request) -> Response:
        """Return how well an algo was worked: its price against the arrival and the time's average, its fees, shares and delays."""
        return Exact(await reports.of(algo_id, caller_of(request.scope)))

    return routes
