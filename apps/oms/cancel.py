"""Cancels: immediate while no venue has the order, else requested from the venue. Risk never blocks one; repeating changes nothing."""

import asyncio
from collections.abc import Sequence

from apps.http.app import Refusal
from apps.journal.shard_host import Landed
from apps.journal.shard_hosts import Hosts
from apps.oms.submit import unavailable
from domain.order.commands import CancelOrder
from domain.order.events import TransitionRefused
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.ports import Unavailable


async def cancel(hosts: Hosts, order: Order, *, by: str) -> Landed:
    """Cancel an order for a client; `by` is its key id.

    Refusal 409 `illegal_transition` when it is closed but not cancelled, 503 when the journal is unavailable.
    """
    try:
        landed = await hosts.of(order.account).perform(CancelOrder(order_id=order.order_id, by=by))
    except Unavailable as trouble:
        raise unavailable(str(trouble), unknown=trouble.unknown) from trouble
    if any(isinstance(event, TransitionRefused) for event in landed.events):
        raise Refusal(409, "illegal_transition", f"a {order.status} order cannot be cancelled", state=order.status, order_id=order.order_id)
    return landed


async def cancel_all(hosts: Hosts, orders: Sequence[Order], *, by: str) -> dict[str, int]:
    """Cancel every open order of the list. An order that closed meanwhile is counted as neither. Refusal 503."""
    results = await asyncio.gather(*(cancel(hosts, order, by=by) for order in orders if not order.closed), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not (isinstance(result, Refusal) and result.code == "illegal_transition"):
            raise result
    statuses = [landed.events[-1].status for landed in results if isinstance(landed, Landed) and landed.events]
    return {"cancelled": statuses.count(State.CANCELLED), "pending": statuses.count(State.PENDING_CANCEL)}
