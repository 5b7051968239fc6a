"""The basis of a risk decision, as one line of text that travels with the order and is journaled with it.

    order_size_limit 4500 100000,var_limit 62.12 50000;mid 45000.005 120;2026-11-21

Checks with the value found and its limit; prices that were used, with their age in milliseconds; the last day of the price history.
It is text because five processes carry it and none computes with it: a list of numbers costs ten times as much to read.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple


class CheckResult(NamedTuple):
    name: str
    found: Decimal
    limit: Decimal

    @property
    def headroom(self) -> Decimal:
        return self.limit - self.found


class PriceUsed(NamedTuple):
    """A price that the decision used, in the currency of limits, and how old it was."""

    name: str
    price: Decimal
    age_ms: int


class DecisionRecord(NamedTuple):
    checks: tuple[CheckResult, ...] = ()
    prices: tuple[PriceUsed, ...] = ()
    closes_to: str | None = None


def record_line(checks: Sequence[tuple[str, Decimal, Decimal]], prices: Sequence[tuple[str, Decimal, int]], closes_to: str) -> str:
    """Return the line: (name, found, limit) of each check, (name, price, age in ms) of each price, and the last day of the history."""
    measured = ",".join([f"{name} {found!s} {limit!s}" for name, found, limit in checks])
    if not prices and not closes_to:
        return measured
    used = ",".join([f"{name} {price!s} {age_ms}" for name, price, age_ms in prices])
    return f"{measured};{used};{closes_to}"


def read(line: str) -> DecisionRecord:
    """Parse a line. Raises ValueError if it has another format."""
    checks, prices, closes_to = [*line.split(";"), "", ""][:3]
    return DecisionRecord(
        tuple(CheckResult(name, _number(found), _number(limit)) for name, found, limit in _fields(checks)),
        tuple(PriceUsed(name, _number(price), int(age)) for name, price, age in _fields(prices)),
        closes_to or None,
    )


def _fields(part: str) -> list[list[str]]:
    found = [item.split(" ") for item in part.split(",") if item]
    if any(len(item) != 3 for item in found):
        raise ValueError(f"not a decision record: {part[:80]!r}")
    return found


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError as error:
        raise ValueError(f"not a number: {text[:40]!r}") from error
