"""Trailing stops: they follow the best price seen, and oms records each step, so that a restart begins where the last one was."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from apps.exeq.executor import Command, Executor
from domain.execution.projection import Executions
from domain.groups.trail_level import Level, reached, tightest, trailed, watched
from domain.instruments import Instrument
from domain.market.quotes import Quote
from domain.order.commands import TrailStop, TriggerOrder
from domain.order.events import OrderSubmitted
from domain.values import Side

Seen = Mapping[Side, Quote | None]
"""The quote that an order of each side would trade with; None without a fresh one."""
AT_ONCE_MAX: Final = 1000
"""Commands of one look at the market; the others follow in the next."""


class _Followed(NamedTuple):
    """A stop in memory: its level, which may be tighter than the recorded one, and since when the journal has what it has (steady ns)."""

    level: Level
    recorded: Level
    since: int


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

    def look(self, quoted: Callable[[str], Seen], now_ns: int) -> list[Command]:
        """Follow the market, and return what oms must record: tighter stops, and those that are reached."""
        commands: list[Command] = []
        followed: dict[str, _Followed] = {}
        for symbol, stops in self._executions.held.trailing.items():
            seen = quoted(symbol)
            for order_id, terms in stops.items():
                known = followed[order_id] = self._known(terms, now_ns)
                quote = seen[terms.side]
                if quote is None or len(commands) >= AT_ONCE_MAX or self._forbids(terms.account, symbol):
                    continue
                level, command = self._follow(terms, known, quote, now_ns)
                followed[order_id] = known._replace(level=level)
                if command is not None:
                    commands.append(command)
        self._followed = followed
        return commands

    def _known(self, terms: OrderSubmitted, now_ns: int) -> _Followed:
        """Return the stop as it was at the last look, no looser than it is recorded by now."""
        recorded = Level(terms.stop_price, self._executions.held.best.get(terms.order_id))
        before = self._followed.get(terms.order_id)
        if before is None:
            return _Followed(recorded, recorded, now_ns)
        level = tightest(terms.side, before.level, recorded)
        return _Followed(level, recorded, before.since if before.recorded == recorded else now_ns)

    def _follow(self, terms: OrderSubmitted, known: _Followed, quote: Quote, now_ns: int) -> tuple[Level, Command | None]:
        instrument, trail = self._instruments.get(terms.symbol), terms.trail
        if instrument is None or trail is None or (price := watched(quote, terms.side, trail.trigger)) is None:
            return known.level, None
        level = trailed(known.level, trail, terms.side, price, instrument.tick, negative_prices=instrument.negative_prices)
        if self._executor.asks(terms.order_id):
            return level, None
        if reached(level, terms.side, price):
            order_id, venue = terms.order_id, quote.venue
            return level, TriggerOrder(order_id=order_id, venue=venue, price=price, stop_price=level.stop_price, best=level.best)
        if level.stop_price is None or level.best is None or level.stop_price == known.recorded.stop_price:
            return level, None
        if known.recorded.stop_price is not None and now_ns - known.since < self._every_ns:
            return level, None
        return level, TrailStop(order_id=terms.order_id, venue=quote.venue, stop_price=level.stop_price, best=level.best)
