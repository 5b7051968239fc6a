"""Numbers and times as venues write them: exact and within bounds, or refused."""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from domain.market.quotes import AT_END, in_bounds
from domain.market.records import Level
from domain.values import ZERO, from_rfc3339

NUMBER_CHARACTERS_MAX: Final = 48
REMEMBERED_MAX: Final = 20_000
"""Parsed numbers that a connection remembers. When they are more, it forgets all of them."""

_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)
_SECOND: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
_SECOND_CHARACTERS: Final = 19
_REST: Final = re.compile(r"(?:\.(\d{1,9}))?Z", re.ASCII)
_MICROSECONDS_FROM: Final = 10**15
"""Unix times from here on are microseconds: as milliseconds they would be in the year 33658."""


class NumberReader:
    """Parse numbers to Decimal, and remember them: the prices of a book are sent many times."""

    def __init__(self) -> None:
        self._known: dict[str, Decimal] = {}

    def number(self, text: str) -> Decimal | None:
        """Return the number; None if the text is no decimal number, or outside the bounds of `domain.market.quotes`."""
        known = self._known.get(text)
        return self._parse(text) if known is None else known

    def above_zero(self, text: str) -> Decimal | None:
        number = self.number(text)
        return number if number is not None and number > ZERO else None

    def levels(self, pairs: Iterable[tuple[str, str]]) -> list[Level] | None:
        """Return prices and sizes; None unless each price is above zero and each size is zero or more."""
        known, levels = self._known.get, []
        for price_text, size_text in pairs:
            price = known(price_text)
            if price is None:
                price = self._parse(price_text)
            size = known(size_text)
            if size is None:
                size = self._parse(size_text)
            if price is None or size is None or price <= ZERO or size < ZERO:
                return None
            levels.append((price, size))
        return levels

    def _parse(self, text: str) -> Decimal | None:
        if len(text) > NUMBER_CHARACTERS_MAX or not _NUMBER.fullmatch(text):
            return None
        number = Decimal(text)
        if not in_bounds(number):
            return None
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        self._known[text] = number
        return number


class TimeReader:
    """Parse times in RFC 3339 with `Z` and up to nine decimals. The last second is remembered, because neighbours share it."""

    def __init__(self) -> None:
        self._second = ""
        self._second_ns = 0

    def nanoseconds(self, text: str) -> int | None:
        """Return nanoseconds UTC; None if the text is no such time between 1970 and 2262."""
        second, rest = text[:_SECOND_CHARACTERS], _REST.fullmatch(text, _SECOND_CHARACTERS)
        if rest is None or (second != self._second and not self._learn(second)):
            return None
        fraction = rest[1]
        at = self._second_ns + (int(fraction.ljust(9, "0")) if fraction else 0)
        return at if 0 <= at < AT_END else None

    def _learn(self, second: str) -> bool:
        if not _SECOND.fullmatch(second):
            return False
        try:
            self._second_ns = from_rfc3339(f"{second}Z")
        except ValueError:
            return False
        self._second = second
        return True


def unix_time(value: int) -> int | None:
    """Return nanoseconds UTC for milliseconds or microseconds since 1970; None if they are outside the years 1970 to 2262."""
    at = value * (1_000 if value >= _MICROSECONDS_FROM else 1_000_000)
    return at if 0 <= at < AT_END else None
