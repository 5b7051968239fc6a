"""Damage to a stream of messages: no invalid book is ever shown as valid, and each book comes back.

`python -m tests.torture market` runs more seeds.

What a venue's format can prove differs, and so does the damage that is tried. Kraken's checksum reveals every changed digit of a level.
Binance and Coinbase number their messages: digits of those numbers are changed, but a changed price would pass as another price. They are
changed while the book is valid: what a difference claims to span is believed when it joins a snapshot.
Alpaca proves nothing: there, frames are lost where gateway's own numbering shows it.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from domain.market.quotes import Quote, unsound
from domain.market.records import Book, Fact, FactKind
from domain.market.venues.feed import Frame, FrameKind, Wish, WishKind
from tests.domain.market.venues.folds import ObviousBook, Told, only
from tests.domain.market.venues.spoken import DEPTH, SPEAKERS, START_NS, STEP_NS, Market, Speaker, View

SEEDS: Final = 12
FRAMES: Final = 60
QUIET: Final = 60
"""Frames at the end that nothing damages, so that a resync can succeed."""
REPLY_FRAMES: Final = 3
"""Frames until a resync is answered."""
LAG_MAX: Final = 12
"""Frames by which a shown book may be behind: the venue says nothing about the book, or what it said was damaged."""
NUMBERED: Final = {"binance_spot": r'"[Uu]":(\d+)', "coinbase": r'"sequence_num":(\d+)'}
DAMAGE: Final = {
    "binance_spot": ("cut", "repeat", "swap", "flip", "lose", "drop"),
    "kraken": ("cut", "repeat", "swap", "flip", "lose", "drop"),
    "coinbase": ("cut", "repeat", "swap", "flip", "lose", "drop"),
    "alpaca_crypto": ("cut", "repeat", "drop"),
}
"""`lose`: gateway did not receive the frame. `drop`: gateway had it and its number is missing."""


@dataclass(frozen=True)
class Said:
    """A frame, and the book as it is for the venue once it has sent it."""

    frame: Frame
    truth: View


def stream(speaker: Speaker, market: Market, chance: random.Random) -> Iterator[Said]:
    yield Said(speaker.snapshot(market, START_NS), market.view(DEPTH))
    for number in range(1, FRAMES + QUIET):
        at = START_NS + STEP_NS * number
        if chance.random() < 0.2:
            text = speaker.trade(number, at) if chance.random() < 0.5 else speaker.noise(at)
        else:
            text = speaker.update(market, market.step(), at)
        yield Said(Frame(at, FrameKind.FRAME, text), market.view(DEPTH))


def flipped(kind: str, text: str, chance: random.Random) -> str:
    """Change one digit: of a number of the message, or anywhere in a Kraken message."""
    places = [number for match in re.finditer(NUMBERED.get(kind, r"(\d+)"), text) for number in range(*match.span(1))]
    if not places:
        return text
    place = chance.choice(places)
    return text[:place] + chance.choice([digit for digit in "0123456789" if digit != text[place]]) + text[place + 1 :]


class Damaged:
    """A stream with some damaged frames, given to a decoder whose wishes are fulfilled a few frames later."""

    def __init__(self, kind: str, seed: int, *, damages: int = 4) -> None:
        self.kind = kind
        self.damages = damages
        self.chance = random.Random(seed)
        self.speaker = SPEAKERS[kind]()
        self.market = Market(seed)
        self.told = Told(kind, {self.speaker.name: self.speaker.symbol}, DEPTH, opened_at=START_NS)
        self.truths: list[View] = []
        self.read = ObviousBook()
        self.replies: list[tuple[int, Frame | None]] = []
        """Number of the frame after which each is due. A reply over HTTP is as old as the request."""

    def run(self) -> None:
        said: list[Frame] = []
        damaged = set(self.chance.sample(range(2, FRAMES), self.damages))
        for number, each in enumerate(stream(self.speaker, self.market, self.chance)):
            self.truths.append(each.truth)
            if number in damaged:
                said = self._damage(each.frame, said)
                continue
            for frame in [each.frame, *said]:
                self._give(frame)
            said = []
            self._fulfil(each.frame.received)
        assert self.told.top(self.speaker.symbol, DEPTH) == self.truths[-1], "the book did not come back"

    def _damage(self, frame: Frame, held: list[Frame]) -> list[Frame]:
        """Return the frames that are given later."""
        kind = self.chance.choice(DAMAGE[self.kind])
        if kind == "flip" and self.told.top(self.speaker.symbol) is None:
            kind = "cut"
        if kind == "swap":
            return [*held, frame]
        for late in held:
            self._give(late)
        if kind == "cut":
            self._give(Frame(frame.received, frame.kind, frame.text[: self.chance.randrange(len(frame.text))]))
        elif kind == "flip":
            self._give(Frame(frame.received, frame.kind, flipped(self.kind, frame.text, self.chance)))
        elif kind == "repeat":
            self._give(frame)
            self._give(frame)
        elif kind == "drop":
            self.told.n += 1
            self._heed(self.told.decoder.invalidate(self.speaker.symbol, "a hole in the frames", frame.received, self.told.n))
        return []

    def _give(self, frame: Frame) -> None:
        self._heed(self.told.give(frame))

    def _heed(self, records: object) -> None:
        assert isinstance(records, list)
        for record in records:
            if isinstance(record, Wish):
                assert record.kind is WishKind.RESYNC
                reply = self.speaker.snapshot(self.market, START_NS) if self.kind == "binance_spot" else None
                self.replies.append((len(self.truths) + REPLY_FRAMES, reply))
            elif isinstance(record, Book):
                self.read.follow(record)
            elif isinstance(record, Quote):
                assert unsound(record) is None
        shown = self.told.top(self.speaker.symbol, DEPTH)
        if shown is not None:
            assert shown in self.truths, "a book was shown that the venue never had"
            assert shown in self.truths[-LAG_MAX:], "an old book was shown"
            assert self.read.view(DEPTH) == shown, "a reader of the records has another book"

    def _fulfil(self, at: int) -> None:
        due = [reply for number, reply in self.replies if number <= len(self.truths)]
        self.replies = [(number, reply) for number, reply in self.replies if number > len(self.truths)]
        for reply in due:
            sent = reply or self.speaker.snapshot(self.market, at)
            self._give(Frame(at, sent.kind, sent.text))


@pytest.mark.parametrize("kind", SPEAKERS)
def test_no_invalid_book_is_ever_shown_as_valid(kind: str) -> None:
    """Hole in sequence, checksum mismatch, prev id wrong; malformed and duplicate frames; out of order."""
    broken = 0
    for seed in range(SEEDS):
        scene = Damaged(kind, seed)
        scene.run()
        broken += sum(fact.fact is FactKind.REPAIRED for fact in only(Fact, scene.told.all))
    assert broken > SEEDS // 3  # the damage does reach the books


@pytest.mark.parametrize("kind", SPEAKERS)
def test_an_undamaged_stream_breaks_nothing(kind: str) -> None:
    for seed in range(SEEDS):
        assert undamaged(kind, seed)


def undamaged(kind: str, seed: int) -> bool:
    """Play a stream as the venue sent it. Return whether no book broke."""
    scene = Damaged(kind, seed, damages=0)
    scene.run()
    return {fact.fact for fact in only(Fact, scene.told.all)} <= {FactKind.CONNECTED, FactKind.SUBSCRIBED}


@pytest.mark.parametrize("kind", SPEAKERS)
def test_the_same_frames_give_the_same_records(kind: str) -> None:
    first, second = Damaged(kind, 5), Damaged(kind, 5)
    first.run()
    second.run()
    assert first.told.all == second.told.all


def fuzz(rounds: int, seed: int) -> str:
    """Damage the messages of every venue by this many seeds, from `seed` times `rounds` on. AssertionError if an invalid book was shown."""
    for number in range(seed * rounds, (seed + 1) * rounds):
        for kind in SPEAKERS:
            try:
                Damaged(kind, number).run()
            except AssertionError as failure:
                raise AssertionError(f"{kind}, seed {number}: {failure}") from failure
    return f"{rounds} seeds of {len(SPEAKERS)} venues: no invalid book was shown"
