"""Icebergs at a paper venue: the part that they show, and their turn when they show another one."""

from collections import deque
from collections.abc import Iterable, Iterator
from copy import copy
from decimal import Decimal
from itertools import groupby

from domain.paper.book import PaperOrder
from domain.paper.events import PartShown
from domain.paper.outcome import VenueOutcome
from domain.values import ZERO


class Turns:
    """Resting orders, the best price first, in the order in which they trade."""

    def __init__(self, orders: Iterable[PaperOrder]) -> None:
        self._orders = orders
        self._again: deque[PaperOrder] = deque()

    def again(self, order: PaperOrder) -> None:
        """Give the order another turn, behind all others at its price. Only while it is the current one."""
        self._again.append(order)

    def __iter__(self) -> Iterator[PaperOrder]:
        for _, level in groupby(self._orders, lambda order: order.request.price):
            yield from level
            while self._again:
                yield self._again.popleft()


def show_part(outcome: VenueOutcome, order: PaperOrder, leaves: Decimal) -> PaperOrder:
    """Show a part of an iceberg of which `leaves` are left to trade. Return the order as it is then, with nothing ahead of it."""
    new = copy(order)
    new.leaves, new.behind = leaves, ZERO
    new.shown = new.next_part
    outcome.events.append(PartShown(at=outcome.now_ns, route_id=order.request.route_id, quantity=new.shown))
    return new
