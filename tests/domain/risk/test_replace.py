"""What a replace does to what an account has at stake: the worse of both terms counts until the venue has answered."""

from decimal import Decimal

import msgspec

from domain.order import commands as c
from domain.order import events as e
from domain.order.commands import RiskDecision
from domain.order.lifecycle import State
from tests.domain.risk.scene import Scene, order

D = Decimal


def opened(**limits: object) -> Scene:
    scene = Scene(**limits)
    scene.run("alice o1 buy 10 PENNY @50\n> approved")
    return scene


def asked(scene: Scene, quantity: str, price: str) -> RiskDecision:
    terms = order("alice", "o1-r1", "buy", quantity, "PENNY", f"@{price}")
    return scene.risk.decide(msgspec.structs.replace(terms, replaces="o1"), scene.now)


def requested(quantity: str, price: str) -> e.ReplaceRequested:
    return e.ReplaceRequested(
        order_id="o1",
        at=0,
        status=State.PENDING_REPLACE,
        replace_id="o1-r1",
        leg=e.Leg("R1", "A", D(quantity)),
        quantity=D(quantity),
        price=D(price),
        leaves_quantity=D(quantity),
        reference=D(price),
    )


def rejected(leaves: str, reference: str) -> e.ReplaceRejected:
    return e.ReplaceRejected(
        order_id="o1",
        at=0,
        status=State.ROUTED,
        replace_id="o1-r1",
        reason="too_late",
        leaves_quantity=D(leaves),
        reference=D(reference),
        venue="A",
        report_seq=1,
    )


def replaced(leaves: str, reference: str) -> e.OrderReplaced:
    return e.OrderReplaced(
        order_id="o1",
        at=0,
        status=State.ROUTED,
        replace_id="o1-r1",
        quantity=D(leaves),
        price=D(reference),
        leaves_quantity=D(leaves),
        reference=D(reference),
    )


def at_stake(scene: Scene) -> Decimal:
    return scene.risk.exposure.look("alice").worst


def test_only_what_the_new_terms_add_is_reserved() -> None:
    scene = opened()
    assert asked(scene, "12", "50").approved
    assert at_stake(scene) == D(600)
    scene.apply(requested("12", "50"))
    assert at_stake(scene) == D(600)
    assert not scene.risk.exposure.reservations


def test_the_old_terms_do_not_count_against_the_new_ones() -> None:
    scene = opened(position_notional_max=D(600))
    assert asked(scene, "12", "50").approved
    assert asked(scene, "13", "50").denial is not None
    assert at_stake(scene) == D(500), "what was reserved for the first is given back, and the order counts as it did"


def test_until_the_venue_has_answered_the_worse_of_both_counts() -> None:
    scene = opened()
    scene.apply(requested("4", "60"))
    assert at_stake(scene) == D(600), "ten at sixty: either may fill"
    scene.apply(replaced("4", "60"))
    assert at_stake(scene) == D(240)


def test_a_refused_replace_counts_as_before() -> None:
    scene = opened()
    assert asked(scene, "100", "60").approved
    scene.apply(requested("100", "60"))
    assert at_stake(scene) == D(6000)
    scene.apply(rejected("10", "50"))
    assert at_stake(scene) == D(500)


def test_asked_again_it_says_the_same_and_reserves_nothing_more() -> None:
    scene = opened()
    first = asked(scene, "12", "50")
    assert asked(scene, "12", "50") == first
    assert at_stake(scene) == D(600)


def test_a_replace_that_is_never_journaled_gives_its_reservation_back() -> None:
    scene = opened()
    assert asked(scene, "12", "50").approved
    scene.run("wait 10\ngive back")
    assert at_stake(scene) == D(500)


def test_an_order_that_risk_has_not_seen_yet_cannot_be_replaced() -> None:
    scene = Scene()
    decision = asked(scene, "12", "50")
    assert decision.denial is not None
    assert (decision.denial.code, decision.denial.found) == ("risk_error", "order_not_seen")


def test_a_fill_while_the_replace_is_open_takes_from_what_counts() -> None:
    scene = opened()
    scene.apply(requested("12", "50"))
    scene.run("fill o1 2 @50")
    assert at_stake(scene) == D(600)
    scene.apply(replaced("10", "50"))
    assert at_stake(scene) == D(600)


def reducing(side: str, quantity: str) -> c.Terms:
    return order("alice", f"{side}{quantity}", side, quantity, "PENNY", "@50", "reduce")


def test_an_order_that_may_only_reduce_is_held_against_the_position_and_what_closes_it_already() -> None:
    scene = opened()
    scene.run("fill o1 10 @50")
    assert scene.risk.decide(reducing("sell", "6"), scene.now).approved
    denial = scene.risk.decide(reducing("sell", "5"), scene.now).denial
    assert denial is not None
    assert (denial.code, denial.found, denial.limit) == ("reduce_only", "11", "10")
    refused = scene.risk.decide(reducing("buy", "1"), scene.now).denial
    assert refused is not None
    assert (refused.code, refused.limit) == ("reduce_only", "0")
