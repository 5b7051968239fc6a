"""One side of a book: levels by price, and the sorted prices."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from decimal import Decimal
from operator import itemgetter
from typing import Final

from domain.market.records import Level
from domain.values import ZERO

_PRICE: Final = itemgetter(0)


class BookSide:
    """Bids or asks. The sort key of an ask is its negated price, so that the best level of either side is the last one."""

    __slots__ = ("_keys", "_levels", "_negated")

    def __init__(self, *, asks: bool) -> None:
        self._negated = asks
        self._levels: dict[Decimal, Level] = {}
        self._keys: list[Decimal] = []

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, level: Level) -> bool:
        """Set a level, or remove it if its size is zero. Return whether that changed the side."""
        price, size = level
        key = price.copy_negate() if self._negated else price
        before = self._levels.get(key)
        if size:
            if before is None:
                insort(self._keys, key)
            self._levels[key] = level
            return before is None or before[1] != size
        if before is None:
            return False
        del self._levels[key]
        del self._keys[bisect_left(self._keys, key)]
        return True

    def replace(self, levels: Iterable[Level]) -> None:
        """Forget all levels and take these. Of a price that comes twice the last one counts."""
        self._levels = {}
        for level in levels:
            key = level[0].copy_negate() if self._negated else level[0]
            if level[1]:
                self._levels[key] = level
            else:
                self._levels.pop(key, None)
        self._keys = sorted(self._levels)

    def truncate(self, depth: int) -> list[Level]:
        """Remove the worst levels beyond `depth`. Return them with size zero, as a delta removes them."""
        extra = len(self._keys) - depth
        if extra <= 0:
            return []
        gone = self._keys[:extra]
        del self._keys[:extra]
        return [(self._levels.pop(key)[0], ZERO) for key in gone]

    def best(self) -> Level | None:
        return self._levels[self._keys[-1]] if self._keys else None

    def levels(self, depth: int) -> list[Level]:
        """Return at most `depth` levels from the best one."""
        levels, keys = self._levels, self._keys
        return [levels[key] for key in reversed(keys[-depth:])] if depth > 0 else []

    def ordered(self, levels: list[Level]) -> list[Level]:
        """Return levels of a delta from the best price to the worst; of a price that comes twice, the last one stays last."""
        return sorted(levels, key=_PRICE, reverse=not self._negated) if len(levels) > 1 else levels
