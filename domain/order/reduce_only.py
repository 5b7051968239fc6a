"""Which open reduce-only orders exceed the position after it moved, and how each is cut.

The rule depends only on the current holding and open orders, not on how they came about. So it may be applied at any time, and
applying it twice changes nothing.
"""

from collections.abc import Iterable
from decimal import Decimal

from domain.order import commands as c
from domain.order.holdings import closable
from domain.order.lifecycle import UNROUTED, State
from domain.order.order import REDUCE_ONLY, Order
from domain.order.replace import reason_against, terms_wanted
from domain.values import ZERO, Side


def asked_open(order: Order) -> Decimal:
    """Return what the order may still trade once its venues have executed every pending request."""
    if order.status is State.PENDING_CANCEL:
        return ZERO
    if order.replacing is not None:
        return max(order.replacing.quantity - order.cum_quantity, ZERO)
    return order.leaves_quantity


def beyond(orders: Iterable[Order], held: Decimal) -> list[tuple[Order, Decimal]]:
    """Return the orders to cut, with what is left to each, so that together they do no more than close the position.

    `orders` are the open reduce-only orders of one account and symbol. The newest are cut first: each was approved for what the older ones
    had left of the position.
    """
    found: list[tuple[Order, Decimal]] = []
    newest_first = sorted(orders, key=lambda order: (order.created_at, order.order_id), reverse=True)
    for side in Side:
        ours = [order for order in newest_first if order.side is side]
        over = sum(map(asked_open, ours), ZERO) - closable(held, side)
        for order in ours:
            if over <= ZERO:
                break
            wants = asked_open(order)
            if wants > ZERO:
                left = max(wants - over, ZERO)
                over -= wants - left
                found.append((order, left))
    return found


def give_way(order: Order, left: Decimal, *, replaceable: bool = True) -> c.CancelOrder | c.ReplaceOrder | None:
    """Cut the order to what is left, or cancel it if nothing is left or its terms cannot be changed.

    None: a replace is pending at its venue, and only one request may be open at a time. The caller checks again after the venue's reply.
    """
    if left and order.status is State.PENDING_REPLACE:
        return None
    if left and replaceable and (order.status in UNROUTED or len(order.live_routes) == 1):
        quantity = order.cum_quantity + left
        if reason_against(order, terms_wanted(order, quantity, None, None)) is None:
            return c.ReplaceOrder(order_id=order.order_id, replace_id=order.next_replace_id, quantity=quantity, source="oms")
    return c.CancelOrder(order_id=order.order_id, source="oms", reason=REDUCE_ONLY)
