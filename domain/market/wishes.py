"""Wishes that wait for their effect: sent once, repeated with growing distance, and turned into a new connection if nothing helps."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from domain.market.venues.feed import Wish, WishKind

SECOND: Final = 1_000_000_000


class WishPace(NamedTuple):
    """`first`: how long the effect of a wish is awaited, in nanoseconds; each time twice as long, at most `most`.

    After `resyncs_max` snapshots that did not bring a symbol back, the connection is replaced, unless it never had a book of the symbol.
    `connection`: how long a new one is awaited.
    """

    first: int = 2 * SECOND
    most: int = 300 * SECOND
    resyncs_max: int = 3
    connection: int = 30 * SECOND


class _Wanted(msgspec.Struct):
    wish: Wish
    due: int
    wait: int
    tries: int = 0


class Wishes:
    """What one venue is asked for. One wish a symbol is open at a time. All times are of our steady clock."""

    def __init__(self, pace: WishPace = WishPace()) -> None:  # noqa: B008 - immutable
        self._pace = pace
        self._wanted: dict[str, _Wanted] = {}
        """By symbol; the connection has the empty one."""
        self._came: set[str] = set()
        """Symbols that had a book since the connection was opened. Only these can cost it."""

    @property
    def open(self) -> int:
        return len(self._wanted)

    def want(self, wish: Wish, now: int, *, after: int = 0) -> None:
        """Add a wish, to be sent `after` this time. One for the same symbol that was sent already stays as it is."""
        wish = msgspec.structs.replace(wish, symbol="") if wish.kind is WishKind.RECONNECT else wish
        key = wish.symbol
        known = self._wanted.get(key)
        if known is None:
            self._wanted[key] = _Wanted(wish, now + after, self._pace.first if key else self._pace.connection)
        elif not known.tries:
            known.due = min(known.due, now + after)

    def settled(self, symbol: str) -> None:
        """Note that the symbol has a valid book."""
        self._wanted.pop(symbol, None)
        self._came.add(symbol)

    def forget(self, symbol: str) -> None:
        """Drop a wish for a symbol that nothing can bring back: it is not asked for, or not listed any more."""
        self._wanted.pop(symbol, None)
        self._came.discard(symbol)

    def connected(self) -> None:
        """Note a new connection: what the one before it was asked for is settled. What is missing on the new one is wanted again."""
        self._wanted.clear()
        self._came.clear()

    def due(self, now: int) -> Sequence[Wish]:
        """Return the wishes to send now."""
        found = [wanted.wish for symbol, wanted in list(self._wanted.items()) if symbol and wanted.due <= now and self._sends(wanted, now)]
        connection = self._wanted.get("")
        if connection is not None and connection.due <= now and self._sends(connection, now):
            found.append(connection.wish)
        return found

    def _sends(self, wanted: _Wanted, now: int) -> bool:
        """Count a try. Return False if it is the turn of a new connection instead."""
        wanted.tries += 1
        wanted.due = now + wanted.wait
        wanted.wait = min(2 * wanted.wait, self._pace.most)
        symbol = wanted.wish.symbol
        if symbol not in self._came or wanted.tries % (self._pace.resyncs_max + 1):
            return True
        self.want(Wish(kind=WishKind.RECONNECT, reason=f"{symbol} did not come back"), now)
        return False
