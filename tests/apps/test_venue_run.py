"""One venue in memory: which quotes leave for the core, which symbols count as silent, and what gateway is asked for."""

import asyncio
from typing import Any, cast

import msgspec
import pytest

from adapters import bus
from apps.normalizer.frame_quality import FrameQuality
from apps.normalizer.market_watch import MarketWatch
from apps.normalizer.recent_facts import RecentFacts
from apps.normalizer.records_out import RecordsOut
from apps.normalizer.venue_run import LATENCY_BUCKETS_S, VenueRules, VenueRun, VenueShared
from apps.runtime.chassis import cancelled
from apps.runtime.metrics import Observations
from domain.market.bars import Bars
from domain.market.conflation import DepthPace, TickPace
from domain.market.depth import Depth
from domain.market.liveness import Patience
from domain.market.normalization import BookRules, DecoderOf
from domain.market.quotes import Quote
from domain.market.records import FactKind, Flag
from domain.market.venues.feed import Decoder, Frame, FrameKind, Opening, RawFrames
from domain.market.venues.kinds import decoder
from tests.apps.normalizer_house import SOON_S, until
from tests.apps.test_normalizer_parts import Places
from tests.domain.market.plain_venue import START, VENUE, PlainDecoder, S, opening, raw
from tests.domain.market.test_normalization import BEGIN
from tests.domain.market.venues.spoken import KrakenSpeaker, Market


class Hands:
    """Clocks that a test moves."""

    def __init__(self) -> None:
        self.steady, self.wall = 0, START

    def now_ns(self) -> int:
        return self.wall

    def monotonic_ns(self) -> int:
        return self.steady

    def move(self, seconds: float) -> None:
        self.steady += int(seconds * S)
        self.wall += int(seconds * S)


class Failing(PlainDecoder):
    def take(self, frame: Any, n: int) -> Any:
        if frame.text == "poison":
            raise ZeroDivisionError("a bug")
        return super().take(frame, n)


def failing(venue: str, opening: Opening, epoch: int) -> Decoder:
    return Failing(venue, opening, epoch)


class Scene:
    def __init__(self, decoder_of: DecoderOf = failing, venue: str = VENUE, depth: DepthPace = DepthPace()) -> None:  # noqa: B008 - immutable
        self.clock, self.sent = Hands(), list[Quote]()
        self.books: list[Depth] = []
        self.told: list[str] = []
        """Quotes and books in the order in which they left."""
        self.facts = RecentFacts(100)
        self.quality = FrameQuality()
        self.shared = VenueShared(self.clock, self.facts, self.quality, Observations(LATENCY_BUCKETS_S), self.send)
        self.rules = VenueRules(decoder_of, BookRules(), Patience(), TickPace(), depth, 2 * S)
        self.run = VenueRun(venue, self.rules, self.shared, RecordsOut(VENUE, Places().write, {}, 0.0), Bars(10))
        self.n = 0

    def send(self, subject: str, payload: bytes) -> None:
        if subject.startswith("ticks."):
            self.sent.append(msgspec.json.decode(payload, type=Quote))
            self.told.append(f"{subject} {self.sent[-1].bid} {self.sent[-1].ask}")
        elif subject.startswith("depth."):
            book = msgspec.json.decode(payload, type=Depth)
            self.books.append(book)
            self.told.append(f"{subject} {book.seq}: {' '.join(f'{size}x{price}' for price, size in (*book.bids, *book.asks))}")

    def take(self, *texts: str, at: int | None = None, epoch: int = 1) -> None:
        self.run.take(raw(self.n + 1, *texts, at=self.clock.wall if at is None else at, epoch=epoch))
        self.n += len(texts)

    def silence(self) -> None:
        """Look for silence when everything was read."""
        self.run.caught_up()
        self.run.silence()

    def ticks(self) -> list[tuple[str, int, tuple[str, ...]]]:
        found, self.sent = [(quote.symbol[:3], int(quote.bid), quote.flags) for quote in self.sent], []
        return found


OK = (Flag.NO_VENUE_TIME.value,)
ENDED = (*OK, Flag.STALE.value)


def test_a_broken_book_ends_its_mark_at_once_and_leaves_the_others() -> None:  # marks of that venue end at once
    scene = Scene()
    scene.take(*BEGIN)
    assert scene.ticks() == [("BTC", 100, OK), ("ETH", 10, OK)]
    scene.clock.move(0.1)
    scene.take("update btc 8 101 1 102 1", "update btc 10 102 1 103 1", "update eth 4 11 1 12 1")
    assert scene.ticks() == [("BTC", 100, ENDED), ("ETH", 11, OK)]
    scene.clock.move(2)
    scene.run.due_ticks()
    assert scene.ticks() == [("ETH", 11, OK)], "only what is valid is repeated"
    assert [(wish.kind.value, wish.symbol) for wish in scene.run.due_wishes()] == [("resync", "BTCUSDT")]
    scene.take("snapshot btc 20 105 1 106 1")
    assert scene.ticks() == [("BTC", 105, OK)]
    scene.clock.move(9)
    assert scene.run.due_wishes() == []


