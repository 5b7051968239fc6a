"""What normalizer costs: `python -m tests.bench.market_normalizer`. Frames of simulated venues to records, without a network.

Prints records a second of one core by what they are made of: the fold with the real decoder, the same with bars, quotes for the core and
the encoded messages of the streams; bars and conflation alone; and a tick in a reader of `ticks.>`.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from adapters.clock import SystemClock
from adapters.codec import encode
from apps.connections.ticks import Ticks
from apps.normalizer.frame_quality import FrameQuality
from apps.normalizer.recent_facts import RecentFacts
from apps.normalizer.records_out import RecordsOut
from apps.normalizer.venue_run import LATENCY_BUCKETS_S, VenueRules, VenueRun, VenueShared
from apps.runtime.metrics import Observations
from domain.market.bars import Bars
from domain.market.conflation import Conflation, DepthPace, TickPace
from domain.market.liveness import Patience
from domain.market.normalization import BookRules, VenueFold
from domain.market.quotes import Listed, Market, Quote
from domain.market.records import MarketTrade
from domain.market.venues.feed import FRAMES_MAX, Frame, FrameKind, RawFrames
from domain.market.venues.kinds import decoder
from domain.values import Side, use_exact_arithmetic
from tests.domain.market.venues import spoken

FRAMES: Final = 20_000
TIMES: Final = 3
VENUE: Final = "BENCH"

_RAW: Final = msgspec.json.Decoder(RawFrames)


def messages(speaker: spoken.Speaker, line: Callable[[spoken.Speaker, spoken.Market, int, int], str]) -> list[bytes]:
    """As gateway writes them: an opening, a snapshot, then `line` by number and time."""
    market, at = spoken.Market(1), time.time_ns()
    frames = [Frame(at, FrameKind.OPEN, encode(spoken.opening_of(speaker)).decode()), speaker.snapshot(market, at)]
    frames += [Frame(at + n * 50_000, FrameKind.FRAME, line(speaker, market, n, at + n * 50_000)) for n in range(1, FRAMES)]
    cut = [frames[first : first + FRAMES_MAX] for first in range(0, len(frames), FRAMES_MAX)]
    return [encode(RawFrames(venue=VENUE, epoch=1, n=1 + FRAMES_MAX * place, frames=part)) for place, part in enumerate(cut)]


def trades(speaker: spoken.Speaker, _: spoken.Market, number: int, at: int) -> str:
    return speaker.trade(number, at)


def updates(speaker: spoken.Speaker, market: spoken.Market, _: int, at: int) -> str:
    return speaker.update(market, market.step(), at)


async def _stored(subject: str, payload: bytes, message_id: str) -> None:
    """A stream that takes everything at once."""


def fold_only(payloads: Sequence[bytes]) -> int:
    fold, records = VenueFold(VENUE, decoder, BookRules()), 0
    for payload in payloads:
        out = fold.take(_RAW.decode(payload))
        records += len(out.quotes) + len(out.trades) + len(out.books)
    return records


def whole(payloads: Sequence[bytes]) -> int:
    """All but the network: also silence, bars, quotes for the core, and messages of the streams."""
    shared = VenueShared(SystemClock(), RecentFacts(10), FrameQuality(), Observations(LATENCY_BUCKETS_S), lambda subject, payload: None)
    out = RecordsOut(VENUE, _stored, {}, 0.0)
    rules = VenueRules(decoder, BookRules(), Patience(), TickPace(), DepthPace(), 10**15)
    run = VenueRun(VENUE, rules, shared, out, Bars(300))

    async def all_of_them() -> None:
        writing = asyncio.create_task(out.run())
        for payload in payloads:
            run.take(_RAW.decode(payload))
            await out.room()
            await asyncio.sleep(0)
        run.due_bars()
        while out.waiting:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        writing.cancel()

    asyncio.run(all_of_them())
    return sum(out.published[kind] for kind in ("quotes", "trades", "books"))


def bars_only() -> int:
    bars, start = Bars(300), 1_800_000_000 * 10**9
    price, one = Decimal("45000.5"), Decimal("0.01")
    for number in range(FRAMES):
        at = start + number * 10**7
        bars.add(
            MarketTrade(symbol="BTCUSD", venue=VENUE, price=price, quantity=one, side=Side.BUY, trade_id=str(number), at=at, received=at),
            0,
        )
    return FRAMES


def conflation_only() -> int:
    ticks, one = Conflation(), Decimal(1)
    for number in range(FRAMES):
        quote = Quote(symbol="BTCUSD", venue=VENUE, bid=Decimal(number), bid_size=one, ask=Decimal(number + 1), ask_size=one, at=number)
        ticks.offer(quote, number * 10_000)
    return FRAMES


def tick_reader() -> int:
    fields = {"symbol": "BTCUSDT", "venue": "A", "bid": 99.5, "bid_size": 1.25, "ask": 101.5, "ask_size": 1.5, "at": 1_800_000_000}
    message = type("Tick", (), {"data": json.dumps(fields).encode(), "subject": "ticks.BTCUSDT"})()
    reader = Ticks(Market().update, Listed({"BTCUSDT"}, {"A": {"BTCUSDT"}}), time.monotonic_ns)

    async def read() -> None:
        for _ in range(FRAMES):
            await reader.on_tick(message)

    asyncio.run(read())
    return FRAMES


def measured(name: str, work: Callable[[], int]) -> None:
    """Print the best of some runs, by CPU time."""
    best, records = 1e9, 0
    for _ in range(TIMES):
        began = time.process_time()
        records = work()
        best = min(best, time.process_time() - began)
    print(f"{name:44} {FRAMES:7} frames {records:8} records {best / FRAMES * 1e6:7.2f} us a frame {records / best:10.0f} records/s")


def main() -> None:
    use_exact_arithmetic()
    for speaker in spoken.SPEAKERS.values():
        for what, line in (("trades", trades), ("book updates", updates)):
            payloads = messages(speaker(), line)
            measured(f"{speaker.kind} {what}: fold", lambda of=payloads: fold_only(of))  # type: ignore[misc]
            measured(f"{speaker.kind} {what}: all but the network", lambda of=payloads: whole(of))  # type: ignore[misc]
    measured("bars of five intervals", bars_only)
    measured("conflation", conflation_only)
    measured("a tick in risk, oms or exeq", tick_reader)


if __name__ == "__main__":
    main()
