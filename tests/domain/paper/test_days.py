"""Two days of real quotes, thousands of orders of every type and time in force: an obvious matcher agrees on every fill."""

import csv
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec
import pytest

from domain.instruments import Instrument
from domain.market.file_times import instant_of
from domain.market.quotes import Quote
from domain.market.simulated import shaped
from domain.market.trading_hours import DAY_NS
from domain.order.commands import ReportKind, VenueRequest
from domain.paper.events import Cancel, Message, Passed, QueueAdvanced, Replace, Reported
from domain.paper.rules import PaperRules
from domain.paper.venue import PaperVenue
from domain.values import OrderType, Side, TimeInForce
from tests.flows.obvious_venue import Fill, ObviousVenue, Order, Shown, Steps, Terms, cut

DATA: Final = Path(__file__).parents[2] / "data"
ORDERS: Final = 5000
ACCOUNTS: Final = ("ann", "bob", "cem")
TYPES: Final = ("market", "limit", "limit", "stop", "stop_limit")
TIMES: Final = ("gtc", "gtc", "gtc", "ioc", "fok", "gtd", "day")
PARTS: Final = tuple(map(Decimal, ("0.01", "0.1", "0.5", "0.9", "1", "1.5", "3", "8")))
AWAY_PPM: Final = (0, 0, 50, 200, 1000, 5000, 20_000)
HOUR_NS: Final = 3_600_000_000_000

VENUES: Final = (
    (Terms("PLAIN", Decimal(2), Decimal(10), 0, Decimal("0.5")), PaperRules()),
    (Terms("DEEP", Decimal(1), Decimal("7.5"), 2, Decimal(2), levels=4, level_ticks=3), PaperRules(levels=4, level_ticks=3)),
    (
        Terms("CROWDED", Decimal(-1), Decimal(5), 0, Decimal(1), levels=3, queue=True, self_trade="cancel_newest"),
        PaperRules(levels=3, queue=True, self_trade="cancel_newest"),
    ),
    (
        Terms("OLDEST", Decimal(0), Decimal(3), 1, Decimal(1), queue=True, self_trade="cancel_oldest"),
        PaperRules(queue=True, self_trade="cancel_oldest"),
    ),
)
DAYS: Final = [
    pytest.param("quotes_crypto_2018-04-04.csv", "0.01", "0.00000001", id="crypto"),
    pytest.param("quotes_equity_2013-10-04.csv", "0.01", "1", id="equity"),
]


