"""Silence of a symbol, measured against its usual rhythm. A quiet market and a mute feed differ: only the second one missed something."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

SECOND: Final = 1_000_000_000
MUTE_MAX: Final = 2
"""Silences in a row that hid a change before the connection is replaced."""


class Patience(NamedTuple):
    """How long a symbol may be silent, in nanoseconds: `factor` times its largest gap of the last one or two windows, within bounds."""

    factor: int = 3
    least: int = 2 * SECOND
    most: int = 600 * SECOND
    window: int = 300 * SECOND


class StepKind(StrEnum):
    STALE = "stale"
    """Silent for longer than usual: its quotes end, and its book is requested again."""
    FRESH = "fresh"
    RECONNECT = "reconnect"
    """New snapshots show changes that the feed did not bring."""


class LivenessStep(NamedTuple):
    """What a silence, or its end, leads to. `silent` is its length in nanoseconds."""

    kind: StepKind
    symbol: str
    silent: int


class _Pulse(msgspec.Struct, gc=False):
    heard: int
    window: int
    largest: int = 0
    largest_before: int = 0
    stale: bool = False
    halted: bool = False
    mute: int = 0


class Liveness:
    """The silence of each symbol of one venue. All times are of our steady clock."""

    def __init__(self, patience: Patience = Patience()) -> None:  # noqa: B008 - immutable
        self._patience = patience
        self._pulses: dict[str, _Pulse] = {}
        self._steps: list[LivenessStep] = []

    def heard(self, symbol: str, now: int) -> None:
        """Note an update: the feed of the symbol works. The gap before it is one of its usual gaps."""
        pulse = self._pulses.get(symbol)
        if pulse is None:
            self._pulses[symbol] = _Pulse(now, now)
            return
        self._learn(pulse, now)
        pulse.mute = 0
        self._end(symbol, pulse, now)

    def snapshot(self, symbol: str, now: int, *, moved: bool) -> None:
        """Note a snapshot. `moved`: its touch is not the one that was known before it.

        After a silence it decides: an unchanged book was quiet, and may be so as long again. A changed one means that updates are missing.
        """
        pulse = self._pulses.get(symbol)
        if pulse is None or not pulse.stale:
            pulse = self._pulses.setdefault(symbol, _Pulse(now, now))
            pulse.heard, pulse.halted = now, False
            return
        if moved:
            pulse.mute += 1
        else:
            pulse.mute = 0
            self._learn(pulse, now)
        self._end(symbol, pulse, now)
        if pulse.mute >= MUTE_MAX:
            pulse.mute = 0
            self._steps.append(LivenessStep(StepKind.RECONNECT, symbol, 0))

    def halted(self, symbol: str) -> None:
        """Note a halt of a symbol, or of the whole venue (empty): until the next update of a symbol its silence means nothing."""
        for each in (symbol,) if symbol else self._pulses:
            if each in self._pulses:
                self._pulses[each].halted = True

    def forget(self, symbol: str) -> None:
        """Stop watching a symbol: its book is invalid, and its next snapshot starts it again. Its rhythm is kept."""
        if symbol in self._pulses:
            self._pulses[symbol].halted, self._pulses[symbol].stale = True, False

    def is_stale(self, symbol: str) -> bool:
        pulse = self._pulses.get(symbol)
        return pulse is not None and pulse.stale

    def limit(self, symbol: str) -> int:
        """Return how long this symbol may be silent, in nanoseconds."""
        pulse, patience = self._pulses[symbol], self._patience
        return min(max(patience.factor * max(pulse.largest, pulse.largest_before), patience.least), patience.most)

    def look(self, now: int) -> Sequence[LivenessStep]:
        """Return what happened since the last call, in order."""
        for symbol, pulse in self._pulses.items():
            if not pulse.stale and not pulse.halted and now - pulse.heard > self.limit(symbol):
                pulse.stale = True
                self._steps.append(LivenessStep(StepKind.STALE, symbol, now - pulse.heard))
        steps, self._steps = self._steps, []
        return steps

    def _learn(self, pulse: _Pulse, now: int) -> None:
        if now - pulse.window > self._patience.window:
            pulse.largest_before, pulse.largest, pulse.window = pulse.largest, 0, now
        if not pulse.halted:
            pulse.largest = max(pulse.largest, now - pulse.heard)

    def _end(self, symbol: str, pulse: _Pulse, now: int) -> None:
        if pulse.stale:
            self._steps.append(LivenessStep(StepKind.FRESH, symbol, now - pulse.heard))
        pulse.stale, pulse.halted, pulse.heard = False, False, now
