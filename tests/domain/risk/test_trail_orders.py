"""How risk values trailing stops: by the worst price at which they may trade, as the market is now."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from domain.order.commands import Terms
from domain.order.trail import Trail
from domain.values import OrderType
from tests.domain.risk.scene import Scene, checked, order, submitted

D = Decimal


def trailing(side: str = "buy", stop_price: str | None = None, order_id: str = "o1", **trail: Any) -> Terms:
    asked = order("alice", order_id, side, "2", "LENDABLE", "market")
    first = None if stop_price is None else D(stop_price)
    terms = {"order_type": OrderType.TRAILING_STOP, "stop_price": first, "trail": Trail(**({"amount": D(5)} | trail))}
    return msgspec.structs.replace(asked, **terms)


def quoted(bid: str = "99", ask: str = "101", **limits: Any) -> Scene:
    scene = Scene(market_buffer=D(0), **limits)
    scene.quote("LENDABLE", bid, ask)
    return scene


@pytest.mark.parametrize(
    ("terms", "price"),
    [
        (trailing(), "106"),  # 5 above the ask
        (trailing(amount=None, percent=D(10)), "111.1"),
        (trailing(stop_price="103"), "103"),  # where it begins
        (trailing(limit_offset=D(2)), "108"),
        (trailing("sell"), "99"),  # the bid: a stop below it is worth less
        (trailing("sell", limit_offset=D(2)), "99"),
    ],
)
def test_it_is_valued_by_the_worst_current_price(terms: Terms, price: str) -> None:
    scene = quoted()
    assert scene.risk.valued_at(terms, scene.now) == D(price)
    decision = scene.risk.decide(terms, scene.now)
    assert (decision.denial, decision.reference) == (None, D(price))
    assert scene.risk.decide(terms, scene.now) == decision, "a repeat reserves nothing more"


def test_without_a_quote_it_is_refused() -> None:
    denial = Scene().risk.decide(trailing(), 10**9).denial
    assert denial is not None
    assert denial.code == "no_reference_price"


@pytest.mark.parametrize(("offset", "denied"), [("20", None), ("20.3", "price_collar"), (None, None)])
def test_the_collar_is_about_the_offset_of_its_limit(offset: str | None, denied: str | None) -> None:
    scene = quoted(price_collar=D("0.2"))
    decision = scene.risk.decide(trailing(limit_offset=None if offset is None else D(offset)), scene.now)
    assert (decision.denial and decision.denial.code) == denied


def test_a_wider_trail_of_an_open_order_is_checked_and_reserved_up_to_the_worse() -> None:
    scene = quoted(order_notional_max=D(250))
    terms = trailing()
    first = scene.risk.decide(terms, scene.now)
    scene.apply(submitted(terms))
    scene.apply(checked(terms, first.reference))
    for amount, price, denied in ((9, "110", None), (25, "126", "order_size_limit")):
        wider = msgspec.structs.replace(trailing(amount=D(amount)), order_id=f"o1-r{amount}", replaces="o1")
        decision = scene.risk.decide(wider, scene.now)
        assert (decision.reference, decision.denial and decision.denial.code) == (D(price), denied)