def test_an_absurd_touch_ends_the_mark_until_the_venue_shows_a_valid_one() -> None:  # absurd print: never a mark
    scene = Scene()
    scene.take(*BEGIN)
    scene.ticks()
    scene.clock.move(0.1)
    scene.take("update btc 8 101 1 102 1", "update btc 9 900 1 901 1")
    assert scene.ticks() == [("BTC", 100, ENDED)]
    scene.clock.move(2)
    scene.run.due_ticks()
    scene.take("update eth 4 11 1 12 1")
    assert [tick for tick in scene.ticks() if tick[0] == "BTC"] == [], "it is not repeated"
    assert scene.run.due_wishes() == [], "its book is whole"
    scene.take("update btc 10 102 1 103 1")
    assert scene.ticks() == [("BTC", 102, OK)]


class Reader:
    """A venue that is being read."""

    def __init__(self, scene: Scene) -> None:
        self.current = scene.run


def test_markets_that_cross_across_venues_are_two_facts_and_both_keep_quoting() -> None:  # crossed across venues: a fact, kept, routed on
    alpha, beta = Scene(venue="ALPHA"), Scene(venue="BETA")
    watch = MarketWatch(cast(Any, None), cast(Any, None), cast(Any, None), 1.0)
    watch.readers = cast(Any, {"ALPHA": Reader(alpha), "BETA": Reader(beta)})
    alpha.take(*BEGIN)
    beta.take("open", "snapshot btc 7 102 1 103 1", "snapshot eth 3 10 1 11 1")
    for place in range(20):
        watch.compare(place * S // 10)
        beta.take(f"update btc {8 + place} 102 {2 + place} 103 1")
    assert [(f.fact.value, f.venue, f.symbol, f.detail) for f in beta.facts.newest(None, "BTCUSDT", 0, 9)] == [
        ("crossed_venues", "BETA", "BTCUSDT", "crossed: bid 102 of BETA, ask 101 of ALPHA")
    ]
    assert (alpha.facts.newest(None, "BTCUSDT", 0, 9), watch.across.crossed) == ([], 1)
    assert [tick for tick in (*alpha.ticks(), *beta.ticks()) if tick[0] == "BTC"][-2:] == [("BTC", 100, OK), ("BTC", 102, OK)]
    # when one of them is not valid any more
    beta.take("update btc 99 1 1 2 1")
    watch.compare(2 * S)
    watch.compare(3 * S)
    assert beta.facts.newest(None, "BTCUSDT", 0, 1)[0].fact is FactKind.UNCROSSED_VENUES


async def test_marks_end_in_time_while_gateway_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:  # open but mute
    scene, asked = Scene(), asyncio.Event()
    watch = MarketWatch(cast(Any, None), cast(Any, None), cast(Any, None), 1.0)
    watch.readers = cast(Any, {VENUE: Reader(scene)})
    scene.take(*BEGIN)
    scene.take("update btc 10 102 1 103 1")
    scene.ticks()

    async def hanging(*_: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(bus, "request", hanging)
    looking = asyncio.create_task(watch.look())
    await asyncio.wait_for(asked.wait(), SOON_S)
    scene.clock.move(3)
    await until(lambda: scene.sent)
    assert scene.ticks() == [("ETH", 10, ENDED)]
    await cancelled(looking)


def test_frames_of_the_past_send_no_quotes_and_end_marks() -> None:
    scene = Scene()
    scene.take(*BEGIN, at=START - 60 * S)
    assert (scene.ticks(), scene.run.due_wishes(), scene.run.lag_ns() > 59 * S) == ([], [], True)
    scene.take("update btc 8 101 1 102 1")
    assert scene.ticks() == [("BTC", 101, OK)]
    scene.take("update btc 9 102 1 103 1", at=START - 10 * S)
    assert scene.ticks() == [("BTC", 101, ENDED)]


def test_a_mute_symbol_ends_and_its_unchanged_snapshot_brings_it_back() -> None:  # open but mute; quiet market
    scene = Scene()
    scene.take(*BEGIN)
    scene.ticks()
    scene.clock.move(2.5)
    scene.take("beat")
    scene.silence()
    assert scene.ticks() == [("BTC", 100, ENDED), ("ETH", 10, ENDED)]
    assert [fact.fact for fact in scene.facts.newest(VENUE, None, 0, 2)] == [FactKind.STALE, FactKind.STALE]
    assert {wish.symbol for wish in scene.run.due_wishes()} == {"BTCUSDT", "ETHUSDT"}
    scene.take("snapshot btc 7 100 1 101 1")
    scene.silence()
    assert scene.ticks() == [("BTC", 100, OK)]
    assert scene.facts.newest(VENUE, None, 0, 1)[0].fact is FactKind.FRESH
    scene.clock.move(6)
    scene.silence()
    assert scene.ticks() == [], "it may be quiet for three times as long"


def test_what_was_not_read_is_no_silence_of_the_venue_and_ends_marks_only() -> None:  # NATS away
    scene = Scene()
    scene.take(*BEGIN)
    scene.ticks()
    scene.clock.move(3)
    scene.run.silence()
    assert scene.ticks() == [("BTC", 100, ENDED), ("ETH", 10, ENDED)]
    assert (scene.run.due_wishes(), sorted(scene.run.fold.owners)) == ([], ["BTCUSDT", "ETHUSDT"])
    scene.take("update btc 8 100 1 101 1")
    scene.silence()
    assert scene.ticks() == [("BTC", 100, OK), ("ETH", 10, OK), ("ETH", 10, ENDED)], "the other one was silent indeed"


def test_the_mark_of_a_quiet_symbol_is_back_when_frames_can_be_read_again() -> None:  # NATS away; quiet market
    scene = Scene()
    scene.take(*BEGIN)
    scene.clock.move(1.5)
    scene.take("update btc 8 100 1 101 1", "update eth 4 10 1 11 1")
    scene.ticks()
    scene.clock.move(3)
    scene.run.silence()
    scene.run.silence()
    assert scene.ticks() == [("BTC", 100, ENDED), ("ETH", 10, ENDED)]
    scene.take("update eth 5 11 1 12 1", at=scene.clock.wall - 3 * S)
    scene.silence()
    assert scene.ticks() == [], "frames of the past"
    scene.clock.move(0.5)
    scene.take("update eth 6 12 1 13 1")
    scene.silence()
    assert scene.ticks() == [("ETH", 12, OK), ("BTC", 100, OK)]


def seconds_of_a_venue(scene: Scene, seconds: int) -> list[tuple[str, str]]:
    """The requests to gateway while the venue sends a heartbeat each second."""
    asked = []
    for _ in range(seconds):
        scene.clock.move(1)
        scene.take('{"channel":"heartbeat"}')
        asked += [(wish.kind.value, wish.symbol) for wish in scene.run.due_wishes()]
    return asked


def opened(scene: Scene, epoch: int, text: str) -> None:
    scene.run.take(RawFrames(venue=VENUE, epoch=epoch, n=1, frames=[Frame(scene.clock.wall, FrameKind.OPEN, text)]))
    scene.n = 1


def test_a_symbol_that_never_gets_a_book_is_requested_and_does_not_cost_the_connection() -> None:  # listing gone
    scene = Scene(decoder)
    opened(scene, 1, opening("kraken", {"GONE/USD": "GONEUSD"}))
    asked = seconds_of_a_venue(scene, 300)
    assert (len(asked), set(asked)) == (8, {("resync", "GONEUSD")}), "after 10, 12, 16, 24, 40, 72, 136 and 264 seconds"


def test_a_new_connection_without_a_symbol_ends_the_requests_for_it() -> None:  # listing gone
    scene = Scene()
    scene.take(*BEGIN)
    scene.take("update btc 9 101 1 102 1")
    assert [wish.symbol for wish in scene.run.due_wishes()] == ["BTCUSDT"]
    opened(scene, 2, opening(symbols={"eth": "ETHUSDT"}))
    scene.take("snapshot eth 3 10 1 11 1", epoch=2)
    assert scene.run.wishes.open == 0


def test_a_halt_of_the_whole_venue_means_no_silence_of_its_symbols() -> None:  # quiet market, closed market, halt
    scene = Scene(decoder)
    market, speaker = Market(1), KrakenSpeaker()
    opened(scene, 1, opening("kraken", {speaker.name: speaker.symbol}))
    scene.take(speaker.snapshot(market, scene.clock.wall).text)
    scene.take('{"channel":"status","type":"update","data":[{"system":"maintenance"}]}')
    scene.clock.move(300)
    scene.silence()
    assert (scene.run.due_wishes(), list(scene.run.fold.owners)) == ([], [speaker.symbol])
    scene.take(speaker.update(market, market.step(), scene.clock.wall))
    scene.clock.move(30)
    scene.silence()
    assert list(scene.run.fold.owners) == [], "an update ends the halt"


def test_a_mark_that_ended_because_frames_came_late_is_back_with_the_next_fresh_update() -> None:
    scene = Scene(decoder)
    market, speaker = Market(1), KrakenSpeaker()
    touch = market.view(1)[0][0][0]
    opened(scene, 1, opening("kraken", {speaker.name: speaker.symbol}))
    scene.take(speaker.snapshot(market, START).text, at=START - 60 * S)
    assert scene.sent == [], "as after a restart"
    deep = market.best("bid", 5)[-1]
    market.bids[deep] += 1
    scene.take(speaker.update(market, [("bid", deep, market.bids[deep])], START))
    assert [quote.bid for quote in scene.sent] == [touch], "the touch is the same, and confirmed"


def test_a_book_that_a_new_connection_takes_over_is_not_requested_again() -> None:
    scene = Scene()
    scene.take(*BEGIN)
    opened(scene, 2, opening())
    scene.n += 1
    scene.take("beat", epoch=2)
    assert [wish.symbol for wish in scene.run.due_wishes()] == ["BTCUSDT", "ETHUSDT"], "of the new one, while the old one still quotes"
    scene.take("snapshot btc 10 100 1 101 1", "snapshot eth 3 10 1 11 1", epoch=2)
    assert scene.run.wishes.open == 0


def test_too_many_bad_frames_in_a_minute_are_reported() -> None:  # malformed frame: more than 1 % in a minute
    scene = Scene()
    scene.take("open", *["beat"] * 197, "rubbish", "rubbish")
    assert scene.quality.trouble(scene.clock.steady) is None
    scene.take("rubbish")
    assert scene.quality.trouble(scene.clock.steady) == "3 of 201 frames of the last minute cannot be read"
    scene.clock.move(61)
    assert scene.quality.trouble(scene.clock.steady) is None


def test_a_symbol_that_is_asked_for_no_more_ends_its_mark_and_its_wish_and_a_new_one_is_wished_for() -> None:
    scene = Scene(decoder)
    book = '[{{"T":"o","S":"{}/USD","t":"2026-01-01T00:00:00Z","b":[{{"p":{},"s":1}}],"a":[{{"p":{},"s":1}}],"r":true}}]'
    names = {name: f"{name}/USD" for name in ("BTC", "ETH", "SOL")}

    def take(kind: FrameKind, text: str) -> None:
        scene.n += 1
        scene.run.take(RawFrames(venue=VENUE, epoch=1, n=scene.n, frames=[Frame(scene.clock.wall, kind, text)]))

    take(FrameKind.OPEN, opening("alpaca_crypto", {names[each]: each for each in ("BTC", "ETH")}))
    take(FrameKind.FRAME, book.format("BTC", 100, 101))
    scene.ticks()
    take(FrameKind.FRAME, "[")
    assert {(wish.kind.value, wish.symbol) for wish in scene.run.due_wishes()} == {("resync", "BTC")}
    take(FrameKind.FRAME, book.format("BTC", 100, 101))
    scene.ticks()
    take(FrameKind.OPEN, opening("alpaca_crypto", {names[each]: each for each in ("ETH", "SOL")}))
    assert [(symbol, bid, Flag.STALE.value in flags) for symbol, bid, flags in scene.ticks()] == [("BTC", 100, True)]
    take(FrameKind.FRAME, book.format("BTC", 102, 103))
    assert (scene.ticks(), scene.run.fold.dropped["unsubscribed"]) == ([], 1)
    scene.clock.move(11)
    take(FrameKind.FRAME, "[]")
    assert {wish.symbol for wish in scene.run.due_wishes()} == {"ETH", "SOL"}


def test_a_symbol_that_is_not_listed_is_wished_for_no_more() -> None:
    scene = Scene(decoder)
    scene.run.take(
        RawFrames(
            venue=VENUE,
            epoch=1,
            n=1,
            frames=[
                Frame(scene.clock.wall, FrameKind.OPEN, opening("kraken", {"BTC/USD": "BTC", "ETH/USD": "ETH"})),
                Frame(scene.clock.wall, FrameKind.REST, 'BTC/USD 200 /x listing\n{"error":["EQuery:Unknown asset pair"]}'),
            ],
        )
    )
    scene.clock.move(11)
    scene.run.take(RawFrames(venue=VENUE, epoch=1, n=3, frames=[Frame(scene.clock.wall, FrameKind.FRAME, '{"channel":"heartbeat"}')]))
    assert [wish.symbol for wish in scene.run.due_wishes()] == ["ETH"]
