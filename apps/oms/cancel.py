"""Cancels: immediate while no venue has the order, else requested from the venue. Risk never blocks one; repeating changes nothing."""

import asyncio
from collections.abc import Sequence

from apps.http.app import Refusal
from apps.journal.shard_host import Landed
from apps.journal.shard_hosts import Hosts
from apps.oms.submit import unavailable
from domain.order.algo import LIVE, Parent
from domain.order.algo_commands import CancelAlgo
from domain.order.commands import CancelOrder
from domain.order.events import TransitionRefused
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.ports import Unavailable
from domain.values import Side


async def cancel(hosts: Hosts, order: Order, *, by: str) -> Landed:
    """Cancel an order for a client; `by` is its key id.

    Refusal 409 `illegal_transition` when it is closed but not cancelled, 503 when the journal is unavailable.
    """
    try:
        landed = await hosts.of(order.account).perform(CancelOrder(order_id=order.order_id, by=by))
    except Unavailable as trouble:
        raise unavailable(trouble, unknown=trouble.unknown) from trouble
    if any(isinstance(event, TransitionRefused) for event in landed.events):
        raise Refusal(409, "illegal_transition", f"a {order.status} order cannot be cancelled", state=order.status, order_id=order.order_id)
    return landed


def open_algos(hosts: Hosts, account: str, *, symbol: str | None = None, side: Side | None = None) -> list[Parent]:
    """Return the algos of an account that may still make orders."""
    parents = hosts.of(account).book.parents.by_id.values()
    wanted = [parent for parent in parents if parent.account == account and parent.state in LIVE]
    return [parent for parent in wanted if symbol in (None, parent.symbol) and side in (None, parent.side)]


async def cancel_algos(hosts: Hosts, parents: Sequence[Parent], *, by: str) -> None:
    """End algos, before their orders are cancelled: one that is still working would send more. Refusal 503."""
    commands = ((hosts.of(parent.account), CancelAlgo(order_id=parent.algo_id, by=by)) for parent in parents)
    try:
        await asyncio.gather(*(host.parents.perform(command) for host, command in commands))
    except Unavailable as trouble:
        raise unavailable(trouble, unknown=trouble.unknown) from trouble


async def cancel_all(hosts: Hosts, orders: Sequence[Order], algos: Sequence[Parent] = (), *, by: str) -> dict[str, int]:
    """Cancel these algos, and then every open order of the list. An order that closed meanwhile is counted as neither. Refusal 503."""
    await cancel_algos(hosts, algos, by=by)
    ended = {parent.algo_id for parent in algos}
    statuses = [order.status for order in orders if order.group_id in ended]  # cancelled with their algo
    results = await asyncio.gather(*(cancel(hosts, order, by=by) for order in orders if not order.closed), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not (isinstance(result, Refusal) and result.code == "illegal_transition"):
            raise result
    statuses += [landed.events[-1].status for landed in results if isinstance(landed, Landed) and landed.events]
    found = {"cancelled": statuses.count(State.CANCELLED), "pending": statuses.count(State.PENDING_CANCEL)}
    return found | {"algos": len(algos)} if algos else found
