"""A kill at a random instant of a list's life: nothing is released after it, and nothing revives. GRP-9."""

import os
import random

from domain.audit.journal_audit import ObservedCommit
from domain.audit.list_audit import check_lists
from domain.order import commands as c
from domain.order import events as e
from domain.order.lifecycle import State
from tests.domain.groups.scene import LOT, ListScene
from tests.domain.groups.test_interleavings import EXITS, Day
from tests.given import SYMBOL

INSTANTS = 1000 if os.environ.get("TORTURE_ROUNDS") else 250
VERBS = ("buy", "buy", "sell", "answer", "rest", "trigger", "cancel_entry", "doubt")


def killed(scene: ListScene) -> None:
    """What oms does from then on: it forbids, and cancels what is open, each order as often as it takes."""
    scene.forbidden = True
    for order_id in list(scene.orders):
        if scene.orders[order_id].status is not State.PENDING_CANCEL:
            scene.do(c.CancelOrder(order_id=order_id, source="risk_control", reason="killed"))


def test_nothing_is_released_after_a_kill_and_nothing_revives() -> None:
    for seed in range(INSTANTS):
        chance = random.Random(seed)
        day = Day(strict=chance.random() < 0.5)
        for _ in range(chance.randint(0, 15)):
            day.act(chance.choice(VERBS), chance.choice(EXITS), chance.randint(1, 8))
        killed(day.scene)
        before = len(day.scene.commits)
        for _ in range(10):
            day.act(chance.choice(("buy", "sell", "answer")), chance.choice(EXITS), chance.randint(1, 8))
            killed(day.scene)
        day.scene.look()
        day.scene.forbidden = False
        day.scene.look()
        late = [event for commit in day.scene.commits[before:] for event in commit]
        assert not [event for event in late if isinstance(event, e.OrderQueued | e.OrderSubmitted)], seed
        observed = [ObservedCommit(n, n, "", b"", events) for n, events in enumerate(day.scene.commits, 1)]
        assert list(check_lists(observed, {SYMBOL: LOT})) == [], seed
