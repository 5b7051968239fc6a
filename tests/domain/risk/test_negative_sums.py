"""Fills, averages, profit, fees, notional, what is at stake and value at risk around zero, against forty lines of fractions."""

import random
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Final

import pytest

from domain.order.events import OrderFilled
from domain.order.lifecycle import State
from domain.order.order import evolve
from domain.paper.rules import fee_rate
from domain.position.position import Position, apply
from domain.risk.limits import VAR_LIMIT
from tests.domain.risk.scene import Scene, filled, order, submitted

RATE: Final = Fraction(5, 4)
"""One EUR, the currency of CRUDE, in USD."""
BPS: Final = Decimal(10)
INITIAL: Final = 100_000
CLOSE: Final = Fraction(1, 10**9)
CENT: Final = Fraction(1, 100)


class Slow:
    """The definitions, told once more. Prices in EUR, sums of risk in USD."""

    def __init__(self) -> None:
        self.quantity = self.cost = self.realised = self.fees = self.paid = Fraction(0)
        self.opened: dict[str, tuple[int, Fraction, Fraction]] = {}

    def trade(self, signed: Fraction, price: Fraction, fee: Fraction) -> None:
        closing = min(abs(signed), abs(self.quantity)) if signed * self.quantity < 0 else Fraction(0)
        if closing:
            average = self.cost / self.quantity
            self.realised += closing * (price - average) * (1 if self.quantity > 0 else -1)
            self.cost -= average * closing * (1 if self.quantity > 0 else -1)
        self.cost += (abs(signed) - closing) * price * (1 if signed > 0 else -1)
        self.quantity += signed
        self.fees += fee
        self.paid += signed * price + fee

    def equity(self, mark: Fraction) -> Fraction:
        return INITIAL + RATE * (self.quantity * mark - self.paid)

    def side(self, way: int, mark: Fraction) -> Fraction:
        """What the position is worth, at the size of its price, when all orders of one side fill."""
        held, there = self.quantity * way, [(quantity, price) for sign, quantity, price in self.opened.values() if sign == way]
        open_quantity, notional = sum(q for q, _ in there), sum(q * abs(p) for q, p in there)
        if held >= 0:
            return RATE * (held * abs(mark) + notional)
        beyond = held + open_quantity
        return RATE * (notional * beyond / open_quantity if beyond > 0 else beyond * abs(mark))

    def value_at_risk(self, closes: list[Fraction]) -> Fraction:
        reach = {way: self.quantity * way + sum(q for sign, q, _ in self.opened.values() if sign == way) for way in (1, -1)}
        losses = [RATE * (abs(now - before) * reach[1 if now < before else -1]) for before, now in pairwise(closes)]
        return max(*losses, Fraction(0))


def price_of(chance: random.Random) -> Decimal:
    return Decimal(chance.choice([0, chance.randint(-6000, 6000), chance.randint(-20, 20)])).scaleb(-2)


@pytest.mark.parametrize("seed", range(12))
def test_everything_around_zero_agrees_with_fractions(seed: int) -> None:
    chance, slow, position = random.Random(seed), Slow(), Position(account="alice", symbol="CRUDE")
    closes = [price_of(chance) for _ in range(6)]
    scene = Scene(enabled=frozenset({VAR_LIMIT}), var_max=Decimal(10**12))
    scene.closes("CRUDE", *map(str, closes))
    notional: dict[str, Fraction] = {}
    for number in range(60):
        side, quantity, price = chance.choice(["buy", "sell"]), chance.randint(1, 50), price_of(chance)
        mark = price_of(chance)
        scene.quote("CRUDE", str(mark), str(mark))
        name, way = f"o{number}", 1 if side == "buy" else -1
        words = ("alice", name, side, str(quantity), "CRUDE", f"@{price}")
        scene.ask(*words)
        assert scene.decision is not None
        assert scene.decision.approved
        slow.opened[name] = way, Fraction(quantity), Fraction(price)
        agrees(scene, slow, Fraction(mark), list(map(Fraction, closes)))
        scene.record(*words)
        agrees(scene, slow, Fraction(mark), list(map(Fraction, closes)))
        if chance.random() < 0.7:
            done = chance.randint(1, quantity)
            at = price_of(chance)
            fee = done * abs(at) * fee_rate(BPS)
            terms = order(*words)
            full = done == quantity
            event = filled(terms, str(done), str(at), str(fee), State.FILLED if full else State.PARTIALLY_FILLED)
            traded(scene, slow, position, event, way)
            was = evolve(evolve(None, submitted(terms)), event)
            notional[name] = Fraction(done) * Fraction(at)
            assert Fraction(was.notional) == notional[name]
            assert was.average_price == at
            if full:
                del slow.opened[name]
            else:
                slow.opened[name] = way, Fraction(quantity - done), Fraction(price)
            agrees(scene, slow, Fraction(mark), list(map(Fraction, closes)))
            holds(position, slow, mark)


def traded(scene: Scene, slow: Slow, position: Position, event: OrderFilled, way: int) -> None:
    scene.apply(event)
    apply(position, event)
    slow.trade(way * Fraction(event.quantity), Fraction(event.price), Fraction(event.fee))


def agrees(scene: Scene, slow: Slow, mark: Fraction, closes: list[Fraction]) -> None:
    account = scene.risk.exposure.look("alice")
    assert Fraction(account.equity) == slow.equity(mark)
    assert Fraction(account.gross) == RATE * abs(slow.quantity * mark)
    worst = max(slow.side(1, mark), slow.side(-1, mark))
    assert abs(Fraction(account.worst) - worst) < CLOSE
    assert abs(Fraction(account.value_at_risk()) - slow.value_at_risk(closes)) < CENT


def holds(position: Position, slow: Slow, mark: Decimal) -> None:
    assert Fraction(position.quantity) == slow.quantity
    assert Fraction(position.fees) == slow.fees >= 0
    assert abs(Fraction(position.realised_pnl) - slow.realised) < CLOSE
    assert abs(Fraction(position.cost) - slow.cost) < CLOSE
    assert abs(Fraction(position.average_price) - (slow.cost / slow.quantity if slow.quantity else 0)) < CLOSE
    assert abs(Fraction(position.unrealised_pnl(mark)) - (slow.quantity * Fraction(mark) - slow.cost)) < CLOSE
    total = slow.quantity * Fraction(mark) - (slow.paid - slow.fees)
    assert abs(Fraction(position.realised_pnl + position.unrealised_pnl(mark)) - total) < CLOSE, "what came in and what is held"
