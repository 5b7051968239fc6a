"""How well a parent was worked: a pure fold of its events and those of its children, so that it is equal on replay."""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from domain.groups.schedule import middle_of
from domain.order import algo as a
from domain.order import events as e
from domain.order.lifecycle import State
from domain.values import ZERO, Liquidity, Side, average, divide

HUNDRED: Final = Decimal(100)
BPS: Final = Decimal(10_000)
RATIO_PLACES: Final = 4
"""Decimals of percentages and basis points."""


class Slippage(msgspec.Struct, frozen=True):
    """The average price against a `benchmark`: above zero is worse. `money`: over all that traded, in the symbol's currency."""

    benchmark: Decimal | None = None
    bps: Decimal | None = None
    money: Decimal | None = None


class VenueShare(msgspec.Struct, frozen=True):
    """What traded at one venue."""

    venue: str
    trades: int
    quantity: Decimal
    average_price: Decimal
    fees: Decimal
    maker_pct: Decimal
    to_arrival: Slippage


class AlgoReport(msgspec.Struct, frozen=True, kw_only=True):
    """Times are seconds, shares are percent of the traded quantity.

    `to_twap`: against the mids recorded with the slices, each weighted by the time until the next. `participation_pct`: what the children
    asked for, of the sizes shown when they were decided. `without_child`: slices that had none, by reason. `deviation_max`: the largest
    distance of what was done from the curve, at `deviation_at` (ns UTC); behind it is above zero.
    """

    quantity: Decimal
    cum_quantity: Decimal
    average_price: Decimal | None
    to_arrival: Slippage
    to_twap: Slippage
    fees: Decimal
    participation_pct: Decimal | None
    maker_pct: Decimal | None
    taker_pct: Decimal | None
    slices: int
    children: int
    refusals: int
    without_child: dict[str, int]
    paused_sec: Decimal
    in_doubt_sec: Decimal
    deviation_max: Decimal
    deviation_at: int | None
    venues: tuple[VenueShare, ...]


class _Stretch:
    """The time that something lasted, in nanoseconds. `until` closes what still lasts."""

    def __init__(self) -> None:
        self._since: int | None = None
        self._total = 0

    def set(self, at: int, *, on: bool) -> None:
        if on and self._since is None:
            self._since = at
        elif not on and self._since is not None:
            self._total += at - self._since
            self._since = None

    def seconds(self, until: int) -> Decimal:
        self.set(until, on=False)
        return Decimal(self._total).scaleb(-9)


class _Figures:
    """One pass over the events."""

    def __init__(self, submitted: a.AlgoSubmitted) -> None:
        self.side = submitted.terms.side
        self.quantity = submitted.terms.quantity
        self.arrival = middle_of(submitted.arrival)
        self.trades: dict[tuple[str, str], e.OrderFilled] = {}
        self.cum = self.asked = self.shown = self.deviation = ZERO
        self.slices = self.children = self.refusals = 0
        self.without_child: Counter[str] = Counter()
        self.paused, self.in_doubt = _Stretch(), _Stretch()
        self.mids: list[tuple[int, Decimal]] = []
        self.deviation_at: int | None = None
        self.ended_at: int | None = None
        self.last_at = submitted.at
        self._doubtful: set[str] = set()
        self._goal: Decimal | None = None

    def take(self, event: e.OrderEvent) -> None:
        self.last_at = event.at
        match event:
            case a.AlgoSliced():
                self._sliced(event)
            case a.AlgoAmended():
                self.quantity = event.quantity
            case a.AlgoEnding() | a.AlgoEnded():
                self._deviates(event.at)
                self._goal = None
                self.ended_at = self.ended_at or event.at
                self.paused.set(event.at, on=False)
            case a.AlgoPaused():
                self.paused.set(event.at, on=True)
            case a.AlgoResumed():
                self.paused.set(event.at, on=False)
            case e.OrderFilled():
                self.trades[event.venue, event.exec_id] = event
                self.cum += event.quantity
            case e.TradeBusted():
                self.trades.pop((event.venue, event.exec_id), None)
                self.cum -= event.quantity
            case e.OrderRejected():
                self.refusals += 1
        if not isinstance(event, a.AnyAlgoEvent):
            self._doubtful.add(event.order_id) if event.status is State.IN_DOUBT else self._doubtful.discard(event.order_id)
            self.in_doubt.set(event.at, on=bool(self._doubtful))

    def _sliced(self, event: a.AlgoSliced) -> None:
        self.slices += 1
        self._deviates(event.at)
        self._goal = event.target
        if event.quantity:
            self.children += 1
            if event.inputs.displayed is not None:
                self.asked += event.quantity
                self.shown += event.inputs.displayed
        else:
            self.without_child[event.reason] += 1
        if (mid := middle_of(event.inputs.quote)) is not None:
            self.mids.append((event.at, mid))

    def _deviates(self, at: int) -> None:
        """Compare what is done when a slice has had its time with what should be."""
        if self._goal is not None and abs(self._goal - self.cum) > abs(self.deviation):
            self.deviation, self.deviation_at = self._goal - self.cum, at

    def twap(self) -> Decimal | None:
        """Return the mean of the recorded mids over time; None without one."""
        if not self.mids:
            return None
        ends = [*(at for at, _ in self.mids[1:]), max(self.ended_at or self.last_at, self.mids[-1][0])]
        spans = [(mid, Decimal(end - at)) for (at, mid), end in zip(self.mids, ends, strict=True)]
        total = sum((span for _, span in spans), ZERO)
        if not total:
            return self.mids[-1][1]
        return average(sum((mid * span for mid, span in spans), ZERO), total)

    def venues(self) -> tuple[VenueShare, ...]:
        names = sorted({venue for venue, _ in self.trades})
        return tuple(self._share(name, [trade for trade in self.trades.values() if trade.venue == name]) for name in names)

    def _share(self, venue: str, trades: list[e.OrderFilled]) -> VenueShare:
        quantity, price = _quantity(trades), _price(trades)
        assert price is not None, "a venue with a share has traded"
        return VenueShare(
            venue=venue,
            trades=len(trades),
            quantity=quantity,
            average_price=price,
            fees=_fees(trades),
            maker_pct=_percent(_quantity(trade for trade in trades if trade.liquidity is Liquidity.MAKER), quantity),
            to_arrival=_slippage(self.side, trades, self.arrival),
        )


