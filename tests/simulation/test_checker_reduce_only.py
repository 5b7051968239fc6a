"""The invariant of reduce_only: what only reduces stays within its position, or its venue has not heard yet."""

import msgspec
import pytest

from adapters.chain import GENESIS, following
from adapters.codec import ORDER_COMMITS
from domain.audit import checker
from domain.audit.checker import ObservedCommit
from domain.order import events as e
from domain.order.commands import OrderCommand
from domain.order.decider import decide
from domain.order.order import Order, evolve
from domain.ports import Head
from tests import given
from tests.given import NOW
from tests.simulation.test_checker import names

HOLDS, RESTS, OTHER = "holds", "rests", "other"


class Desk:
    """Orders of one account, by name, and the commits that they came in: what `|` parts is one of them."""

    def __init__(self) -> None:
        self.orders: dict[str, Order | None] = {}
        self.facts: list[list[e.OrderEvent]] = []

    def plays(self, text: str) -> list[ObservedCommit]:
        """Each step is a name and what is done to its order."""
        for line in text.split("|"):
            self.facts.append([])
            for step in line.split(","):
                name, *words = step.split()
                self._step(name, words)
        made, head = [], GENESIS
        for some in self.facts:
            payload = ORDER_COMMITS.encode(0, head.n + 1, some)
            head = Head(head.seq + 1, head.n + 1, following(head, payload))
            made.append(ObservedCommit(head.seq, head.n, head.chain, payload, tuple(some)))
        return made

    def _step(self, name: str, words: list[str]) -> None:
        order = self.orders.get(name)
        for event in decide(order, self._command(name, order, *words), NOW):
            order = self.orders[name] = evolve(order, event)
            self.facts[-1].append(event)

    def _command(self, name: str, order: Order | None, verb: str, *words: str) -> OrderCommand:
        match verb:
            case "buy" | "sell":
                asked = msgspec.structs.replace(given.terms(words[0], side=verb), order_id=name, client_order_id=name)
                return given.submit(msgspec.structs.replace(asked, reduce_only=name != HOLDS and name != OTHER))
            case "route":
                assert order is not None
                return msgspec.structs.replace(given.route((f"{name}-1", "PAPER_A", str(order.quantity))), order_id=name)
            case "cancel":
                return msgspec.structs.replace(given.cancel("oms", "reduce_only"), order_id=name)
            case _:
                assert order is not None
                quantity, exec_id = (words[0], f"{name}-{len(order.trades)}") if words else (None, f"{name}-0")
                said = given.report(
                    verb, route_id=f"{name}-1", exec_id=exec_id, quantity=quantity, price="50", side=order.side, report_seq=0
                )
                return msgspec.structs.replace(said, order_id=name, reason="too_late" if verb == "cancel_rejected" else "")


OPENED = f"{HOLDS} buy 10, {HOLDS} route, {HOLDS} fill 10 | {RESTS} sell 10, {RESTS} route | {OTHER} sell 10, {OTHER} route"


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ("", set()),
        (f"{RESTS} fill 10", set()),
        (f"{RESTS} fill 4 | {OTHER} fill 6, {RESTS} cancel", set()),
        (f"{OTHER} fill 10", {"reduce_only"}),
        (f"{OTHER} fill 10 | {RESTS} cancel", {"reduce_only"}),
        (f"{OTHER} fill 10, {RESTS} cancel | {RESTS} fill 10", set()),
        (f"{OTHER} fill 10, {RESTS} cancel | {RESTS} cancel_rejected | {RESTS} fill 3", set()),
        (f"{OTHER} fill 10, {RESTS} fill 10", {"reduce_only"}),
        (f"{HOLDS} bust", {"reduce_only"}),
        (f"{HOLDS} bust, {RESTS} cancel", set()),
        ("second sell 1", {"reduce_only"}),
        ("second sell 1, second cancel", set()),
        ("second buy 1", {"reduce_only"}),
    ],
)
def test_reduce_only_orders_stay_within_their_position_or_their_venue_has_not_heard(more: str, found: set[str]) -> None:
    story = Desk().plays(f"{OPENED} | {more}" if more else OPENED)
    assert names(checker.check_reduce_only(story)) == found
    assert checker.check_journal(story).violations == [], "nothing else is wrong"
