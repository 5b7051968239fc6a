"""The checker sees a trailing stop that loosens, moves when it must not, or is triggered before its price."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from domain.order import events as e
from domain.order.commands import Terms
from domain.order.lifecycle import State
from domain.order.trail import Trail
from tests import given
from tests.simulation.test_checker import audited, changed, names
from tests.table import check

D = Decimal
Break = Callable[[list[e.OrderEvent]], Sequence[e.OrderEvent]]


def life(*lines: str) -> list[e.OrderEvent]:
    asked = given.terms("10", None, side="buy", order_type="trailing_stop")
    terms: Terms = msgspec.structs.replace(asked, trail=Trail(amount=D(5)))
    scene = check("")
    scene.do(given.submit(terms, msgspec.structs.replace(given.approved(), reference=D(50))))
    for line in lines:
        scene.play(line)
    return [event for events in scene.history for event in events]


LIFE = ("trail PAPER_A stop 55 best 50", "trail PAPER_A stop 52 best 47", "trigger PAPER_A @52.5 stop 51 best 46")


def moved(place: int, **fields: Any) -> Break:
    def change(events: list[e.OrderEvent]) -> list[e.OrderEvent]:
        return [*events[:place], msgspec.structs.replace(events[place], **fields), *events[place + 1 :]]

    return change


BROKEN: dict[str, Break] = {
    "a step that loosens": moved(4, stop_price=D(56)),
    "a step to where it is": moved(4, stop_price=D(55)),
    "a best price that worsens": moved(4, best=D(51)),
    "a trigger that loosens": moved(5, stop_price=D(53)),
    "a trigger before its price": moved(5, price=D("50.9")),
    "a trigger without its level": moved(5, stop_price=None),
    "a step after the trigger": lambda es: [*es, msgspec.structs.replace(es[4], stop_price=D(50), best=D(45))],
    "a step of an order without a trail": lambda es: changed(es[:5], e.OrderSubmitted, trail=None),
    "a step after the end": lambda es: [
        *es[:4],
        e.OrderCancelled(order_id=given.ORDER_ID, at=1, status=State.CANCELLED, source="risk_control", reason="killed"),
        msgspec.structs.replace(es[4], status=State.CANCELLED),
    ],
}


def test_a_lawful_trail_breaks_nothing() -> None:
    events = life(*LIFE)
    assert [type(event).__name__ for event in events[3:]] == ["StopTrailed", "StopTrailed", "OrderTriggered"]
    assert audited(events).violations == []


@pytest.mark.parametrize("what", BROKEN)
def test_one_thing_changed_is_seen(what: str) -> None:
    assert names(audited(BROKEN[what](life(*LIFE))).violations) == {"stop_trails"}
