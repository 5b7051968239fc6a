"""Prints: what traded at a venue of the market and which side took it, for paper venues that estimate their queues with it."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from domain.market.quotes import AT_END, NUMBER, PRICE, SIZE, TIME, in_bounds
from domain.market.records import Flag, MarketTrade
from domain.values import ZERO, Side

PRINTS_MAX: Final = 500
"""Prints of one message. Of more only the last ones leave."""


class Print(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A quantity that traded at a price. `side` is the taker's."""

    price: Decimal
    quantity: Decimal
    side: Side


class Prints(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The prints of one symbol in one message of raw frames, in the order of the frames.

    (`epoch`, `n`) is the last frame of that message: the same prints never have another one. `at` is the venue's time of the last trade.
    """

    symbol: str
    venue: str
    prints: tuple[Print, ...]
    epoch: int
    n: int
    at: int
    flags: tuple[str, ...] = ()


def prints_of(trades: Iterable[MarketTrade], epoch: int, n: int) -> list[Prints]:
    """Return the prints of trades, by symbol. Trades in a row at one price by one side are one print. Trades of the past leave none."""
    last: dict[str, MarketTrade] = {}
    found: dict[str, list[Print]] = {}
    for trade in trades:
        if Flag.BACKFILLED in trade.flags:
            continue
        last[trade.symbol] = trade
        prints = found.setdefault(trade.symbol, [])
        before = prints[-1] if prints else None
        if before is not None and (before.price, before.side) == (trade.price, trade.side):
            prints[-1] = Print(trade.price, before.quantity + trade.quantity, trade.side)
        else:
            prints.append(Print(trade.price, trade.quantity, trade.side))
    return [
        Prints(
            symbol=symbol,
            venue=trade.venue,
            prints=tuple(found[symbol][-PRINTS_MAX:]),
            epoch=epoch,
            n=n,
            at=trade.at,
            flags=trade.flags,
        )
        for symbol, trade in last.items()
    ]


def unsound_prints(prints: Prints, *, negative_prices: bool = False) -> str | None:
    """Return why prints are not usable; None if they are. Their numbers have the bounds of a quote's (`unsound`)."""
    for each in prints.prints:
        if not (in_bounds(each.price) and in_bounds(each.quantity)):
            return NUMBER
        if not negative_prices and each.price <= ZERO:
            return PRICE
        if each.quantity <= ZERO:
            return SIZE
    if len(prints.prints) > PRINTS_MAX:
        return SIZE
    return None if 0 <= prints.at < AT_END else TIME
