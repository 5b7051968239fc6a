"""For any history: the running sums are what a slow recount finds, no limit is passed, and closing everything leaves nothing."""

from decimal import Decimal, Inexact, localcontext
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.order import events as e
from domain.order.commands import Terms
from domain.order.lifecycle import State
from domain.position.position import PositionBook
from domain.risk.decision_record import read
from domain.risk.exposure import Account
from domain.risk.limits import SWITCHES
from domain.values import ZERO, OrderType, Side, signed
from tests.domain.risk.scene import INSTRUMENTS, SECOND, Scene, busted, checked, filled, order, submitted

SYMBOLS = ("BTCUSDT", "EURO", "LENDABLE")
RATES = {"BTCUSDT": Decimal(1), "EURO": Decimal("1.25"), "LENDABLE": Decimal(1)}
MARK = Decimal(100)
CLOSES = "closes BTCUSDT 100 90 99\ncloses EURO 100 110 88\ncloses LENDABLE 100 101 111.1"
RETURNS = {"BTCUSDT": (-0.1, 0.1), "EURO": (0.1, -0.2), "LENDABLE": (0.01, 0.1)}

Step = tuple[str, int, int]

# What is done, to which of the orders so far, how much of it.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "record", "fill", "fill", "cancel", "leak", "bust", "late", "quote", "replace", "answer"]),
        st.integers(0, 999),
        st.integers(1, 30),
    ),
    min_size=20,
    max_size=80,
)


