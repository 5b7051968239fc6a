"""Lists in exeq's fold: held legs are not routed, exclusive stops sleep here, and a triggered one waits until it is released."""

from adapters.codec import decoder, encode
from domain.execution.projection import Executions, ExecutionsState
from domain.order import events as e
from tests.domain.groups.scene import ListScene, bracket, check


def after(scene: ListScene, *, holds_stops: bool = False) -> Executions:
    executions = Executions(holds_stops=holds_stops)
    for events in scene.commits:
        for event in events:
            executions.apply(event)
    return executions


def queued(executions: Executions) -> list[str]:
    found = []
    while (order := executions.queue.take()) is not None:
        found.append(order.role)
    return found


def asleep(executions: Executions) -> list[str]:
    return [terms.role for stops in executions.held.sleeping.values() for terms in stops.values()]


def test_held_legs_are_not_routed() -> None:
    assert queued(after(bracket())) == ["entry"]


def test_an_exclusive_stop_sleeps_here_and_a_fast_one_at_the_venue() -> None:
    released = "rest entry\nfill entry 3"
    strict, fast = after(check(bracket(), released)), after(check(bracket(strict=False), released))
    assert (queued(strict), asleep(strict)) == (["take_profit"], ["stop_loss"])
    assert (queued(fast), asleep(fast)) == (["take_profit", "stop_loss"], [])


def test_a_triggered_stop_is_routed_only_after_its_release() -> None:
    scene = check(bracket(), "rest entry\nfill entry 3\nrest take_profit\ntrigger stop_loss")
    assert (queued(after(scene)), asleep(after(scene))) == ([], [])
    check(scene, "fill take_profit 1")
    assert queued(after(scene)) == [], "also with new terms"
    check(scene, "cancelled take_profit")
    executions = after(scene)
    order = executions.queue.take()
    assert order is not None
    assert (order.role, str(order.order_type)) == ("stop_loss", "market")
    assert order.quantity == 2


def test_a_stop_that_waits_still_waits_after_a_restart() -> None:
    scene = check(bracket(), "rest entry\nfill entry 3\nrest take_profit\ntrigger stop_loss")
    again = Executions()
    again.restore(decoder(ExecutionsState).decode(encode(after(scene).state())))
    assert queued(again) == []
    released = e.OrderReleased(order_id=scene.last("stop_loss").order_id, at=1, status=scene.last("stop_loss").status)
    again.apply(released)
    assert queued(again) == ["stop_loss"]
