"""Positions: netting, average cost, what a close earns, and not a unit lost."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from domain.order import events as e
from domain.order.lifecycle import State
from domain.position.position import Position, PositionBook
from domain.values import Liquidity, Side
from tests import given

D = Decimal


def traded(side: str, quantity: str, price: str, fee: str = "0", *, account: str = "alice", symbol: str = "BTCUSDT") -> e.OrderFilled:
    return e.OrderFilled(
        order_id="o",
        at=given.NOW,
        status=State.FILLED,
        account=account,
        client_order_id="c",
        symbol=symbol,
        side=Side(side),
        quantity=D(quantity),
        price=D(price),
        fee=D(fee),
        liquidity=Liquidity.TAKER,
        exec_id="x",
        venue="PAPER_A",
        route_id="R1",
        report_seq=1,
    )


def busted(trade: e.OrderFilled) -> e.TradeBusted:
    return e.TradeBusted(
        order_id=trade.order_id,
        at=trade.at,
        status=State.ROUTED,
        account=trade.account,
        symbol=trade.symbol,
        side=trade.side,
        quantity=trade.quantity,
        price=trade.price,
        fee=trade.fee,
        exec_id=trade.exec_id,
        venue=trade.venue,
        report_seq=2,
    )


def after(*events: e.OrderFilled | e.TradeBusted) -> Position:
    book = PositionBook()
    for seq, event in enumerate(events, 1):
        position = book.apply(event, seq)
    assert position is not None
    return position


def test_an_average_of_tiny_prices_keeps_its_digits() -> None:
    book = PositionBook()
    for quantity, price in (("100000000", "0.000000000123"), ("200000000", "0.000000000124")):
        found = book.apply(traded("buy", quantity, price), 1)
    assert found is not None
    assert found.average_price == D("0.000000000123666666667")
    book.apply(traded("sell", "300000000", "0.000000000125"), 2)
    assert (found.realised_pnl, found.average_price) == (D("0.0004"), D(0))


# side quantity price, ... > quantity average realised
SCENES = """
buy 10 50                              >   10  50    0
sell 10 50                             >  -10  50    0
buy 10 50, buy 30 54                   >   40  53    0
buy 10 50, sell 4 55                   >    6  50    20
buy 10 50, sell 10 45                  >    0  0     -50
sell 10 50, buy 4 45                   >   -6  50    20
sell 10 50, buy 10 55                  >    0  0     -50
buy 10 50, sell 15 60                  >   -5  60    100
sell 10 50, buy 15 40                  >    5  40    100
buy 10 50, sell 15 60, buy 5 50        >    0  0     150
buy 1 1, buy 1 2, sell 2 2             >    0  0     1
buy 3 1, sell 1 1, sell 1 1, sell 1 1  >    0  0     0
buy 10 0, sell 10 5                    >    0  0     50
"""


@pytest.mark.parametrize("scene", SCENES.strip().splitlines(), ids=lambda text: text.split(">")[0].strip())
def test_trades_net_and_close_at_average_cost(scene: str) -> None:
    told, result = scene.split(">")
    position = after(*(traded(*trade.split()) for trade in told.split(",")))
    quantity, average, realised = map(D, result.split())
    assert (position.quantity, position.average_price, position.realised_pnl) == (quantity, average, realised)
    assert position.cost == quantity * average


def test_a_reversal_is_the_same_as_a_close_and_an_opening() -> None:
    # invariant 7: split at zero
    whole = after(traded("buy", "10", "50"), traded("sell", "15", "60"))
    split = after(traded("buy", "10", "50"), traded("sell", "10", "60"), traded("sell", "5", "60"))
    assert (whole.quantity, whole.cost, whole.realised_pnl) == (split.quantity, split.cost, split.realised_pnl)


def test_a_position_that_is_closed_whole_leaves_no_dust_in_its_cost() -> None:
    # the product has 24 places, a released part only 12
    position = after(traded("buy", "0.000000000003", "0.333333333333"), traded("sell", "0.000000000003", "0.333333333333"))
    assert (position.quantity, position.cost, position.realised_pnl) == (D(0), D(0), D(0))


def test_fees_are_kept_apart_from_profit() -> None:
    position = after(traded("buy", "10", "50", "0.5"), traded("sell", "10", "51", "-0.1"))
    assert (position.fees, position.realised_pnl) == (D("0.4"), D(10))


def test_what_is_open_is_valued_at_the_mark() -> None:
    assert after(traded("buy", "10", "50")).unrealised_pnl(D("50.5")) == D(5)
    assert after(traded("sell", "10", "50")).unrealised_pnl(D("50.5")) == D(-5)
    assert after(traded("buy", "10", "50"), traded("sell", "10", "50")).unrealised_pnl(D(99)) == 0


def test_a_bust_takes_a_trade_and_its_fee_back() -> None:
    # row 27, FAILURES 32
    trade = traded("buy", "10", "50", "0.5")
    position = after(trade, busted(trade))
    assert (position.quantity, position.cost, position.realised_pnl, position.fees) == (D(0), D(0), D(0), D(0))


def test_a_position_knows_its_last_price_time_and_place_in_the_journal() -> None:
    position = after(traded("buy", "10", "50"), traded("buy", "1", "51"))
    assert (position.last_price, position.updated_at, position.seq) == (D(51), given.NOW, 2)


def test_accounts_and_symbols_do_not_touch_each_other() -> None:
    book = PositionBook()
    for account, symbol in (("alice", "BTCUSDT"), ("alice", "ETHUSDT"), ("bob", "BTCUSDT")):
        book.apply(traded("buy", "1", "50", account=account, symbol=symbol), 1)
    assert [(p.symbol, p.quantity) for p in book.of("alice")] == [("BTCUSDT", D(1)), ("ETHUSDT", D(1))]
    assert book.of("carol") == []


def test_events_that_are_no_trades_move_nothing() -> None:
    book = PositionBook()
    assert book.apply(e.OrderQueued(order_id="o", at=1, status=State.QUEUED), 1) is None
    assert book.positions == {}


def test_a_hundred_thousand_small_fills_are_exact() -> None:
    # FAILURES 56; a float sum of these is off in the tenth digit
    book = PositionBook()
    trade = traded("buy", "0.000000000001", "64250.123456789012", "0.000000000000000000000003")
    for _ in range(100_000):
        position = book.apply(trade, 1)
    assert position is not None
    assert position.quantity == D("0.0000001")
    assert position.cost == D("64250.123456789012") * D("0.0000001")
    assert position.fees == D("0.0000000000000000003")
    assert position.average_price == D("64250.123456789012")


sides = st.sampled_from(["buy", "sell"])
amounts = st.decimals("0.000000000001", "1000000", places=12).map(str)
small = st.integers(1, 9).map(str)
trades = st.lists(st.builds(traded, sides, small | amounts, small | amounts, small), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@drawn(trades)
def test_no_cash_is_made_or_lost(events: list[e.OrderFilled]) -> None:
    # Conservation: what was paid is either still in the cost or was realised, to the last digit, whatever was rounded on the way.
    position = after(*events)
    paid = sum((sign(t) * t.quantity * t.price for t in events), D(0))
    assert position.cost - position.realised_pnl == paid
    assert position.quantity == sum(sign(t) * t.quantity for t in events)
    assert position.fees == sum(t.fee for t in events)
    assert position.quantity != 0 or position.cost == 0


@settings(max_examples=200, deadline=None)
@drawn(trades)
def test_profit_agrees_with_a_slow_calculation_in_fractions(events: list[e.OrderFilled]) -> None:
    position = after(*events)
    quantity, average, realised = slow(events)
    assert Fraction(position.quantity) == quantity
    # one rounding of half a unit of the twelfth place a trade
    assert abs(Fraction(position.realised_pnl) - realised) <= len(events) * Fraction(1, 2 * 10**12)
    assert abs(Fraction(position.cost) - quantity * average) <= len(events) * Fraction(1, 2 * 10**12)


def slow(events: list[e.OrderFilled]) -> tuple[Fraction, Fraction, Fraction]:
    """Quantity, average price and realised PnL by the textbook: one unit of account, exact quotients, closes first, opens after."""
    held, average, realised = Fraction(0), Fraction(0), Fraction(0)
    for trade in events:
        rest, price = sign(trade) * Fraction(trade.quantity), Fraction(trade.price)
        if held * rest < 0:
            closed = max(rest, -held) if rest < 0 else min(rest, -held)
            realised += -closed * (price - average)
            held, rest = held + closed, rest - closed
        if rest:
            average = (held * average + rest * price) / (held + rest)
            held += rest
    return held, average if held else Fraction(0), realised


def sign(trade: e.OrderFilled) -> int:
    return 1 if trade.side is Side.BUY else -1


@settings(max_examples=100, deadline=None)
@drawn(st.lists(st.builds(traded, st.just("buy"), small, small, small), min_size=1, max_size=8), st.data())
def test_one_sided_trades_give_the_same_position_in_any_order(events: list[e.OrderFilled], data: st.DataObject) -> None:
    # FAILURES 27
    shuffled = data.draw(st.permutations(events))
    one, other = after(*events), after(*shuffled)
    assert (one.quantity, one.cost, one.average_price, one.fees) == (other.quantity, other.cost, other.average_price, other.fees)
