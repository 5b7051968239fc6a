"""A parent, its children and their venue, in memory: commands become events of one journal, by the rules that oms applies."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from domain.audit.journal_audit import ObservedCommit
from domain.groups.parent import AlgoRefused, child_terms, decide, follows, unwanted
from domain.order import algo as a
from domain.order import algo_commands as ac
from domain.order import commands as c
from domain.order import events as e
from domain.order.decider import decide as decide_order
from domain.order.order import Order, evolve
from domain.order.parent_fold import Parents
from domain.values import Liquidity
from tests import given
from tests.domain.groups.parents import ALGO_ID, START

REFUSALS_MAX: Final = 5
VENUE: Final = "PAPER_A"


class AlgoScene:
    """`denies`: the code with which risk refuses every child; empty: none. `now`: the time of oms, ns UTC."""

    def __init__(self, submitted: a.AlgoSubmitted) -> None:
        self.parents, self.orders = Parents(), dict[str, Order]()
        self.commits: list[ObservedCommit] = []
        self.denies = ""
        self.now = START
        self._reports = 0
        self.commit([submitted])

    @property
    def parent(self) -> a.Parent:
        return self.parents.by_id[ALGO_ID]

    @property
    def children(self) -> list[Order]:
        return list(self.orders.values())

    @property
    def events(self) -> list[e.OrderEvent]:
        return [event for commit in self.commits for event in commit.events]

    def commit(self, events: Sequence[e.OrderEvent]) -> None:
        """Apply the events and what follows from them for the parent, in one commit."""
        made = list(events)
        for event in made:
            self._apply(event)
        refused = [event.order_id for event in made if isinstance(event, e.CancelRejected)]
        for _ in range(16):
            own = follows(self.parent, self.now, refusals_max=REFUSALS_MAX)
            orders = [*own.orders, *unwanted(self.parent, [o for o in self.children if not o.closed], refused)] if made else []
            more = [*own.events, *(event for command in orders for event in self._decided(command))]
            if not more:
                break
            for event in more:
                self._apply(event)
            made += more
        if made:
            self.commits.append(ObservedCommit(len(self.commits) + 1, len(self.commits) + 1, "", b"", tuple(made)))

    def _apply(self, event: e.OrderEvent) -> None:
        if not isinstance(event, a.AnyAlgoEvent):
            self.orders[event.order_id] = evolve(self.orders.get(event.order_id), event)
        self.parents.apply(event)

    def _decided(self, command: c.OrderCommand) -> Sequence[e.OrderEvent]:
        found = decide_order(self.orders.get(command.order_id), command, self.now)
        return [event for event in found if not isinstance(event, e.TransitionRefused)]

    def perform(self, command: c.AlgoCommand | c.OrderCommand) -> AlgoRefused | None:
        """Decide and record a command to the parent or to a child."""
        if not isinstance(command, c.AlgoCommand):
            self.commit(self._decided(command))
            return None
        if isinstance(command, ac.SpawnChild) and (terms := child_terms(self.parent, command)) is not None:
            decision = given.denied(self.denies, terms.order_id) if self.denies else given.approved(terms.order_id)
            command = msgspec.structs.replace(command, decision=decision)
        decided = decide(self.parent, command, self.now, slices_max=10_000)
        if decided.refused is None:
            self.commit([*decided.events, *(event for order in decided.orders for event in self._decided(order))])
        return decided.refused

    def child(self, n: int) -> Order:
        """Return the child of slice `n`."""
        sliced = next(event for event in self.events if isinstance(event, a.AlgoSliced) and event.n == n)
        return self.orders[sliced.child]

    def route(self, n: int) -> None:
        """Send a child to its venue, which accepts it."""
        child = self.child(n)
        leg = e.Leg(f"{child.order_id}-1", VENUE, child.quantity)
        self.perform(c.RouteOrder(order_id=child.order_id, legs=(leg,), policy="best_price"))
        self.report(n, "accepted", venue_order_id=f"V{n}")

    def report(self, n: int, kind: str, **rest: str) -> None:
        """The venue reports about a child: fill, cancelled, rejected, ..."""
        child = self.child(n)
        self._reports += 1
        asked = given.report(kind, route_id=f"{child.order_id}-1", report_seq=self._reports, side=str(child.side), **rest)
        self.perform(msgspec.structs.replace(asked, order_id=child.order_id, at=self.now, liquidity=Liquidity.MAKER))

    def fill(self, n: int, quantity: str, price: str = "100", fee: str = "0") -> None:
        self.report(n, "fill", exec_id=f"F{self._reports + 1}", quantity=quantity, price=price, fee=fee)

    def doubt(self, n: int) -> None:
        child = self.child(n)
        self.perform(c.DoubtRoute(order_id=child.order_id, route_id=f"{child.order_id}-1", reason="disconnected", anyway=True))

    def cum(self) -> Decimal:
        return sum((order.cum_quantity for order in self.children), Decimal(0))
