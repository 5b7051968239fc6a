"""What to do on a recorded day, from a seed: when to stop the market, which orders to submit then, which to cancel."""

import csv
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Final

from tests.flows.obvious_matcher import Compared, ObviousMarket, Order, Shown, Steps, cut

SIDES: Final = ("buy", "sell")
TYPES: Final = ("market", "limit", "stop", "stop_limit")
TIMES: Final = {"gtc": 14, "ioc": 3, "fok": 3, "gtd": 2}
OF_THE_DISPLAY: Final = tuple(map(Decimal, ("0.01", "0.1", "0.3", "0.5", "0.9", "1", "1.5", "3", "8", "25")))
AWAY_PPM: Final = (0, 200, 1000, 5000, 20_000, 60_000)
"""How far from the market a price may be, in millionths; which of them is drawn first, so that all scales are there."""
SAME_TERMS: Final = 0.2
"""How often an order takes the prices of one that is open, so that turns count."""
NOTIONAL_MIN: Final = 4
QUANTITY_MAX: Final = Decimal(1_000_000)
"""The bound of the form, for all instruments of the recordings."""
ACCOUNTS: Final = ("ann", "bob", "cem", "dov")
EARLY: Final = "early"
"""Trades only before the first quote, when another venue may be chosen. So every account has each symbol at one venue,
whose reports come in order; between venues there is no order."""


@dataclass(frozen=True)
class Row:
    symbol: str
    shown: Shown


@dataclass
class Stop:
    """A place in the day: play this many rows, then ask for all this, symbol by symbol in the order given."""

    rows: int
    asks: dict[str, list[tuple[str, Order]]] = field(default_factory=dict)
    compared: dict[tuple[str, str], tuple[Compared, ...]] = field(default_factory=dict)
    """What an order of a symbol and side must be routed by while the market stands here; nothing before the first quote."""


def read_rows(path: Path) -> list[Row]:
    with path.open() as lines:
        return [
            Row(r["symbol"], Shown(*(Decimal(r[name]) for name in ("bid", "bid_size", "ask", "ask_size")))) for r in csv.DictReader(lines)
        ]


@dataclass
class RandomDay:
    """The plan of a day. Making it runs the obvious market to the end; `orders` then says what became of each."""

    rows: Sequence[Row]
    market: ObviousMarket
    steps: Mapping[str, Steps]
    seed: int
    stops_of_the_day: int
    orders_each: int
    orders: list[Order] = field(default_factory=list)

    def plan(self) -> list[Stop]:
        self._random = random.Random(self.seed)
        symbols = sorted({row.symbol for row in self.rows})
        opened = 1 + max(next(at for at, row in enumerate(self.rows) if row.symbol == symbol) for symbol in symbols)
        places = [0, *sorted(self._random.sample(range(opened, len(self.rows)), self.stops_of_the_day)), len(self.rows)]
        return list(self._stops(symbols, places))

    def _stops(self, symbols: Sequence[str], places: Sequence[int]) -> Iterator[Stop]:
        played = 0
        for place in places:
            for row in self.rows[played:place]:
                self.market.show(row.symbol, row.shown)
            stop = Stop(place - played)
            played = place
            if place:
                stop.compared = {(symbol, side): self.market.compared(symbol, side) for symbol in symbols for side in SIDES}
            if place < len(self.rows):
                stop.asks = {symbol: list(self._asks(symbol, early=not place)) for symbol in symbols}
            yield stop

    def _asks(self, symbol: str, early: bool) -> Iterator[tuple[str, Order]]:
        for _ in range(self.orders_each):
            order = self._early(symbol) if early else self._order(symbol)
            self.orders.append(order)
            self.market.submit(order)
            yield "submit", order
            if self._random.random() < 0.1 and (there := [o for o in self.orders if o.symbol == symbol and o.is_open]):
                unwanted = self._random.choice(there)
                self.market.cancel(unwanted)
                yield "cancel", unwanted

    def _early(self, symbol: str) -> Order:
        """Before the first quote only a limit order has a price to be checked at."""
        first = next(row.shown for row in self.rows if row.symbol == symbol)
        order = self._drawn(symbol, "limit", first)
        return replace(order, account=EARLY)

    def _order(self, symbol: str) -> Order:
        return self._drawn(symbol, self._random.choice(TYPES), self.market.chosen(symbol, "buy").shown[symbol])

    def _drawn(self, symbol: str, type_: str, shown: Shown) -> Order:
        side = self._random.choice(SIDES)
        touch, steps = shown.touch(side), self.steps[symbol]
        outward = 1 if side == "buy" else -1
        stop = self._price(touch, outward, steps) if type_ in ("stop", "stop_limit") else None
        price = self._price(stop or touch, -outward, steps) if type_ in ("limit", "stop_limit") else None
        twins = [o for o in self.orders if o.is_open and (o.symbol, o.side, o.type) == (symbol, side, type_)]
        if twins and self._random.random() < SAME_TERMS:
            stop, price = twins[-1].stop_price, twins[-1].price
        return Order(
            client_order_id=f"day-{len(self.orders)}",
            account=self._random.choice(ACCOUNTS),
            symbol=symbol,
            side=side,
            type=type_,
            quantity=self._quantity(shown.size(side), touch, steps),
            price=price,
            stop_price=stop,
            time_in_force=self._random.choices(list(TIMES), list(TIMES.values()))[0],
        )

    def _quantity(self, size: Decimal, touch: Decimal, steps: Steps) -> Decimal:
        """A part of the displayed size or a multiple of it, but worth trading."""
        least = (NOTIONAL_MIN // (touch * steps.lot) + 1) * steps.lot
        return min(max(cut(size * self._random.choice(OF_THE_DISPLAY), steps.lot), least), QUANTITY_MAX)

    def _price(self, near: Decimal, direction: int, steps: Steps) -> Decimal:
        """Mostly on the far side of `near` (where a limit rests and a stop sleeps), sometimes through it, now and then out of reach."""
        if self._random.random() < 0.08:
            return cut(near * (Decimal("1.9") if direction > 0 else Decimal("0.6")), steps.tick)
        if self._random.random() < 0.25:
            direction = -direction
        away = Decimal(self._random.randint(0, self._random.choice(AWAY_PPM))).scaleb(-6)
        return cut(near * (1 + direction * away), steps.tick)
