"""What parents of algos keep for the children that they may still make. A part of the risk fold.

A child passes no check of exposure of its own: its parent passed them for the full quantity. So that no other order uses the room, what is
neither traded nor in a child counts as a claim at the price that valued the parent.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final

from domain.order import events as e
from domain.order.algo import LIVE, Parent
from domain.order.parent_fold import Parents
from domain.risk.exposure import Exposure, Open
from domain.values import ZERO

_BEFORE_COUNTED: Final = frozenset({e.AlgoSliced, e.OrderSubmitted})
"""Events of a child before it counts at risk: until then its quantity stays in the claim, so that the sum is never too small."""


class ParentClaims:
    """Keeps the claim of each parent that has not ended."""

    def __init__(self, exposure: Exposure, rate: Callable[[str], Decimal]) -> None:
        """`rate`: of a symbol's currency, in USD."""
        self._exposure = exposure
        self._rate = rate
        self._parents = Parents()

    def has(self, algo_id: str) -> bool:
        """Return whether there is such a parent, and it may make children."""
        parent = self._parents.by_id.get(algo_id)
        return parent is not None and parent.state in LIVE

    def apply(self, event: e.OrderEvent) -> None:
        """Apply an event, after an order's own stake was changed."""
        if not self._parents.concerns(event):
            return
        parent = self._parents.apply(event)
        if parent is None:
            return
        if isinstance(event, e.AlgoSubmitted):
            self._exposure.release(event.order_id)
        elif isinstance(event, e.AlgoAmended):
            self._exposure.release(event.amend_id)
        if type(event) not in _BEFORE_COUNTED:
            self._claim(parent)

    def _claim(self, parent: Parent) -> None:
        self._exposure.claimed(parent.algo_id, self._wanted(parent))
        if parent.closed and not parent.open_children:
            self._parents.forget(parent.algo_id)

    def _wanted(self, parent: Parent) -> Open | None:
        if parent.state not in LIVE or not parent.free_quantity:
            return None
        price = ZERO if parent.reference is None else abs(parent.reference) * self._rate(parent.symbol)
        return Open(parent.account, parent.symbol, parent.side, parent.free_quantity, price, orders=0)

    def state(self) -> tuple[tuple[Parent, ...], tuple[tuple[str, str], ...]]:
        """Return the parents, and the parent of each of their children."""
        return self._parents.state()

    def restore(self, parents: Iterable[Parent], children: Iterable[tuple[str, str]]) -> None:
        """Continue from a state, in an empty exposure."""
        self._parents.restore(parents, children)
        for parent in self._parents.by_id.values():
            self._exposure.claimed(parent.algo_id, self._wanted(parent))