class History:
    """A venue, an oms and the asker in one, with its own slow books of what each order is worth."""

    def __init__(self, *, marks_move: bool) -> None:
        self.scene = Scene(
            enabled=frozenset(SWITCHES),
            position_notional_max=Decimal(20_000),
            concentration_max=Decimal(1),
            order_notional_max=Decimal(10**9),
        )
        self.scene.run(CLOSES)
        self.asked: dict[str, tuple[str, Decimal]] = {}
        self.book = PositionBook()
        self.approved: dict[str, Terms] = {}
        self.open: dict[str, tuple[Terms, Decimal]] = {}
        self.trades: dict[str, list[Decimal]] = {}
        self.closed: dict[str, Terms] = {}
        self.number = 0
        self.marks = dict.fromkeys(SYMBOLS, MARK)
        self.marks_move = marks_move
        for symbol in SYMBOLS:
            self.scene.quote(symbol, "100", "100")

    def do(self, step: Step) -> None:
        verb, pick, size = step
        getattr(self, verb)(pick, size)

    def buy(self, pick: int, size: int, side: str = "buy") -> None:
        self.number += 1
        price = str(90 + pick % 20) if self.marks_move else "100"
        terms = order("alice", f"o{self.number}", side, str(size), SYMBOLS[pick % 3], f"@{price}")
        decision = self.scene.risk.decide(terms, self.scene.now)
        if decision.approved:
            self.approved[terms.order_id] = terms
            account = self.scene.risk.exposure.look("alice")
            found = [found for name, found, _ in read(decision.checks).checks if name == "var_limit"]
            assert found in ([], [account.value_at_risk()]), "a check finds what the account has with the order"

    def sell(self, pick: int, size: int) -> None:
        self.buy(pick, size, "sell")

    def record(self, pick: int, _: int) -> None:
        if self.approved:
            terms = self.approved.pop(_pick(self.approved, pick))
            self.scene.apply(submitted(terms))
            self.scene.apply(checked(terms, terms.price))
            self.open[terms.order_id] = terms, terms.quantity

    def fill(self, pick: int, size: int) -> None:
        if not self.open:
            return
        order_id = _pick(self.open, pick)
        terms, leaves = self.open[order_id]
        quantity = min(Decimal(size), leaves)
        self._trade(filled(terms, str(quantity), str(terms.price), "0.5", State.FILLED if quantity == leaves else State.PARTIALLY_FILLED))
        self.trades.setdefault(order_id, []).append(quantity)
        self.open[order_id] = terms, leaves - quantity
        if quantity == leaves:
            self._close(order_id)

    def cancel(self, pick: int, _: int) -> None:
        if self.open:
            order_id = _pick(self.open, pick)
            self.scene.apply(e.OrderCancelled(order_id=order_id, at=0, status=State.CANCELLED, source="client", reason="requested"))
            self._close(order_id)

    def replace(self, pick: int, size: int) -> None:
        """New terms of an open order, as oms journals them: the worse of both until the venue has answered. Some are never journaled."""
        if not self.open:
            return
        order_id = _pick(self.open, pick)
        terms, leaves = self.open[order_id]
        self.number += 1
        price = Decimal(90 + pick % 20) if self.marks_move else MARK
        asked = msgspec.structs.replace(
            terms, order_id=f"r{self.number}", replaces=order_id, quantity=Decimal(size), price=price, order_type=OrderType.LIMIT
        )
        if order_id in self.asked or not self.scene.risk.decide(asked, self.scene.now).approved:
            return
        if pick % 3 == 0:
            self.scene.risk.exposure.release(asked.order_id)
            return
        leg = e.Leg("R1", "PAPER_A", asked.quantity)
        fields: dict[str, Any] = {
            "order_id": order_id,
            "at": 0,
            "replace_id": asked.order_id,
            "quantity": asked.quantity,
            "price": price,
            "reference": price,
        }
        self.scene.apply(e.ReplaceRequested(status=State.PENDING_REPLACE, leg=leg, leaves_quantity=asked.quantity, **fields))
        assert terms.price is not None
        worse = msgspec.structs.replace(terms, price=max(price, terms.price))
        self.open[order_id], self.asked[order_id] = (worse, max(leaves, asked.quantity)), (asked.order_id, price)

    def answer(self, pick: int, size: int) -> None:
        """The venue takes the new terms or keeps the old ones, and says what may still trade: no more than was feared."""
        if not self.asked:
            return
        order_id = list(self.asked)[pick % len(self.asked)]
        replace_id, price = self.asked.pop(order_id)
        terms, worst = self.open[order_id]
        leaves = min(Decimal(size), worst)
        fields: dict[str, Any] = {
            "order_id": order_id,
            "at": 0,
            "status": State.ROUTED,
            "replace_id": replace_id,
            "leaves_quantity": leaves,
        }
        if pick % 2:
            self.scene.apply(e.OrderReplaced(quantity=leaves, price=price, reference=price, **fields))
        else:
            self.scene.apply(e.ReplaceRejected(reason="too_late", venue="PAPER_A", report_seq=1, reference=price, **fields))
        self.open[order_id] = msgspec.structs.replace(terms, price=price), leaves

    def leak(self, _: int, __: int) -> None:
        self.approved.clear()
        self.scene.now += 3 * SECOND
        self.scene.risk.exposure.release_before(self.scene.now - 2 * SECOND)

    def bust(self, pick: int, _: int) -> None:
        """Takes a trade back; an order that was filled, or is open, may trade that much again."""
        if not self.marks_move or not self.trades:
            return
        order_id = _pick(self.trades, pick)
        quantity = self.trades[order_id].pop()
        if not self.trades[order_id]:
            del self.trades[order_id]
        terms, leaves = self.open[order_id] if order_id in self.open else (self.closed[order_id], ZERO)
        self._trade(busted(terms, str(quantity), str(terms.price), "0.5", State.ROUTED))
        self.open[order_id] = terms, leaves + quantity

    def late(self, pick: int, size: int) -> None:
        if self.marks_move and self.closed:
            terms = self.closed[_pick(self.closed, pick)]
            self._trade(filled(terms, str(size), str(terms.price), "0.5", State.FILLED, late=True))
            self.open.pop(terms.order_id, None)
            self.asked.pop(terms.order_id, None)

    def quote(self, pick: int, size: int) -> None:
        if self.marks_move:
            symbol = SYMBOLS[pick % 3]
            self.marks[symbol] = Decimal(85 + size)
            self.scene.quote(symbol, str(85 + size), str(85 + size))

    def _close(self, order_id: str) -> None:
        self.asked.pop(order_id, None)
        self.closed[order_id] = self.open.pop(order_id)[0]

    def _trade(self, event: e.OrderFilled | e.TradeBusted) -> None:
        self.scene.apply(event)
        self.book.apply(event, self.scene.seq)

    def finish(self) -> Account:
        """Everything open is cancelled, everything reserved is given back, everything held is sold or bought back."""
        for _ in range(len(self.open)):
            self.cancel(0, 0)
        self.leak(0, 0)
        for position in self.book.of("alice"):
            side = "sell" if position.quantity > ZERO else "buy"
            if position.quantity:
                terms = order("alice", f"end-{position.symbol}", side, str(abs(position.quantity)), position.symbol, "@100")
                self._trade(filled(terms, str(terms.quantity), "100", "0", State.FILLED))
        return self.scene.risk.exposure.look("alice")

    def recount(self) -> tuple[dict[str, list[Decimal]], Decimal, Decimal, float]:
        """What is open per symbol, the sum of worst cases, equity and value at risk: from the orders and the book, one by one."""
        standing = [*self.open.values(), *((terms, terms.quantity) for terms in self.approved.values())]
        rows, worst, equity, losses = {}, ZERO, Decimal(100_000), [0.0, 0.0]
        for symbol in SYMBOLS:
            rate, mark = RATES[symbol], self.marks[symbol] * RATES[symbol]
            mine = [(t, leaves) for t, leaves in standing if t.symbol == symbol]
            sums = [ZERO] * 4
            for terms, leaves in mine:
                assert terms.price is not None
                place = 0 if terms.side is Side.BUY else 2
                sums[place] += leaves
                sums[place + 1] += leaves * terms.price * rate
            position = self.book.positions.get(("alice", symbol))
            held = position.quantity if position else ZERO
            if position:
                equity += (position.realised_pnl + position.unrealised_pnl(self.marks[symbol]) - position.fees) * rate
            rows[symbol] = [held, *sums]
            long, short = _side(held, mark, *sums[:2]), _side(-held, mark, *sums[2:])
            worst += max(long, short)
            losses = [lost + max(-float(long) * r, float(short) * r) for lost, r in zip(losses, RETURNS[symbol], strict=True)]
        return rows, worst, equity, max(*losses, 0.0)


