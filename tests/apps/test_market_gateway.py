"""gateway as a process: simulated venues on one side, NATS on the other, and what is left when either is away."""

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from domain.market.venues.feed import FrameKind
from tests.apps.market_house import WAIT_S, MarketGateway, RawReader, until, venue
from tests.live import LiveServer
from tests.venues import VenueSimulator

MIB = 1024 * 1024


class MakeGateway(Protocol):
    def __call__(self, venues: dict[str, dict[str, object]], **sections: object) -> MarketGateway: ...


@pytest.fixture
def make(nats_server: LiveServer, fresh_nats: LiveServer, tmp_path: Path) -> Iterator[MakeGateway]:
    """The core's server is the shared one, the market's is fresh."""
    made: list[MarketGateway] = []

    def one(venues: dict[str, dict[str, object]], **sections: object) -> MarketGateway:
        made.append(MarketGateway(tmp_path / "gateway", nats_server.url, fresh_nats.url, venues, **sections))
        return made[-1]

    yield one
    for gateway in made:
        gateway.end(signal.SIGKILL)


@pytest.fixture
async def venues() -> AsyncIterator[dict[str, VenueSimulator]]:
    async with AsyncExitStack() as opened:
        yield {kind: await opened.enter_async_context(VenueSimulator(kind, seed=21)) for kind in ("binance_spot", "kraken")}


def stepped(venues: dict[str, VenueSimulator], steps: int) -> None:
    for simulator in venues.values():
        simulator.step(steps)


async def test_from_venues_that_are_away_to_frames_in_the_stream_over_a_death_of_nats_and_of_gateway(
    make: MakeGateway, fresh_nats: LiveServer, venues: dict[str, VenueSimulator]
) -> None:
    binance, kraken = venues["binance_spot"], venues["kraken"]
    for simulator in venues.values():
        await simulator.stop()
    raw = {"pending_bytes_max": 2 * MIB}
    gateway = make({"BINANCE": venue(binance, "BTCUSDT", "ETHUSDT"), "KRAKEN": venue(kraken, "BTCUSD", "ETHUSD")}, raw=raw).launch()

    # venues away at the start: healthy, and not ready
    not_ready = await gateway.until("/ready", lambda answer: "no venue reached" in answer.text)
    assert not_ready.status_code == 503
    health = await gateway.get("/health")
    assert health is not None
    assert health.status_code == 200
    await gateway.until("/venues", lambda answer: {row["state"] for row in answer.json().values()} == {"down"})

    # they come: every frame is in the stream as it was sent
    for simulator in venues.values():
        await simulator.start()
    await gateway.ready()
    await until(lambda: kraken.open and len(kraken.open[0].received) == 2)
    stepped(venues, 100)
    for name, simulator in (("BINANCE", binance), ("KRAKEN", kraken)):
        reader = await RawReader.open(fresh_nats, name)
        await reader.until(lambda found: len(found.texts()) == len(simulator.connections[-1].sent))  # noqa: B023 - awaited in this turn
        assert reader.texts() == simulator.connections[-1].sent
        assert [n for n, _ in reader.frames()] == list(range(1, len(reader.frames()) + 1))
        await reader.close()
    reader = await RawReader.open(fresh_nats, "KRAKEN")
    await reader.read()

    # a resync over NATS is what the venue gets
    assert await reader.request("market.control.KRAKEN", do="resync", symbol="BTCUSD") == {"ok": True, "detail": "accepted"}
    await until(lambda: len(kraken.open[0].received) == 4)
    unknown = await reader.request("market.control.OKX", do="resync", symbol="BTCUSD")
    assert (unknown["ok"], unknown["code"]) == (False, "venue_not_found")
    await reader.close()

    # NATS dies, the venues go on: memory is bounded, and the hole is in the numbers
    fresh_nats.kill()
    dropped = 0
    while not dropped:
        stepped(venues, 500)
        answer = await gateway.get("/venues")
        assert answer is not None
        dropped = min(row["frames_dropped"] for row in answer.json().values())
        assert max(row["frames_waiting_bytes"] for row in answer.json().values()) <= MIB
    fresh_nats.start()
    await gateway.until("/venues", lambda answer: not any(row["frames_waiting_bytes"] for row in answer.json().values()))
    shown = (await gateway.until("/venues", lambda answer: answer.status_code == 200)).json()["KRAKEN"]
    reader = await RawReader.open(fresh_nats, "KRAKEN")
    await reader.read()
    numbers = sorted({n for n, _ in reader.frames()})
    assert numbers[-1] - len(numbers) == shown["frames_dropped"] > 0
    assert reader.epochs == [shown["epoch"]], "the connection to the venue never broke"
    texts = iter(kraken.connections[-1].sent)
    assert all(text in texts for text in dict.fromkeys(reader.texts())), "what is left is as sent, in order"

    # a stop is a close frame, and the next process has a greater epoch
    assert gateway.end() == 0
    await reader.read()
    assert (reader.frames()[-1][1].kind, reader.frames()[-1][1].text) == (FrameKind.CLOSE, "gateway stops")
    gateway.launch()
    await reader.until(lambda found: len(found.epochs) == 2)
    assert reader.epochs[1] > reader.epochs[0]
    await reader.close()
    async with httpx.AsyncClient(trust_env=False) as client:
        page = (await client.get(gateway.metrics_url)).text
    assert 'market_venue_frames_total{venue="KRAKEN"}' in page


def test_a_configuration_that_cannot_work_ends_the_process_with_its_reason(make: MakeGateway) -> None:
    gateway = make({"V": {"kind": "kraken", "ws_url": "ws://127.0.0.1:1", "symbols": ["DOGEUSD"]}}).launch()
    assert gateway.process is not None
    assert gateway.process.wait(WAIT_S) == 2
    assert "market_symbols.kraken: has no row for DOGEUSD" in gateway.said()
