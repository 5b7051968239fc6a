"""Simulated venues, gateway and normalizer as processes: the book that is shown is the venue's, and what is lost on the way is said."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters import bus, subjects
from domain.market.quotes import Quote
from domain.market.records import Flag
from tests.apps.market_house import WAIT_S, MarketGateway, venue
from tests.apps.normalizer_house import LiveNormalizer, until
from tests.live import LiveServer
from tests.venues import VenueSimulator

DEPTH = 10


@pytest.fixture
async def venues() -> AsyncIterator[dict[str, VenueSimulator]]:
    async with AsyncExitStack() as opened:
        kinds = {"BINANCE": "binance_spot", "KRAKEN": "kraken"}
        yield {name: await opened.enter_async_context(VenueSimulator(kind, seed=5)) for name, kind in kinds.items()}


@pytest.fixture
async def ticks(nats_server: LiveServer) -> AsyncIterator[list[Quote]]:
    """The quotes that the core receives."""
    found: list[Quote] = []
    client = await bus.connect(nats_server.url, "test", closed=lambda: None)

    async def on_tick(message: Any) -> None:
        found.append(msgspec.json.decode(message.data, type=Quote))

    await client.subscribe(subjects.TICKS, cb=on_tick)
    yield found
    await client.close()


def truth(simulator: VenueSimulator, symbol: str) -> dict[str, list[list[Any]]]:
    book = simulator.book(symbol, DEPTH)
    return {"bids": [list(level) for level in book.bids], "asks": [list(level) for level in book.asks]}


async def shows_the_truth(normalizer: LiveNormalizer, simulator: VenueSimulator, name: str, symbol: str, ours: str) -> dict[str, Any]:
    def equal(found: Any) -> bool:
        return bool(found.get("valid")) and {side: found[side] for side in ("bids", "asks")} == truth(simulator, symbol)

    book: dict[str, Any] = await normalizer.until(f"/books/{name}/{ours}?depth={DEPTH}", equal)
    return book


async def test_books_equal_the_venues_a_lost_message_is_named_and_repaired_and_a_mute_symbol_ends(
    nats_server: LiveServer, fresh_nats: LiveServer, tmp_path: Path, venues: dict[str, VenueSimulator], ticks: list[Quote]
) -> None:
    sections = {"BINANCE": venue(venues["BINANCE"], "BTCUSDT"), "KRAKEN": venue(venues["KRAKEN"], "BTCUSD")}
    gateway = MarketGateway(tmp_path / "gateway", nats_server.url, fresh_nats.url, sections)
    normalizer = LiveNormalizer(nats_server, tmp_path / "normalizer", fresh_nats.url, changes={})
    try:
        gateway.launch()
        normalizer.start()
        await gateway.ready()
        await normalizer.until("/stats", lambda found: {name for name, of in found["venues"].items() if of["valid_books"]} == set(venues))
        for simulator in venues.values():
            simulator.step(20)
        await shows_the_truth(normalizer, venues["BINANCE"], "BINANCE", "BTCUSDT", "BTCUSDT")
        shown = await shows_the_truth(normalizer, venues["KRAKEN"], "KRAKEN", "BTC/USD", "BTCUSD")
        assert shown["checked"] is True
        await until(lambda: {tick.venue for tick in ticks} == {"BINANCE", "KRAKEN"})

        venues["BINANCE"].faults.only = "book"
        venues["BINANCE"].faults.drop_next = 1
        venues["BINANCE"].step(3)  # hole in sequence
        await until(lambda: any(tick.venue == "BINANCE" and Flag.STALE in tick.flags for tick in ticks), normalizer.said())
        await shows_the_truth(normalizer, venues["BINANCE"], "BINANCE", "BTCUSDT", "BTCUSDT")
        found = await normalizer.get("/facts?venue=BINANCE&symbol=BTCUSDT")
        kinds = [fact["fact"] for fact in reversed(found["facts"])]
        assert kinds[kinds.index("gap") + 1] == "resync"
        assert "repaired" in kinds[kinds.index("gap") :]
        gap = next(fact for fact in found["facts"] if fact["fact"] == "gap")
        assert gap["from"] <= gap["to"]

        await mute_until_stale(normalizer, venues["KRAKEN"])
        await shows_the_truth(normalizer, venues["KRAKEN"], "KRAKEN", "BTC/USD", "BTCUSD")
    finally:
        normalizer.kill()
        gateway.end(signal.SIGKILL)


async def mute_until_stale(normalizer: LiveNormalizer, simulator: VenueSimulator) -> None:
    """Open but mute: the venue moves, and nothing is heard of it. A new subscription brings the book, a new connection the rest."""
    simulator.faults.mute = True
    simulator.step(5)
    await normalizer.until("/facts?venue=KRAKEN", lambda found: any(fact["fact"] == "stale" for fact in found["facts"]))
    assert (await normalizer.get(f"/books/KRAKEN/BTCUSD?depth={DEPTH}"))["valid"] is False
    simulator.faults.mute = False
    end = time.monotonic() + WAIT_S
    while not (await normalizer.get(f"/books/KRAKEN/BTCUSD?depth={DEPTH}"))["valid"]:
        assert time.monotonic() < end, normalizer.said()
        await asyncio.sleep(0.05)