def _side(held: Decimal, mark: Decimal, quantity: Decimal, notional: Decimal) -> Decimal:
    if held >= ZERO:
        return held * mark + notional
    beyond = held + quantity
    if beyond <= ZERO:
        return beyond * mark
    with localcontext() as context:
        context.traps[Inexact] = False
        return (notional * beyond / quantity).quantize(Decimal("1e-12"))


def _pick(of: dict[str, object] | dict[str, Terms] | dict[str, tuple[Terms, Decimal]] | dict[str, list[Decimal]], pick: int) -> str:
    return list(of)[pick % len(of)]


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_the_running_sums_are_what_a_slow_recount_finds(steps: list[Step]) -> None:
    history = History(marks_move=True)
    for step in steps:
        history.do(step)
        rows, worst, equity, var = history.recount()
        account = history.scene.risk.exposure.look("alice")
        for symbol, expected in rows.items():
            h = account.holdings.get(symbol)
            found = [h.quantity, h.buy_quantity, h.buy_notional, h.sell_quantity, h.sell_notional] if h else [ZERO] * 5
            assert found == expected, (symbol, step)
        assert account.worst == worst
        assert account.orders == len(history.open) + len(history.approved)
        assert abs(float(account.value_at_risk()) - var) < 0.0001
        assert abs(account.equity - equity) < Decimal("1e-9")  # the book rounds released cost, risk rounds nothing
        assert account.gross == sum((abs(h.value) for h in account.holdings.values()), ZERO)


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_exposure_is_never_above_a_limit_at_any_prefix(steps: list[Step]) -> None:
    """All prices are one, so no market moves an account beyond what was approved; trades at venues keep to what was sent there."""
    history = History(marks_move=False)
    for step in steps:
        history.do(step)
        account = history.scene.risk.exposure.look("alice")
        for holding in account.holdings.values():
            assert holding.worst <= Decimal(20_000)
            assert holding.quantity - holding.sell_quantity >= ZERO or INSTRUMENTS[holding.symbol].shortable
        assert account.equity - account.worst * Decimal("0.5") >= -_fees(history)


def _fees(history: History) -> Decimal:
    """Fees are the one thing that an approval does not know of."""
    return sum((p.fees for p in history.book.of("alice")), ZERO) * 2


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_closing_everything_returns_to_nothing(steps: list[Step]) -> None:
    history = History(marks_move=True)
    for step in steps:
        history.do(step)
    account = history.finish()
    assert (account.worst, account.gross, account.value) == (ZERO, ZERO, ZERO)
    assert (account.losses, account.orders, account.unmeasured) == ({}, 0, 0)
    assert history.scene.risk.exposure.reservations == {}
    assert history.scene.risk.exposure.orders == {}
    for h in account.holdings.values():
        assert (h.quantity, h.buy_quantity, h.buy_notional, h.sell_quantity, h.sell_notional, h.worst) == (ZERO,) * 6


@given(STEPS)
@settings(max_examples=100, deadline=None)
def test_two_readers_of_the_same_journal_agree_whatever_one_of_them_reserved(steps: list[Step]) -> None:
    history, reader = History(marks_move=True), Scene()
    told: list[e.OrderEvent] = []
    real = history.scene.apply
    history.scene.apply = lambda event: (told.append(event), real(event))[1]  # type: ignore[method-assign, func-returns-value]
    for step in steps:
        history.do(step)
    for event in told:
        reader.apply(event)
    history.leak(0, 0)
    for symbol, mark in history.marks.items():
        reader.quote(symbol, str(mark), str(mark))
    mine, theirs = history.scene.risk.exposure.look("alice"), reader.risk.exposure.look("alice")
    assert (mine.equity, mine.worst, mine.gross) == (theirs.equity, theirs.worst, theirs.gross)
    assert history.scene.risk.exposure.orders == reader.risk.exposure.orders


def test_a_position_is_the_signed_sum_of_its_trades() -> None:
    scene = Scene()
    total = ZERO
    for side, quantity in ((Side.BUY, "3"), (Side.SELL, "5"), (Side.BUY, "0.5")):
        terms = order("alice", "x", side, quantity, "LENDABLE", "@10")
        scene.apply(filled(terms, quantity, "10", "0", State.FILLED))
        total += signed(side, Decimal(quantity))
    assert scene.risk.exposure.look("alice").holdings["LENDABLE"].quantity == total
