"""normalizer as a process on a real server, and a gateway that a test holds: it stores frames and is asked for snapshots."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import subjects
from adapters.codec import encode
from adapters.feed import Feed
from adapters.market_lookup import MarketLookup
from adapters.marketstreams import StreamWriter, ensure_market_stream
from domain.market.quotes import Quote
from domain.market.records import MarketTrade, Records
from domain.market.venues.feed import Frame, FrameKind, Opening, RawFrames
from domain.ports import Unavailable
from tests.domain.market.venues.spoken import KrakenSpeaker, Market
from tests.live import LiveServer
from tests.process import Changes, LiveService

SOON_S = 60.0
NEVER_SILENT = {"liveness": {"least_sec": 600}}
"""On a slow machine seconds pass between two frames of a scene that is not about silence."""
VENUE = "KRAKEN"


class HeldGateway:
    """One connection to a venue: a market in plain dicts, said as Kraken says it."""

    def __init__(self, client: Client, writer: StreamWriter) -> None:
        self.client, self._writer = client, writer
        self.market, self.speaker = Market(1), KrakenSpeaker()
        self.epoch, self.n, self.trades = 0, 0, 0
        self.asked: list[dict[str, str]] = []
        self.ticks: list[Quote] = []

    @classmethod
    async def open(cls, client: Client) -> "HeldGateway":
        async def ensure() -> None:
            await ensure_market_stream(client, subjects.MARKET_RAW_STREAM, [subjects.MARKET_RAW], max_bytes=2**26)

        await ensure()
        found = cls(client, await StreamWriter.open(client, ensure))
        await client.subscribe(subjects.market("control", VENUE), cb=found.on_control)
        await client.subscribe(subjects.TICKS, cb=found.on_tick)
        await client.flush()
        return found

    async def on_control(self, message: Msg) -> None:
        self.asked.append(json.loads(message.data))
        await message.respond(b"{}")

    async def on_tick(self, message: Msg) -> None:
        self.ticks.append(msgspec.json.decode(message.data, type=Quote))

    async def connect(self) -> None:
        """A new connection: its opening, and the snapshot of the book."""
        self.epoch, self.n = time.time_ns() // 1_000_000, 0
        opening = Opening(kind=self.speaker.kind, url="ws://127.0.0.1:1", symbols={self.speaker.name: self.speaker.symbol}, depth=10)
        await self.put(Frame(time.time_ns(), FrameKind.OPEN, encode(opening).decode()), self.snapshot())

    def snapshot(self) -> Frame:
        return self.speaker.snapshot(self.market, time.time_ns())

    def update(self) -> Frame:
        at = time.time_ns()
        return Frame(at, FrameKind.FRAME, self.speaker.update(self.market, self.market.step(), at))

    def trade(self) -> Frame:
        at = time.time_ns()
        self.trades += 1
        return Frame(at, FrameKind.FRAME, self.speaker.trade(self.trades, at))

    async def put(self, *frames: Frame) -> None:
        message = RawFrames(venue=VENUE, epoch=self.epoch, n=self.n + 1, frames=frames)
        self.n += len(frames)
        await self._writer.write(subjects.market("raw", VENUE), encode(message), f"{self.epoch}-{message.n}")

    async def again(self, *frames: Frame) -> None:
        """As `put`, until the server is there again."""
        n = self.n
        while True:
            try:
                await self.put(*frames)
            except Unavailable:
                self.n = n
                await asyncio.sleep(0.05)
            else:
                return

    def lose(self, frame: Frame) -> None:
        """The venue said it, and the gateway had to drop it."""
        self.n += 1

    def truth(self) -> dict[str, list[list[Decimal]]]:
        bids, asks = self.market.view(10)
        return {"bids": [list(level) for level in bids], "asks": [list(level) for level in asks]}

    async def stored(self, kind: str) -> Sequence[Records[MarketTrade]]:
        """Every message of a kind in the stream of records; those of trades in full."""
        last = await MarketLookup(self.client, subjects.MARKET_STREAM).last(subjects.market(kind, VENUE))
        found: list[Records[MarketTrade]] = []
        async for batch in Feed(self.client, subjects.MARKET_STREAM, subjects.market(kind, VENUE), 0).batches():
            found += [msgspec.json.decode(message.data, type=Records[MarketTrade]) for _, message in batch]
            if last is None or (batch and batch[-1][0] >= last.seq):
                break
        return found


class LiveNormalizer(LiveService):
    """The service as `trade up` runs it; `market_url` is a server of its own for the market's streams."""

    def __init__(self, nats: LiveServer, home: Path, market_url: str = "", changes: Changes = NEVER_SILENT) -> None:
        super().__init__("normalizer", nats, home, changes=changes)
        self._market_url = market_url

    def begin(self, **environment: str) -> None:
        super().begin(TRADE_MARKET_NATS_URL=self._market_url, **environment)

    async def get(self, path: str) -> Any:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.get(f"http://127.0.0.1:{self.program.ports['http']}{path}")
            return json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)

    async def book(self, symbol: str) -> Any:
        return await self.get(f"/books/{VENUE}/{symbol}?depth=10")

    async def until(self, path: str, true: Callable[[Any], object]) -> Any:
        end = time.monotonic() + SOON_S
        while True:
            found = await self.get(path)
            if true(found):
                return found
            assert time.monotonic() < end, (path, found, self.said())
            await asyncio.sleep(0.02)


def trades_published(count: int) -> Callable[[Any], bool]:
    """Whether `/stats` says that this number of trades was stored."""
    return lambda stats: bool(stats["venues"].get(VENUE, {}).get("published", {}).get("trades") == count)


async def until(true: Callable[[], object], what: object = "") -> None:
    end = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.01)
