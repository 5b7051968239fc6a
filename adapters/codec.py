"""Exact JSON: structs to bytes and back, decimals as JSON numbers; and the envelope of a commit."""

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from domain.events import OrderEvent
from domain.ports import Corrupt

E = TypeVar("E")

VERSION: Final = 1
"""Of the commit's envelope and of the events in it."""

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def encode(value: object) -> bytes:
    """JSON bytes; a Decimal is written digit for digit (possibly with an exponent: for machines; apps/http.py writes for people)."""
    return _ENCODER.encode(value)


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """A decoder for one type; msgspec.DecodeError (a ValueError) when the bytes do not fit it."""
    return msgspec.json.Decoder(kind)


class Commit(msgspec.Struct, Generic[E], frozen=True):
    """Events that became durable in one step. `n` counts the commits of a shard without holes."""

    v: int
    shard: int
    n: int
    events: tuple[E, ...]


class CommitCodec(Generic[E]):
    """Commits of one kind of event. An event or version it does not know is Corrupt: nobody skips what it cannot read."""

    def __init__(self, kind: Any) -> None:
        self._decoder = msgspec.json.Decoder(Commit[kind])

    def encode(self, shard: int, n: int, events: Sequence[E]) -> bytes:
        return _ENCODER.encode(Commit(VERSION, shard, n, tuple(events)))

    def decode(self, payload: bytes) -> Commit[E]:
        try:
            commit = self._decoder.decode(payload)
        except ValueError as error:
            raise Corrupt(f"a commit cannot be read: {error}") from error
        if commit.v != VERSION:
            raise Corrupt(f"a commit has version {commit.v}, this program reads {VERSION}")
        return commit


ORDER_COMMITS: Final[CommitCodec[OrderEvent]] = CommitCodec(OrderEvent)
