"""The numbers of connections: nanoseconds of their opening, and always greater than the last."""

from typing import Final

import msgspec

from adapters.codec import decoder
from domain.ports import Clock


class EpochOnly(msgspec.Struct, frozen=True):
    """The part of a message of raw frames that says which connection it is from."""

    epoch: int


_EPOCHS: Final = decoder(EpochOnly)


class Epochs:
    """The epochs of one venue. `last` is that of the stream's newest message."""

    def __init__(self, clock: Clock, last: int) -> None:
        self._clock = clock
        self._last = last

    def next(self) -> int:
        self._last = max(self._clock.now_ns(), self._last + 1)
        return self._last


def epoch_of(message: bytes | None) -> int:
    """Return the epoch of a message of raw frames; 0 without a message, or if it is none."""
    if message is None:
        return 0
    try:
        epoch: int = _EPOCHS.decode(message).epoch
    except ValueError:
        return 0
    return epoch
