"""Time the venues' decoders on made-up messages: `python -m tests.bench.decoders`. Prints microseconds of CPU a message."""

import time
from collections.abc import Sequence
from typing import Final

from domain.market.venues.feed import Frame, FrameKind
from domain.market.venues.kinds import decoder
from domain.values import use_exact_arithmetic
from tests.domain.market.venues.spoken import DEPTH, SPEAKERS, START_NS, STEP_NS, Market, Speaker, opening_of

MESSAGES: Final = 10_000
ROUNDS: Final = 3
LEVELS: Final = {"2.5 levels an update": 4, "15 levels an update": 29}


def timed(speaker: Speaker, frames: Sequence[Frame], first: Frame) -> str:
    """Return the least time of CPU that a message took, over some passes, and what the last of the records was."""
    spent_least, last = 0, None
    for _ in range(ROUNDS):
        fold = decoder("BENCH", opening_of(speaker), 1)
        fold.take(first, 1)
        begun = time.process_time_ns()
        for n, frame in enumerate(frames, 2):
            last = fold.take(frame, n)
        spent = time.process_time_ns() - begun
        spent_least = min(spent_least, spent) if spent_least else spent
    assert last
    view = fold.book(speaker.symbol, DEPTH)
    assert view is not None
    assert view.valid
    return f"{spent_least / len(frames) / 1000:6.1f} us"


def main() -> None:
    use_exact_arithmetic()
    for kind, speaks in SPEAKERS.items():
        for words, changes_max in LEVELS.items():
            speaker, market = speaks(), Market(1)
            first = speaker.snapshot(market, START_NS)
            times = [START_NS + STEP_NS * number for number in range(MESSAGES)]
            updates = [Frame(at, FrameKind.FRAME, speaker.update(market, market.step(changes_max), at)) for at in times]
            print(f"{kind:14} book update, {words:22}", timed(speaker, updates, first))
        speaker = speaks()
        first = speaker.snapshot(Market(1), START_NS)
        texts = [speaker.trade(number, at).replace("0.0015", f"0.{number:05}") for number, at in enumerate(times, 1)]
        trades = [Frame(at, FrameKind.FRAME, text) for at, text in zip(times, texts, strict=True)]
        print(f"{kind:14} trade {'':27}", timed(speaker, trades, first))


if __name__ == "__main__":
    main()
