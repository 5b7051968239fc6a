"""Parts of normalizer alone: where the reading begins, and what is published again."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from adapters import subjects
from adapters.codec import encode
from adapters.market_lookup import Stored
from apps.normalizer.records_out import REPEAT_AFTER_S, STEPS_MAX, RecordsOut
from apps.normalizer.start_point import BATCH_FRAMES_MAX, FramePoint, StartPoint, start_point
from apps.normalizer.start_point import published as published_before
from domain.market.normalization import BookRules, Normalised, VenueFold
from domain.market.records import Fact, FactKind, Records
from domain.market.venues.feed import RawFrames
from domain.ports import Unavailable
from tests.domain.market.plain_venue import START, VENUE, PlainDecoder, raw

# Where the reading begins


class Stream:
    """Messages by sequence, among those of another venue; the oldest ones may be gone."""

    def __init__(self, messages: Sequence[RawFrames], every: int = 3, first: int = 1) -> None:
        self.stored = [
            Stored(every * (place + 1), encode(message)) for place, message in enumerate(messages) if every * (place + 1) >= first
        ]
        self.asked = 0

    async def last(self, subject: str) -> Stored | None:
        return self.stored[-1] if self.stored else None

    async def at(self, subject: str, seq: int) -> Stored | None:
        self.asked += 1
        return next((each for each in self.stored if each.seq >= seq), None)


def connection(epoch: int, messages: int, size: int = 100) -> list[RawFrames]:
    return [raw(1 + place * size, *(["open"] if not place else ["beat"]), *["beat"] * (size - 1), epoch=epoch) for place in range(messages)]


def done(epoch: int, n: int) -> dict[str, FramePoint]:
    return {"quotes": FramePoint(epoch, n), "trades": FramePoint(epoch, max(n - 700, 1))}


DAY = [*connection(1, 40), *connection(2, 80), *connection(5, 30)]


@pytest.mark.parametrize(
    ("published", "frames_max", "after", "since", "skip_to"),
    [
        pytest.param({}, 10_000, 0, 0, 0, id="nothing was published: all of the stream"),
        pytest.param(done(5, 2_000), 10_000, 0, 5, 0, id="in the last connection: at its open frame"),
        pytest.param(done(2, 100), 10_000, 0, 2, 0, id="in one before: at its open frame"),
        pytest.param(done(9, 100), 10_000, 0, 5, 0, id="the stream forgot a connection: the last that it has"),
        pytest.param(done(3, 100), 10_000, 0, 5, 0, id="that connection is gone: the one behind it"),
        pytest.param(done(2, 7_000), 6_000, 126, 2, 7_000 - BATCH_FRAMES_MAX, id="too long: continued near what was published"),
    ],
)
async def test_the_reading_begins_where_its_records_ended(
    published: dict[str, FramePoint], frames_max: int, after: int, since: int, skip_to: int
) -> None:
    # checkpoints are (venue, epoch, n), never the sequence of a stream
    stream = Stream(DAY)
    found = await start_point(stream, VENUE, published, frames_max)
    assert (found.since_epoch, found.skip_to) == (since, skip_to)
    assert stream.asked <= 40, "by bisection"
    if skip_to:
        assert found.opening is not None
        (begin,) = [each for each in stream.stored if each.seq == found.after + 1]
        assert msgspec.json.decode(begin.payload, type=RawFrames).n == skip_to + 1
    elif since:
        assert found.after < next(each.seq for each in stream.stored if msgspec.json.decode(each.payload, type=RawFrames).epoch == since)


async def test_a_connection_whose_begin_was_dropped_is_continued_without_its_opening() -> None:
    found = await start_point(Stream(DAY, first=3 * 60), VENUE, done(2, 3_000), 10_000)
    assert found == StartPoint(179, 2, found.published, None, 1_900)


class Newest:
    """The newest message of each subject of a stream."""

    def __init__(self, **points: tuple[int, int]) -> None:
        self.points = {subjects.market(kind, VENUE): point for kind, point in points.items()}

    async def last(self, subject: str) -> Stored | None:
        point = self.points.get(subject)
        return point and Stored(1, encode(Records[Fact](venue=VENUE, epoch=point[0], n=point[1], records=[])))

    async def at(self, subject: str, seq: int) -> Stored | None:
        return None


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        pytest.param((5, 0), (5, 900), id="a fact of our clock: as far as the other records"),
        pytest.param((5, 950), (5, 950), id="a fact of a frame"),
        pytest.param((5, 100), (5, 100), id="facts that the stream forgot are published again"),
    ],
)
async def test_a_fact_of_our_clock_is_not_taken_for_the_first_one_of_its_connection(facts: tuple[int, int], found: tuple[int, int]) -> None:
    done = await published_before(Newest(quotes=(5, 900), trades=(5, 200)), Newest(facts=facts), VENUE)
    assert done == {"facts": FramePoint(*found), "quotes": FramePoint(5, 900), "trades": FramePoint(5, 200)}


# What is published


class Places:
    """Streams that fail now and then, after or before they stored a message."""

    def __init__(self, seed: int = 0) -> None:
        self.chance = random.Random(seed)
        self.stored: dict[str, tuple[str, bytes]] = {}
        self.order: list[str] = []

    async def write(self, subject: str, payload: bytes, message_id: str) -> None:
        await asyncio.sleep(0)
        fails = self.chance.random() < 0.3
        if fails and self.chance.random() < 0.5:
            raise Unavailable("not stored")
        assert self.stored.setdefault(message_id, (subject, payload)) == (subject, payload), "the same id has the same bytes"
        if message_id not in self.order:
            self.order.append(message_id)
        if fails:
            raise Unavailable("stored, and the ack is lost", unknown=True)

    def numbers(self, kind: str) -> list[tuple[int, int]]:
        found = [msgspec.json.decode(payload) for subject, payload in map(self.stored.__getitem__, self.order) if f".{kind}." in subject]
        return [(each["epoch"], each["n"]) for each in found]

    def records(self, kind: str) -> list[Any]:
        found = [msgspec.json.decode(payload) for subject, payload in map(self.stored.__getitem__, self.order) if f".{kind}." in subject]
        return [record for each in found for record in each["records"]]


async def published(places: Places, outs: Sequence[Normalised], before: dict[str, FramePoint] | None = None) -> RecordsOut:
    out = RecordsOut(VENUE, places.write, before or {}, 0.0)
    running = asyncio.create_task(out.run())
    async with asyncio.timeout(60):
        for each in outs:
            await out.room()
            out.add(each)
            await asyncio.sleep(0)
        wanted = {kind: sum(len(getattr(each, kind)) for each in outs if not out.is_done(kind, each)) for kind in out.published}
        while dict(out.published) != wanted:
            await asyncio.sleep(0.001)
    running.cancel()
    return out


def trades_of(n: int) -> Normalised:
    fold = VenueFold(VENUE, PlainDecoder, BookRules())
    found = fold.take(raw(1, "open", f"trade btc t{n} 100 1 buy {START}", f"trade btc u{n} 100 1 buy {START}"))
    found.n, found.facts = n, []
    return found


async def test_every_record_is_stored_once_and_in_order_however_the_streams_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    # NATS away: catches up without loss or doubles
    monkeypatch.setattr("apps.normalizer.records_out.REPEAT_AFTER_S", REPEAT_AFTER_S / 250)
    for seed in range(5):
        places = Places(seed)
        out = await published(places, [trades_of(n) for n in range(1, 60)])
        assert [trade["trade_id"] for trade in places.records("trades")] == [f"{of}{n}" for n in range(1, 60) for of in "tu"]
        assert places.numbers("trades") == sorted(set(places.numbers("trades")))
        assert out.repeated > 0


async def test_what_was_published_before_is_not_published_again() -> None:
    places = Places()
    places.chance = random.Random(10)
    await published(places, [trades_of(n) for n in range(1, 10)], {"trades": FramePoint(1, 6)})
    assert {trade["trade_id"][1:] for trade in places.records("trades")} == {"7", "8", "9"}


async def test_the_reading_waits_while_the_streams_are_away() -> None:  # burst of ten times; NATS away
    async def never(subject: str, payload: bytes, message_id: str) -> None:
        raise Unavailable("away")

    out = RecordsOut(VENUE, never, {}, 0.0)
    for epoch in range(STEPS_MAX):
        out.add(Normalised(epoch=epoch, n=0, facts=[Fact(fact=FactKind.FRESH, venue=VENUE, at=1)]))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(out.room(), 0.05)
    assert out.waiting == STEPS_MAX