def report(events: Iterable[e.OrderEvent]) -> AlgoReport:
    """Return the report on a parent. `events`: its own, and those of its children, in the order of the journal; its submit is the first."""
    found: _Figures | None = None
    for event in events:
        if found is None:
            assert isinstance(event, a.AlgoSubmitted), "a parent begins with its submit"
            found = _Figures(event)
        else:
            found.take(event)
    assert found is not None, "a parent has events"
    trades = list(found.trades.values())
    quantity = _quantity(trades)
    maker = None if not quantity else _percent(_quantity(trade for trade in trades if trade.liquidity is Liquidity.MAKER), quantity)
    return AlgoReport(
        quantity=found.quantity,
        cum_quantity=quantity,
        average_price=_price(trades),
        to_arrival=_slippage(found.side, trades, found.arrival),
        to_twap=_slippage(found.side, trades, found.twap()),
        fees=_fees(trades),
        participation_pct=_percent(found.asked, found.shown) if found.shown else None,
        maker_pct=maker,
        taker_pct=None if maker is None else HUNDRED - maker,
        slices=found.slices,
        children=found.children,
        refusals=found.refusals,
        without_child=dict(sorted(found.without_child.items())),
        paused_sec=found.paused.seconds(found.last_at),
        in_doubt_sec=found.in_doubt.seconds(found.last_at),
        deviation_max=found.deviation,
        deviation_at=found.deviation_at,
        venues=found.venues(),
    )


def _quantity(trades: Iterable[e.OrderFilled]) -> Decimal:
    return sum((trade.quantity for trade in trades), ZERO)


def _fees(trades: Iterable[e.OrderFilled]) -> Decimal:
    return sum((trade.fee for trade in trades), ZERO)


def _notional(trades: Iterable[e.OrderFilled]) -> Decimal:
    return sum((trade.quantity * trade.price for trade in trades), ZERO)


def _price(trades: list[e.OrderFilled]) -> Decimal | None:
    quantity = _quantity(trades)
    return average(_notional(trades), quantity) if quantity else None


def _percent(part: Decimal, whole: Decimal) -> Decimal:
    return divide(part * HUNDRED, whole, RATIO_PLACES)


def _slippage(side: Side, trades: list[e.OrderFilled], benchmark: Decimal | None) -> Slippage:
    quantity = _quantity(trades)
    if not quantity or benchmark is None:
        return Slippage(benchmark)
    more = _notional(trades) - benchmark * quantity
    money = more if side is Side.BUY else -more
    return Slippage(benchmark, divide(money * BPS, abs(benchmark) * quantity, RATIO_PLACES) if benchmark else None, money)
