"""What a list records with its lead order: each step once, and never anything about the order itself."""

from domain.order import commands as c
from domain.order.events import ListCancelRequested, ListEnded, ListExtended, ListFlagged, ListSubmitted, OrderReleased
from domain.order.lifecycle import State
from domain.order.order import Order
from tests import given
from tests.domain.groups.scene import ListScene, bracket


def events_of(scene: ListScene, command: c.OrderCommand) -> list[str]:
    scene.do(command)
    return [type(event).__name__ for event in scene.commits[-1]]


def test_each_step_of_a_list_is_recorded_once_and_keeps_the_state_of_its_lead() -> None:
    scene = bracket()
    lead = scene.lead
    asked = c.ListTerms(list_id="L", account=given.ACCOUNT, client_list_id="l-1", kind=scene.group.kind)
    steps: list[tuple[c.OrderCommand, list[str]]] = [
        (c.RecordList(order_id=lead, list=asked, members=(lead,)), []),
        (c.CancelList(order_id=lead), ["ListCancelRequested", "OrderCancelled", "OrderCancelled", "OrderCancelled", "ListEnded"]),
        (c.CancelList(order_id=lead), []),
        (c.EndList(order_id=lead, reason="cancelled"), []),
        (c.FlagList(order_id=lead, flag="forced", leg="X", reason="late"), ["ListFlagged"]),
        (c.FlagList(order_id=lead, flag="forced", leg="X", reason="late"), []),
    ]
    for command, expected in steps:
        assert events_of(scene, command) == expected
        assert scene.orders[lead].status in (State.QUEUED, State.CANCELLED)
    recorded = [event for commit in scene.commits for event in commit if event.order_id == lead]
    assert any(isinstance(event, ListSubmitted) for event in recorded)
    assert any(isinstance(event, ListCancelRequested) for event in recorded)
    assert any(isinstance(event, ListFlagged) for event in recorded)
    assert any(isinstance(event, ListEnded) for event in recorded)


def test_the_order_that_takes_the_place_of_another_is_recorded_with_it() -> None:
    scene = bracket()
    for line in ("rest entry", "fill entry 3", "rest take_profit", "fill take_profit 3", "fill entry 7"):
        scene.play(line)
    first, second = scene.group.slots[1]
    made = [event for event in scene.commits[-1] if isinstance(event, ListExtended)]
    assert (made[0].instead_of, made[0].member) == (first, second)
    assert events_of(scene, c.ExtendList(order_id=scene.lead, member=second, instead_of=first)) == []


def test_a_plain_order_keeps_no_list() -> None:
    order: Order = bracket().last("take_profit")
    assert order.group is None
    assert order.group_id == "L"


def test_a_stop_is_released_once() -> None:
    scene = bracket()
    for line in ("rest entry", "fill entry 10", "rest take_profit", "trigger stop_loss", "force stop_loss"):
        scene.play(line)
    assert any(isinstance(event, OrderReleased) and event.forced for event in scene.commits[-1])
    assert events_of(scene, c.ReleaseOrder(order_id=scene.last("stop_loss").order_id, forced=True)) == []
