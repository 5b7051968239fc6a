"""Trailing stops: they follow the best price seen, and oms records each step, so that a restart begins where the last one was."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from apps.exeq.executor import Command, Executor
from domain.execution.projection import Executions
from domain.groups.trail_level import Level, reached, tightest, trailed, watched
from domain.instruments import Instrument
from domain.market.last_trades import TradedPrice
from domain.market.quotes import Quote
from domain.order.commands import TrailStop, TriggerOrder
from domain.order.events import OrderSubmitted
from domain.order.trail import TrailTrigger
from domain.values import Side

Seen = Mapping[Side, Quote | None]
"""The quote that an order of each side would trade with; None without a fresh one."""
Traded = Callable[[str], TradedPrice | None]
"""Returns the last trade of a symbol; None without a fresh one."""
AT_ONCE_MAX: Final = 1000
"""Commands of one look at the market; the others follow in the next."""


class _Sight(NamedTuple):
    """The price that a stop follows, and the venue that shows it."""

    price: Decimal
    venue: str


class _Followed(NamedTuple):
    """A stop in memory: its level, which may be tighter than the recorded one, and since when the journal has what it has (steady ns).

    `terms`: those by which the level has followed the market; None before.
    """

    level: Level
    recorded: Level
    since: int
    terms: OrderSubmitted | None = None

    def rests(self, terms: OrderSubmitted, price: Decimal) -> bool:
        """Return whether the market is between the recorded stop price and the best price. With many stops that is most of them."""
        stop_price, best = self.level.stop_price, self.level.best
        if terms is not self.terms or stop_price is None or best is None or stop_price != self.recorded.stop_price:
            return False
        return stop_price < price <= best if terms.side is Side.SELL else best <= price < stop_price


class TrailingStops:
    """Follows the market between two records. A level in memory is never behind the recorded one, and never loosens."""

    def __init__(
        self,
        executor: Executor,
        executions: Executions,
        instruments: Mapping[str, Instrument],
        forbids: Callable[[str, str], str | None],
        every_ns: int,
    ) -> None:
        """`forbids`: the reason why an account may not trade a symbol now. `every_ns`: the least time between two records of a stop."""
        self._executor = executor
        self._executions = executions
        self._instruments = instruments
        self._forbids = forbids
        self._every_ns = every_ns
        self._followed: dict[str, _Followed] = {}

    def look(self, quoted: Callable[[str], Seen], traded: Traded, now_ns: int) -> list[Command]:
        """Follow the market, and return what oms must record: tighter stops, and those that are reached."""
        commands: list[Command] = []
        followed: dict[str, _Followed] = {}
        for symbol, stops in self._executions.held.trailing.items():
            seen, last = quoted(symbol), traded(symbol)
            sights: dict[tuple[Side, TrailTrigger], _Sight | None] = {}
            for order_id, terms in stops.items():
                before, way = self._followed.get(order_id), (terms.side, _trigger(terms))
                if way not in sights:
                    sights[way] = _sight(*way, seen[terms.side], last)
                sight = sights[way]
                if before is not None and sight is not None and before.rests(terms, sight.price):
                    followed[order_id] = before
                    continue
                known = followed[order_id] = self._known(terms, before, now_ns)
                if sight is None or len(commands) >= AT_ONCE_MAX or self._forbids(terms.account, symbol):
                    continue
                level, command = self._follow(terms, known, sight, now_ns)
                followed[order_id] = known._replace(level=level, terms=terms)
                if command is not None:
                    commands.append(command)
        self._followed = followed
        return commands

    def _known(self, terms: OrderSubmitted, before: _Followed | None, now_ns: int) -> _Followed:
        """Return the stop as it was at the last look, no looser than it is recorded by now."""
        recorded = Level(terms.stop_price, self._executions.held.best.get(terms.order_id))
        if before is None:
            return _Followed(recorded, recorded, now_ns)
        level = tightest(terms.side, before.level, recorded)
        return before._replace(level=level, recorded=recorded, since=before.since if before.recorded == recorded else now_ns)

    def _follow(self, terms: OrderSubmitted, known: _Followed, sight: _Sight, now_ns: int) -> tuple[Level, Command | None]:
        instrument, trail, (price, venue) = self._instruments.get(terms.symbol), terms.trail, sight
        if instrument is None or trail is None:
            return known.level, None
        level = trailed(known.level, trail, terms.side, price, instrument.tick, negative_prices=instrument.negative_prices)
        if self._executor.asks(terms.order_id):
            return level, None
        if reached(level, terms.side, price):
            return level, TriggerOrder(order_id=terms.order_id, venue=venue, price=price, stop_price=level.stop_price, best=level.best)
        if level.stop_price is None or level.best is None or level.stop_price == known.recorded.stop_price:
            return level, None
        if known.recorded.stop_price is not None and now_ns - known.since < self._every_ns:
            return level, None
        return level, TrailStop(order_id=terms.order_id, venue=venue, stop_price=level.stop_price, best=level.best)


def _trigger(terms: OrderSubmitted) -> TrailTrigger:
    assert terms.trail is not None, "only trailing stops are held here"
    return terms.trail.trigger


def _sight(side: Side, trigger: TrailTrigger, quote: Quote | None, last: TradedPrice | None) -> _Sight | None:
    """Return what stops of this side and trigger follow now; None if nothing fresh shows it."""
    if trigger is TrailTrigger.LAST:
        return None if last is None else _Sight(last.price, last.venue)
    price = None if quote is None else watched(quote, side, trigger)
    return None if quote is None or price is None else _Sight(price, quote.venue)
