"""Orders for an opening or closing: released once and in time, never routed before, changed and cancelled while they wait."""

from decimal import Decimal

import msgspec
import pytest

from domain.instruments import flags_denial
from domain.narrative import told
from domain.order import commands as c
from domain.order.auction import Auction
from domain.order.lifecycle import State
from domain.order.order import created
from domain.order.terms import recorded, same_terms
from domain.values import OrderType, TimeInForce
from tests import given
from tests.table import Scene

OPENS, ENDS = 10, 60
"""Seconds after the scene has begun; each thing that is done takes one."""
SESSION = Auction("PAPER_A", given.NOW + OPENS * given.SECOND, given.NOW + ENDS * given.SECOND)
RELEASE = c.ReleaseHeld(order_id=given.ORDER_ID)


def waiting(tif: TimeInForce = TimeInForce.OPG) -> Scene:
    scene = Scene()
    scene.do(given.submit(msgspec.structs.replace(given.terms(), time_in_force=tif, auction=SESSION)))
    scene.play("> OrderSubmitted new, OrderRiskChecked risk_checked, OrderQueued queued")
    return scene


def at(scene: Scene, second: int) -> Scene:
    """The next thing is done at this second."""
    scene.now_ns = given.NOW + (second - 1) * given.SECOND
    return scene


@pytest.mark.parametrize("tif", [TimeInForce.OPG, TimeInForce.CLS])
def test_it_is_released_once_from_its_moment_on_and_routed_then(tif: TimeInForce) -> None:
    scene = waiting(tif)
    for command in (RELEASE, given.route(("R1", "PAPER_A", "10"))):
        assert not [event for event in at(scene, OPENS - 1).do(command) if type(event).__name__ != "TransitionRefused"]
    scene.play("= queued waits_for_auction=True")
    at(scene, OPENS).do(given.route(("R1", "PAPER_A", "10")))
    scene.play("> TransitionRefused queued")  # not before it is released
    at(scene, OPENS).do(RELEASE)
    scene.play("> OrderReleased queued venue=PAPER_A")
    scene.do(RELEASE)
    scene.play("> nothing")
    scene.play("route PAPER_A")
    scene.play("> OrderRouted routed")


def test_after_the_end_of_the_session_it_is_neither_released_nor_routed() -> None:
    late = waiting()
    assert at(late, ENDS).do(RELEASE) == ()
    late.do(c.ExpireOrder(order_id=given.ORDER_ID, reason="session_end"))
    late.play("> OrderExpired expired reason=session_end")
    released = waiting()
    at(released, ENDS - 1).do(RELEASE)
    at(released, ENDS).play("route PAPER_A")
    released.play("> TransitionRefused queued")


def test_what_a_venue_refuses_is_not_held_again() -> None:
    scene = waiting()
    at(scene, OPENS).do(RELEASE)
    for line in ("route PAPER_A", "reject throttled"):
        scene.play(line)
    scene.play("= rejected waits_for_auction=False")


def test_it_is_changed_in_place_and_cancelled_at_once_while_it_waits() -> None:
    scene = waiting()
    for line in (
        "replace 8 @49",
        "> OrderReplaced queued quantity=8 price=49",
        "= queued waits_for_auction=True",
        "cancel risk_control killed",
        "> OrderCancelled cancelled source=risk_control reason=killed",
    ):
        scene.play(line)
    assert scene.order is not None
    assert scene.order.auction == SESSION
    assert at(scene, OPENS).do(RELEASE) == ()


def test_a_release_changes_no_other_order() -> None:
    scene = Scene()
    scene.play("submit buy 10 @50")
    assert scene.do(RELEASE) == ()


def test_a_repeated_submit_is_the_same_order_though_another_session_would_be_next() -> None:
    terms = msgspec.structs.replace(given.terms(), time_in_force=TimeInForce.OPG, auction=SESSION)
    order = created(recorded(terms, given.NOW, ""))
    next_day = msgspec.structs.replace(terms, auction=Auction("PAPER_A", SESSION.at * 2, SESSION.ends_at * 2))
    assert same_terms(order, next_day)
    assert same_terms(order, msgspec.structs.replace(terms, auction=None))
    assert not same_terms(order, msgspec.structs.replace(terms, time_in_force=TimeInForce.CLS))
    assert not same_terms(order, msgspec.structs.replace(terms, quantity=Decimal(11)))


@pytest.mark.parametrize(
    ("kind", "post_only", "code"),
    [
        ("market", False, None),
        ("limit", False, None),
        ("stop", False, "time_in_force_not_allowed"),
        ("stop_limit", False, "time_in_force_not_allowed"),
        ("limit", True, "post_only_not_allowed"),
    ],
)
@pytest.mark.parametrize("tif", [TimeInForce.OPG, TimeInForce.CLS])
def test_only_market_and_limit_orders_wait_for_a_session(tif: TimeInForce, kind: str, code: str | None, *, post_only: bool) -> None:
    denial = flags_denial(OrderType(kind), tif, post_only)
    assert (denial.code if denial else None) == code


def test_the_story_says_what_it_waits_for() -> None:
    scene = waiting(TimeInForce.CLS)
    first = scene.events[0]
    assert told(first) == (
        "alice asks to buy 10 @ 50 BTCUSDT as limit cls; it waits for the closing of PAPER_A, until 2023-11-14T22:13:30.000000Z, "
        "and expires at 2023-11-14T22:14:20.000000Z."
    )
    (released,) = at(scene, OPENS).do(RELEASE)
    assert told(released) == "The time that it waited for at PAPER_A has come: it is routed now, as a day order."
    assert scene.order is not None
    assert scene.order.status is State.QUEUED
