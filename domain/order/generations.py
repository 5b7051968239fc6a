"""Generations of an order's terms, for clients to whom a replace closes one order and opens the next.

Generation 0 has the terms of the submit; each replace asks for the next one. Each has an id of its own, from which the order is found
again, and may have the client's own name for it.
"""

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from domain.order.trail import Trail
from domain.values import ZERO

GENERATIONS_MAX: Final = 64
"""The replaces of an order that make generations. Later ones change the terms of the last generation, and cannot be named."""
_LOWEST_BITS: Final = 0xFFFF


class Standing(StrEnum):
    """What became of a generation. `unanswered`: the order closed before its venue answered the replace, so it never applied."""

    PENDING = "pending"
    CURRENT = "current"
    REPLACED = "replaced"
    REFUSED = "refused"
    UNANSWERED = "unanswered"


class Generation(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The terms of one generation.

    `at`: when they were asked for. `ended_at`: when others took their place, or when the venue `refused` them. `cum_quantity` and
    `notional` are what the order had traded when others took their place, `best` is the best price that its trailing stop had seen then.
    A risk refusal makes no generation.
    """

    number: int
    at: int
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    client_order_id: str = ""
    ended_at: int | None = None
    refused: bool = False
    cum_quantity: Decimal = ZERO
    notional: Decimal = ZERO
    trail: Trail | None = None
    best: Decimal | None = None


Generations = tuple[Generation, ...]
"""In the order of their numbers."""


def generation_id(order_id: str, number: int) -> str:
    """Return the id of a generation: the order's id XOR its number, in the 16 lowest bits. Generation 0 has the order's own id."""
    assert 0 <= number <= GENERATIONS_MAX, f"generation {number}"
    return f"{int(order_id, 16) ^ (number & _LOWEST_BITS):032x}"


def generations_named(id_: str) -> Iterator[tuple[str, int]]:
    """Yield each order id that may be meant by the id of a generation, with the generation's number. The likeliest comes first.

    The id is meant if there is such an order and it has had that number of replaces. An order with fewer is another one.
    """
    return ((generation_id(id_, number), number) for number in range(GENERATIONS_MAX + 1))


def found(generations: Generations, number: int) -> Generation | None:
    return next((each for each in generations if each.number == number), None)


def standing(generations: Generations, number: int, current: int, *, closed: bool) -> Standing | None:
    """Return what became of a generation of an order; None if it has had no such generation."""
    if number == current:
        return Standing.CURRENT
    known = found(generations, number)
    if known is None:
        return None
    if known.refused:
        return Standing.REFUSED
    if number < current:
        return Standing.REPLACED
    return Standing.UNANSWERED if closed else Standing.PENDING


def asked(generations: Generations, current: Generation, wanted: Generation) -> Generations:
    """Return the generations with one more that was asked for. `current` is recorded with the first one. None is added beyond the bound."""
    if wanted.number > GENERATIONS_MAX:
        return generations
    return (*(generations or (current,)), wanted)


def accepted(generations: Generations, ended: Generation, begun: Generation) -> Generations:
    """Return the generations after one took the place of another; both as they are from now on."""
    return tuple(ended if each.number == ended.number else begun if each.number == begun.number else each for each in generations)


def refused(generations: Generations, number: int, at: int) -> Generations:
    """Return the generations after the venue kept the old terms."""
    return tuple(msgspec.structs.replace(each, refused=True, ended_at=at) if each.number == number else each for each in generations)
