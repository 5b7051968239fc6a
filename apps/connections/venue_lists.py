"""Venue sessions by lists: one message for all requests of a commit to one venue and shard, or for all of its reports.

`venue.<venue>.requests.<shard>` carries requests to it and `venue.<venue>.reports.<shard>` its reports, each a JSON list in order.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

import msgspec

from adapters.codec import decoder, encode
from domain.order.commands import VenueReport, VenueRequest

T = TypeVar("T")

LIST_COUNT_MAX: Final = 500
LIST_BYTES_MAX: Final = 512 * 1024
"""Half the largest message that a nats-server accepts by default."""

Verb = Literal["new", "cancel", "replace"]


class SentRequest(msgspec.Struct, frozen=True, gc=False):
    """One of the requests of a list."""

    verb: Verb
    request: VenueRequest


class Unreadable(NamedTuple):
    """An unreadable element of a list, or the whole list."""

    data: bytes
    reason: str


def lists(elements: Iterable[SentRequest | VenueReport]) -> Iterator[bytes]:
    """Yield the elements as JSON lists within both bounds. An element above the bound is a list by itself."""
    begun: list[bytes] = []
    size = 0
    for element in map(encode, elements):
        if begun and (len(begun) == LIST_COUNT_MAX or size + len(element) > LIST_BYTES_MAX):
            yield b"[%b]" % b",".join(begun)
            begun, size = [], 0
        begun.append(element)
        size += len(element) + 1
    if begun:
        yield b"[%b]" % b",".join(begun)


class Reader(Generic[T]):
    """A reader of such lists. One unreadable element does not affect the others."""

    def __init__(self, kind: Any) -> None:
        self._all: msgspec.json.Decoder[Any] = decoder(list[kind])
        self._one: msgspec.json.Decoder[Any] = decoder(kind)

    def read(self, data: bytes) -> Iterable[T | Unreadable]:
        try:
            found: list[T] = self._all.decode(data)
        except (ValueError, RecursionError):  # the latter for extreme nesting
            return self._one_by_one(data)
        return found

    def _one_by_one(self, data: bytes) -> Iterator[T | Unreadable]:
        try:
            elements = _ELEMENTS.decode(data)
        except (ValueError, RecursionError) as error:
            yield Unreadable(data, str(error))
            return
        for element in map(bytes, elements):
            try:
                yield self._one.decode(element)
            except (ValueError, RecursionError) as error:
                yield Unreadable(element, str(error))


_ELEMENTS: Final = decoder(list[msgspec.Raw])
