"""Exact JSON: structs to bytes and back, decimals as JSON numbers; and the envelope of a commit."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar

import msgspec

from domain.order.events import OrderEvent
from domain.order.upcasters import OLDEST, UPCASTERS, VERSION, Upcasters, upcast
from domain.ports import Corrupt, JournalEntry

E = TypeVar("E")

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def encode(value: object) -> bytes:
    """Encode as JSON; a Decimal is written digit by digit, possibly with an exponent (apps/http/app.py writes for people)."""
    return _ENCODER.encode(value)


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Return a decoder for one type. It raises msgspec.DecodeError (a ValueError) if the bytes do not fit."""
    return msgspec.json.Decoder(kind)


class Commit(msgspec.Struct, Generic[E], frozen=True):
    """Events that became durable in one step. `n` counts the commits of a shard without gaps."""

    v: int
    shard: int
    n: int
    events: tuple[E, ...]


class Decoded(JournalEntry, Generic[E], frozen=True, gc=False):
    """A commit with its decoded events, so that several readers in a process do not decode it each."""

    commit: Commit[E]


class CommitCodec(Generic[E]):
    """Encodes and decodes commits of one kind of event. An unknown event or version raises Corrupt: no reader skips what it cannot read."""

    def __init__(self, kind: Any, *, oldest: int = OLDEST, upcasters: Upcasters = UPCASTERS) -> None:
        self._decoder = msgspec.json.Decoder(Commit[kind])
        self._oldest = oldest
        self._upcasters = upcasters

    def encode(self, shard: int, n: int, events: Sequence[E]) -> bytes:
        return self.written(self.commit(shard, n, events))

    @staticmethod
    def commit(shard: int, n: int, events: Iterable[E]) -> Commit[E]:
        return Commit(VERSION, shard, n, tuple(events))

    @staticmethod
    def written(commit: Commit[E]) -> bytes:
        """Return the bytes of a commit as they are appended."""
        return _ENCODER.encode(commit)

    def read(self, recorded: JournalEntry) -> Commit[E]:
        """Return the commit of a journal entry. Raises Corrupt, which names its sequence."""
        if isinstance(recorded, Decoded):
            return recorded.commit
        try:
            commit = self.decode(recorded.payload)
        except Corrupt as trouble:
            raise Corrupt(f"sequence {recorded.head.seq}: {trouble}") from trouble
        if commit.n != recorded.head.n:
            raise Corrupt(f"sequence {recorded.head.seq}: commit {recorded.head.n} has the number {commit.n} in its payload")
        return commit

    def decoded(self, recorded: JournalEntry) -> Decoded[E]:
        """Return a commit with its events. Raises Corrupt, which names its sequence."""
        return Decoded(recorded.head, recorded.payload, self.read(recorded))

    def decode(self, payload: bytes) -> Commit[E]:
        try:
            commit = self._decoder.decode(payload)
        except (ValueError, RecursionError) as error:
            return self._of_another_version(payload, error)
        return commit if commit.v == VERSION else self._of_another_version(payload, None)

    def _of_another_version(self, payload: bytes, error: Exception | None) -> Commit[E]:
        """Decode what older programs wrote; raise a clear Corrupt for newer ones. `error` is why the current format does not fit."""
        try:
            old = _ENVELOPE.decode(payload)
        except (ValueError, RecursionError) as unreadable:
            raise Corrupt(f"a commit cannot be read: {unreadable}") from unreadable
        if old.v == VERSION:
            raise Corrupt(f"commit {old.n} cannot be read: {error}") from error
        if not self._oldest <= old.v < VERSION:
            age = "a newer program wrote it: start that one" if old.v > VERSION else "no upcasters lead from there"
            raise Corrupt(f"commit {old.n} has version {old.v}, this program reads {self._oldest} to {VERSION}; {age}")
        try:
            events = [upcast(event, old.v, self._upcasters) for event in old.events]
            return self._decoder.decode(_ENCODER.encode(Commit(VERSION, old.shard, old.n, tuple(events))))
        except (ValueError, KeyError) as misfit:
            raise Corrupt(f"commit {old.n} of version {old.v} cannot be converted to version {VERSION}: {misfit!r}") from misfit


_ENVELOPE: Final = msgspec.json.Decoder(Commit[dict[str, Any]], float_hook=Decimal)
"""Decodes events without their types; numbers stay exact."""

ORDER_COMMITS: Final[CommitCodec[OrderEvent]] = CommitCodec(OrderEvent)