class Day:
    """One venue, real and obvious, through a day; what one is told the other is told."""

    def __init__(self, terms: Terms, rules: PaperRules, steps: Steps, symbols: set[str], seed: str) -> None:
        self.instruments = {
            symbol: Instrument(
                symbol=symbol, tick=steps.tick, lot=steps.lot, quantity_max=Decimal(10**9), notional_min=Decimal(0), currency="USD"
            )
            for symbol in symbols
        }
        self.terms, self.steps = terms, steps
        self.venue = PaperVenue(terms.name, self.instruments, terms.maker_bps, terms.taker_bps, rules)
        self.filled: list[Fill] = []
        self.obvious = ObviousVenue(terms, dict.fromkeys(symbols, steps), self.filled.append)
        self.fills: list[Fill] = []
        self.orders: list[Order] = []
        self.chance = random.Random(seed)
        self.now = 0
        self.seen: Counter[str] = Counter()

    def hear(self, message: Message) -> list[ReportKind]:
        events = self.venue.take(message, self.now)
        self.seen["others came first"] += sum(isinstance(event, QueueAdvanced) for event in events)
        reports = [event.report for event in events if isinstance(event, Reported)]
        for report in reports:
            self.seen[f"{report.report} {report.reason}".strip()] += 1
            if report.report is ReportKind.FILL:
                assert report.quantity is not None
                assert report.price is not None
                assert report.fee is not None
                who = (report.route_id, report.account, str(report.side))
                numbers = (report.quantity, report.price, report.fee)
                self.fills.append(Fill(self.terms.name, report.symbol, *who, *numbers, str(report.liquidity)))
        return [report.report for report in reports]

    def show(self, row: Quote) -> None:
        self.now = row.at
        self.pass_time()
        self.hear(shaped(row, self.terms.name, self.instruments[row.symbol], self.terms.spread_ticks, self.terms.depth_scale, row.at))
        self.obvious.quote(row.symbol, Shown(row.bid, row.bid_size, row.ask, row.ask_size))
        assert self.fills == self.filled

    def pass_time(self) -> None:
        self.hear(Passed())
        self.obvious.pass_time(self.now)

    def act(self, symbol: str) -> None:
        """A new order, or something done to an open one."""
        self.now += 1000
        self.pass_time()
        there = [order for order in self.orders if order.is_open and order.symbol == symbol]
        if there and self.chance.random() < 0.12:
            self._cancel(self.chance.choice(there))
        elif there and self.chance.random() < 0.25:
            self._replace(self.chance.choice(there))
        else:
            self._new(symbol)
        assert self.fills == self.filled

    def _new(self, symbol: str) -> None:
        order = self._drawn(symbol)
        self.orders.append(order)
        self.hear(self._request(order))
        self.obvious.new(order, self.now)

    def _cancel(self, order: Order) -> None:
        self.hear(Cancel(self._request(order)))
        self.obvious.cancel(order)

    def _replace(self, order: Order) -> None:
        quantity = order.quantity if self.chance.random() < 0.3 else self._quantity(order.symbol, order.side)
        price, stop = order.price, order.stop_price
        if price is not None and self.chance.random() < 0.5:
            price = self._price(self._touch(order.symbol, order.side), order.side)
        if stop is not None and not order.triggered and self.chance.random() < 0.5:
            stop = self._price(self._touch(order.symbol, order.side), order.side)
        request = msgspec.structs.replace(self._request(order), quantity=quantity, price=price, stop_price=stop)
        said = self.hear(Replace(msgspec.structs.replace(request, replace_id=f"r{self.now}")))
        assert self.obvious.replace(order, quantity, price, stop) is (said[0] is ReportKind.REPLACED)

    def _drawn(self, symbol: str) -> Order:
        chance = self.chance
        side, kind, lived = chance.choice(("buy", "sell")), chance.choice(TYPES), chance.choice(TIMES)
        touch = self._touch(symbol, side)
        stop = self._price(touch, side) if kind in ("stop", "stop_limit") else None
        price = self._price(stop or touch, side) if kind in ("limit", "stop_limit") else None
        if kind == "limit" and chance.random() < 0.4:
            price = self._touch(symbol, "sell" if side == "buy" else "buy")  # where others stand already
        ends = (
            self.now + chance.randint(-1, 6) * HOUR_NS if lived == "gtd" else (self.now // DAY_NS + 1) * DAY_NS if lived == "day" else None
        )
        return Order(
            client_order_id=f"{self.terms.name}-{len(self.orders)}",
            account=chance.choice(ACCOUNTS),
            symbol=symbol,
            side=side,
            type=kind,
            quantity=self._quantity(symbol, side),
            price=price,
            stop_price=stop,
            time_in_force=lived,
            post_only=kind in ("limit", "stop_limit") and lived not in ("ioc", "fok") and chance.random() < 0.15,
            ends=ends,
        )

    def _touch(self, symbol: str, side: str) -> Decimal:
        return self.obvious.shown[symbol].touch(side)

    def _quantity(self, symbol: str, side: str) -> Decimal:
        return max(cut(self.obvious.shown[symbol].size(side) * self.chance.choice(PARTS), self.steps.lot), self.steps.lot)

    def _price(self, near: Decimal, side: str) -> Decimal:
        """Close to the touch and on both sides of it; now and then just there."""
        if self.chance.random() < 0.15:
            return near
        away = self.chance.choice((-1, 1)) * Decimal(self.chance.randint(0, self.chance.choice(AWAY_PPM))).scaleb(-6)
        return max(cut(near * (1 + away), self.steps.tick), self.steps.tick)

    def _request(self, order: Order) -> VenueRequest:
        return VenueRequest(
            order_id=order.client_order_id,
            route_id=order.client_order_id,
            venue=self.terms.name,
            account=order.account,
            symbol=order.symbol,
            side=Side(order.side),
            type=OrderType(order.type),
            quantity=order.quantity,
            price=order.price,
            stop_price=order.stop_price,
            time_in_force=TimeInForce(order.time_in_force),
            expire_at=order.ends if order.time_in_force == "gtd" else None,
            post_only=order.post_only,
        )


def rows_of(file: str, steps: Steps) -> list[Quote]:
    with (DATA / file).open() as lines:
        return [
            Quote(
                symbol=row["symbol"],
                venue="",
                bid=Decimal(row["bid"]),
                bid_size=cut(Decimal(row["bid_size"]), steps.lot),
                ask=Decimal(row["ask"]),
                ask_size=cut(Decimal(row["ask_size"]), steps.lot),
                at=instant_of(row["time"]),
            )
            for row in csv.DictReader(lines)
        ]


@pytest.mark.parametrize(("terms", "rules"), VENUES, ids=[terms.name for terms, _ in VENUES])
@pytest.mark.parametrize(("file", "tick", "lot"), DAYS)
def test_an_obvious_matcher_agrees_on_every_fill(file: str, tick: str, lot: str, terms: Terms, rules: PaperRules) -> None:
    steps = Steps(Decimal(tick), Decimal(lot))
    rows = rows_of(file, steps)
    day = Day(terms, rules, steps, {row.symbol for row in rows}, f"{file} {terms.name}")
    wanted = ORDERS // len(VENUES)
    for number, row in enumerate(rows, 1):
        day.show(row)
        while len(day.orders) < wanted * number // len(rows):
            day.act(row.symbol)
    for order in day.orders:
        found = day.venue.orders[order.client_order_id]
        place = "working" if order.is_open else "rejected" if order.reason == "post_only" and not order.triggered else order.place
        assert (found.state, found.leaves) == (place, order.lacks), order
    much_happened(day)


def much_happened(day: Day) -> None:
    """Or it would prove little."""
    kinds = {(order.type, order.time_in_force) for order in day.orders}
    assert len(kinds) == len(set(TYPES)) * len(set(TIMES)), "every type with every time in force"
    lots = {"fill": 300, "cancelled requested": 40, "replaced": 60, "cancelled ioc": 15, "cancelled fok": 15, "expired": 25}
    for what, least in lots.items():
        assert day.seen[what] >= least, (what, day.seen)
    assert day.seen["rejected post_only"] + day.seen["replace_rejected post_only"] >= 5
    assert len({fill.liquidity for fill in day.fills}) == 2
    if day.venue.rules.queue:
        assert day.seen["others came first"] >= 1
    if day.venue.rules.self_trade != "allow":
        assert day.seen["cancelled self_trade"] >= 5
