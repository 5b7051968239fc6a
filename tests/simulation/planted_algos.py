"""Bugs of parents, planted one at a time: see planted.py."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import apps.exeq.algos
import apps.journal.algo_reactions
import domain.groups.parent
from apps.journal.algo_reactions import AlgoReactions
from apps.oms.algos import AlgoHandler
from domain.groups import schedule
from domain.order.algo import AlgoState, Parent
from domain.order.algo_commands import SubmitAlgo
from domain.order.order import Order
from domain.risk.exposure import Open
from domain.risk.parent_claims import ParentClaims
from domain.values import ZERO
from tests.simulation.planting import Patch, plant


@plant("exeq asks for slices of twice their quantity")
def _() -> list[Patch]:
    def decide(*given: Any) -> schedule.SliceDecision:
        found = schedule.decide(*given)
        return found._replace(quantity=2 * found.quantity)

    return [(apps.exeq.algos, "schedule", SimpleNamespace(**(vars(schedule) | {"decide": decide})))]


@plant("a parent that is paused or ending makes slices all the same")
def _() -> list[Patch]:
    good = domain.groups.parent._spawned

    def spawned(parent: Parent, *given: Any) -> Any:
        before, parent.state = parent.state, AlgoState.WORKING
        try:
            return good(parent, *given)
        finally:
            parent.state = before

    lively = SimpleNamespace(PAUSED=None)
    return [
        (domain.groups.parent, "_spawned", spawned),
        (apps.exeq.algos, "AlgoState", lively),
        (apps.exeq.algos, "LIVE", frozenset(AlgoState)),
    ]


@plant("the quantity of a child in doubt is sliced again")
def _() -> list[Patch]:
    return [(Parent, "doubtful_quantity", property(lambda self: ZERO))]


@plant("risk keeps the room of a parent that its children have used")
def _() -> list[Patch]:
    def wanted(self: ParentClaims, parent: Parent) -> Open | None:
        if parent.closed:
            return None
        return Open(parent.account, parent.symbol, parent.side, parent.quantity, Decimal(100), orders=0)

    return [(ParentClaims, "_wanted", wanted)]


@plant("a parent ends before its last child")
def _() -> list[Patch]:
    good = domain.groups.parent.follows

    def follows(parent: Parent, now: int, **bounds: Any) -> Any:
        before, parent.open_children = parent.open_children, ()
        try:
            return good(parent, now, **bounds)
        finally:
            parent.open_children = before

    return [(apps.journal.algo_reactions, "follows", follows)]


@plant("a client_algo_id that was used makes another parent")
def _() -> list[Patch]:
    good = domain.groups.parent.decide

    def decide(parent: Parent | None, command: Any, now: int, **bounds: Any) -> Any:
        return good(None if isinstance(command, SubmitAlgo) else parent, command, now, **bounds)

    return [(apps.journal.algo_reactions, "decide", decide), (AlgoHandler, "find", lambda self, algo_id: None)]


@plant("a parent that has ended leaves its child working")
def _() -> list[Patch]:
    def unwanted(parent: Parent, children: list[Order], refused: Any = ()) -> tuple[()]:
        return ()

    return [(apps.journal.algo_reactions, "unwanted", unwanted), (AlgoReactions, "look_at", lambda self, parent: [])]
