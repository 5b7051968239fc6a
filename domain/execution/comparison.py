"""Compare our orders with a venue's reports. Closed orders on which both agree are counted and dropped from memory."""

from decimal import Decimal
from typing import Final

import msgspec

from domain.execution.reconciliation import OrderDifference, TheirRoute, VenueView, differences
from domain.order import events as e
from domain.order.commands import VenueReport
from domain.order.index import Orders
from domain.order.order import Order
from domain.values import ZERO, signed

STATE_VERSION: Final = 1
"""To be raised when the fields of the state stay and their meaning changes."""

WITHOUT_EFFECT: Final[tuple[type[e.Event], ...]] = (e.TransitionRefused, e.ReportQuarantined, *e.OF_NO_ORDER)
"""Events on a forgotten order that change nothing in the comparison."""


class Agreed(msgspec.Struct):
    """Closed orders on which both sides agree: how many in all, how many were at the venue, with how many trades.

    `positions` are those that the trades made, by account and symbol.
    """

    closed: int = 0
    orders: int = 0
    trades: int = 0
    positions: dict[str, dict[str, Decimal]] = {}


class ComparisonState(msgspec.Struct, frozen=True):
    """A comparison that can be stored.

    `heard` is the last report that our journal has applied, `last` the last one that was read here. `strangers` are known to be none of our
    orders.
    """

    heard: int
    last: int
    orders: list[Order]
    routes: dict[str, TheirRoute]
    trades: dict[str, VenueReport]
    agreed: Agreed
    strangers: list[str]


class Comparison:
    """A fold of both sides.

    `keep` names orders that are never forgotten. `touched` collects forgotten orders that have a new event: this comparison is then
    invalid, and a new one has to keep them.
    """

    def __init__(self, venue: str, state: ComparisonState | None = None, keep: frozenset[str] = frozenset()) -> None:
        self.orders = Orders()
        self.view = VenueView(venue)
        self.agreed = Agreed()
        self.touched: set[str] = set()
        self._keep = keep
        if state is not None:
            self._restore(state)

    def _restore(self, state: ComparisonState) -> None:
        for order in state.orders:
            self.orders.adopt(order)
        self.orders.report_seqs[self.view.venue] = state.heard
        self.view.last, self.view.routes, self.view.trades = state.last, dict(state.routes), dict(state.trades)
        self.agreed = state.agreed
        self._keep = frozenset(state.strangers)

    def state(self) -> ComparisonState:
        orders, view = list(self.orders.by_id.values()), self.view
        known = {route.first.order_id for route in view.routes.values()}
        strangers = sorted(known & self._keep - self.orders.by_id.keys())
        return ComparisonState(self.heard, view.last, orders, view.routes, view.trades, self.agreed, strangers)

    @property
    def heard(self) -> int:
        """The last of the venue's reports that our journal has applied."""
        return self.orders.report_seqs.get(self.view.venue, 0)

    @property
    def trades(self) -> int:
        return self.agreed.trades + len(self.view.trades)

    @property
    def routed(self) -> int:
        """How many of our orders the venue had."""
        return self.agreed.orders + sum(self._at_venue(order) for order in self.orders.by_id.values())

    def ours(self, event: e.OrderEvent) -> None:
        if self._forgotten(event.order_id) and not isinstance(event, e.OrderSubmitted):
            if not isinstance(event, WITHOUT_EFFECT):
                self.touched.add(event.order_id)
            return
        self.orders.apply(event)

    def theirs(self, report: VenueReport) -> None:
        self.view.apply(report)

    def strangers(self) -> set[str]:
        """Return the orders that the venue has reported and our side does not have, or not yet.

        An order that remains here was forgotten, or is not ours: only a new comparison, which keeps it, can decide.
        """
        return {order_id for route in self.view.routes.values() if self._forgotten(order_id := route.first.order_id)}

    def _forgotten(self, order_id: str) -> bool:
        return self.agreed.closed > 0 and order_id not in self.orders.by_id and order_id not in self._keep

    def differences(self) -> list[OrderDifference]:
        return differences(self.view, self.orders.by_id, self.agreed.positions)

    def settle(self) -> None:
        """Forget the closed orders on which both sides agree."""
        named = self._keep | {difference.order_id for difference in self.differences()}
        done = {order.order_id: order for order in self.orders.by_id.values() if order.closed and order.order_id not in named}
        for order in done.values():
            self._count(order)
            self.orders.forget(order)
        self.view.routes = {route_id: route for route_id, route in self.view.routes.items() if route.first.order_id not in done}
        self.view.trades = {exec_id: trade for exec_id, trade in self.view.trades.items() if trade.order_id not in done}

    def _count(self, order: Order) -> None:
        self.agreed.closed += 1
        self.agreed.orders += self._at_venue(order)
        for trade in order.trades:
            if trade.venue == self.view.venue and not trade.busted:
                positions = self.agreed.positions.setdefault(order.account, {})
                positions[order.symbol] = positions.get(order.symbol, ZERO) + signed(order.side, trade.quantity)
                self.agreed.trades += 1

    def _at_venue(self, order: Order) -> bool:
        return any(route.venue == self.view.venue for route in order.routes)
