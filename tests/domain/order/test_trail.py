"""A trailing stop as its order records it: each step is tighter, and the trigger has the very level."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from domain.instruments import Instrument
from domain.narrative import told
from domain.order.commands import Terms
from domain.order.order import Order, evolved
from domain.order.terms import again, same_terms
from domain.order.trail import Trail, trail_denial
from domain.values import OrderType
from tests import given
from tests.table import Scene

D = Decimal
BTC = Instrument(
    symbol="BTCUSDT", tick=D("0.5"), lot=D("0.001"), quantity_max=D(100), notional_min=D(5), currency="USD", collar_pct=D(5), shortable=True
)


def trailing(side: str = "sell", stop_price: str | None = None, **trail: Any) -> Terms:
    asked = given.terms("10", None, side=side, order_type="trailing_stop")
    first = None if stop_price is None else D(stop_price)
    return msgspec.structs.replace(asked, stop_price=first, trail=Trail(**({"amount": D(5)} | trail)))


def play(terms: Terms, text: str) -> Scene:
    scene = Scene()
    scene.do(given.submit(terms))
    for line in text.strip().splitlines():
        scene.play(line.strip())
    return scene


def of(scene: Scene) -> Order:
    assert scene.order is not None
    return scene.order


def test_a_stop_that_trails_only_tightens_and_then_is_a_market_order() -> None:
    scene = play(
        trailing(),
        """trail PAPER_A stop 95 best 100
           > StopTrailed queued venue=PAPER_A stop_price=95 best=100
           trail PAPER_B stop 98 best 103
           > StopTrailed queued stop_price=98 best=103
           trail PAPER_B stop 98 best 103
           > nothing
           trail PAPER_A stop 97 best 102
           > nothing
           trigger PAPER_A @97.9
           > OrderTriggered queued price=97.9 stop_price=98 best=103 limit_price=None
           trail PAPER_A stop 99 best 104
           > nothing
           trigger PAPER_A @97
           > nothing
           route PAPER_A
           > OrderRouted routed""",
    )
    order = of(scene)
    assert (order.stop_price, order.best, order.price, order.triggered) == (D(98), D(103), None, True)


def test_a_buy_trails_from_above() -> None:
    play(
        trailing("buy"),
        """trail PAPER_A stop 105 best 100
           > StopTrailed queued stop_price=105
           trail PAPER_A stop 106 best 101
           > nothing
           trail PAPER_A stop 102 best 97
           > StopTrailed queued stop_price=102 best=97""",
    )


def test_the_trigger_has_the_level_that_was_in_memory() -> None:
    scene = play(
        trailing(limit_offset=D(2)),
        """trail PAPER_A stop 95 best 100
           > StopTrailed queued stop_price=95
           trigger PAPER_A @97.5 stop 98 best 103
           > OrderTriggered queued stop_price=98 best=103 limit_price=96
           = queued price=96 stop_price=98 best=103""",
    )
    assert same_terms(of(scene), trailing(limit_offset=D(2))), "a repeat of the submit is the same order"
    other = again(of(scene), "a-2", D(4))
    assert (other.price, other.stop_price, other.order_type) == (None, D(98), OrderType.TRAILING_STOP)


def test_a_trigger_before_any_level_is_none() -> None:
    play(
        trailing(),
        """trigger PAPER_A @97
           > nothing""",
    )
    play(
        trailing(stop_price="96"),
        """trigger PAPER_A @96
           > OrderTriggered queued stop_price=96 best=None""",
    )


@pytest.mark.parametrize("end", ["cancel", "expire session_end", "no_route no_venue"])
def test_nothing_trails_after_the_end(end: str) -> None:
    scene = play(trailing(), end)
    scene.play("trail PAPER_A stop 95 best 100")
    scene.play("> nothing")


def test_only_orders_with_a_trail_trail() -> None:
    stop = msgspec.structs.replace(given.terms("10", None, side="sell", order_type="stop"), stop_price=D(95))
    play(
        stop,
        """trail PAPER_A stop 98 best 103
           > nothing""",
    )


def test_a_trail_is_replaced_until_the_stop_has_triggered() -> None:
    scene = play(
        trailing(),
        """trail PAPER_A stop 95 best 100
           > StopTrailed queued
           replace trail 2 checked
           > OrderReplaced queued stop_price=95
           replace trail 2 checked
           > nothing
           trail PAPER_A stop 98 best 100
           > StopTrailed queued stop_price=98
           trigger PAPER_A @98
           > OrderTriggered queued
           replace trail 3 checked
           > TransitionRefused queued detail=triggered""",
    )
    assert of(scene).trail == Trail(amount=D(2))
    assert same_terms(of(scene), trailing())
    assert evolved(event for events in scene.history for event in events) == of(scene)


def test_the_story_names_the_trail_and_each_step() -> None:
    scene = play(trailing(limit_offset=D(2), activation_price=D(101)), "trail PAPER_A stop 95 best 100")
    assert told(scene.history[0][0]) == (
        "alice asks to sell 10 BTCUSDT as trailing_stop gtc 5 behind the touch, once it is at 101, then as a limit 2 behind it."
    )
    assert told(scene.events[0]) == "PAPER_A has shown 100: its stop price follows to 95."
    scene.play("trigger PAPER_A @94")
    assert told(scene.events[0]) == "PAPER_A shows 94: its stop price 95 is reached, its limit is 93."


@pytest.mark.parametrize(
    ("trail", "code"),
    [
        (Trail(amount=D(5)), None),
        (Trail(percent=D("0.01")), None),
        (Trail(percent=D(50), limit_offset=D(0), activation_price=D(101)), None),
        (None, "trail_required"),
        (Trail(limit_offset=D(1)), "trail_required"),
        (Trail(amount=D(5), percent=D(1)), "trail_ambiguous"),
        (Trail(percent=D("0.009")), "trail_percent_out_of_range"),
        (Trail(percent=D("50.01")), "trail_percent_out_of_range"),
        (Trail(amount=D(0)), "trail_amount_not_positive"),
        (Trail(amount=D("0.3")), "trail_amount_off_tick"),
        (Trail(amount=D(5), limit_offset=D("0.3")), "limit_offset_off_tick"),
        (Trail(amount=D(5), activation_price=D("0.3")), "activation_price_off_tick"),
    ],
)
def test_what_no_trail_may_be_is_refused_by_name(trail: Trail | None, code: str | None) -> None:
    denial = trail_denial(BTC, OrderType.TRAILING_STOP, trail)
    assert (denial and denial.code) == code


def test_only_trailing_stops_have_a_trail() -> None:
    assert trail_denial(BTC, OrderType.STOP, None) is None
    denial = trail_denial(BTC, OrderType.STOP, Trail(amount=D(5)))
    assert denial is not None
    assert denial.code == "trail_not_allowed"
    negative = msgspec.structs.replace(BTC, negative_prices=True)
    denial = trail_denial(negative, OrderType.TRAILING_STOP, Trail(percent=D(5)))
    assert denial is not None
    assert denial.code == "trail_needs_positive_prices"
