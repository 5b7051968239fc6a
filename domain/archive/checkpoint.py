"""Checkpoints: up to where a place has the records of a source."""

from collections.abc import Mapping
from typing import Final, Generic, TypeVar

import msgspec

T = TypeVar("T")

EPOCHS_KEPT: Final = 16
"""Epochs of one part in a checkpoint: two overlap while a connection is replaced. A message of an epoch before all of them is held."""


class Message(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """One message of a source. (`part`, `epoch`, `n`) is its identity, and a repeated identity has the same body.

    `part` is what is numbered by itself: `trades.BINANCE`, or `orders.0` for the journal of shard 0, whose epoch is 0. An `n` of 0 has no
    identity: it is always written. `seq` (the stream's own number) and `chain` (of a journal) are only a hint where to begin to read.
    """

    part: str
    epoch: int
    n: int
    body: T
    seq: int = 0
    chain: str = ""


class Hint(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last message that was read, and its sequence in the stream. After a power cut another message may have that sequence."""

    seq: int
    part: str
    epoch: int
    n: int
    chain: str = ""


class Checkpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything up to these numbers is in the place: part -> epoch -> n. The hint says where to begin to read; None: at the start."""

    points: Mapping[str, Mapping[int, int]] = {}
    hint: Hint | None = None

    def holds(self, part: str, epoch: int, n: int) -> bool:
        """Return whether the place has this message."""
        epochs = self.points.get(part)
        if not n or not epochs:
            return False
        if (reached := epochs.get(epoch)) is not None:
            return n <= reached
        return len(epochs) >= EPOCHS_KEPT and epoch < min(epochs)


class Reached:
    """A checkpoint that advances with each message read."""

    def __init__(self, begin: Checkpoint) -> None:
        self._points = {part: dict(epochs) for part, epochs in begin.points.items()}
        self._hint = begin.hint

    def advance(self, message: Message[T]) -> bool:
        """Take a message; return False if it was taken before."""
        part, epoch, n = message.part, message.epoch, message.n
        if message.seq:
            self._hint = Hint(message.seq, part, epoch, n, message.chain)
        if not n:
            return True
        epochs = self._points.setdefault(part, {})
        reached = epochs.get(epoch)
        if reached is None:
            if len(epochs) >= EPOCHS_KEPT:
                if epoch < (oldest := min(epochs)):
                    return False
                del epochs[oldest]
        elif n <= reached:
            return False
        epochs[epoch] = n
        return True

    def checkpoint(self) -> Checkpoint:
        """Return what was reached so far; later messages do not change it."""
        return Checkpoint({part: dict(epochs) for part, epochs in self._points.items()}, self._hint)
