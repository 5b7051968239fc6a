"""gateway as a process: simulated venues on one side, NATS on the other, and what is left when either is away."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import httpx
import pytest
from typer.testing import CliRunner

from apps.cli.main import app
from domain.market.venues.feed import FrameKind
from domain.values import rfc3339
from tests.apps.market_house import WAIT_S, MarketGateway, RawReader, until, venue
from tests.live import LiveServer
from tests.venues import VenueSimulator

MIB = 1024 * 1024
START_NS = 1_790_000_000 * 10**9


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


async def test_from_venues_that_are_away_to_frames_in_the_stream_over_a_death_of_nats_and_of_gateway(
    make: MakeGateway, fresh_nats: LiveServer, venues: dict[str, VenueSimulator]
) -> None:
    sections = {
        "BINANCE": venue(venues["binance_spot"], "BTCUSDT", "ETHUSDT"),
        "KRAKEN": venue(venues["kraken"], "BTCUSD", "ETHUSD"),
    }
    for simulator in venues.values():
        await simulator.stop()
    for number in range(100):
        venues["binance_spot"].traded("BTCUSDT", START_NS + number * 10**9, "50000.5", "0.25")
    gateway = make(sections, raw={"pending_bytes_max": 2 * MIB}).launch()
    await venues_away_at_the_start_are_down_and_gateway_is_healthy(gateway)
    for simulator in venues.values():
        await simulator.start()
    await gateway.ready()
    await every_frame_is_in_the_stream_as_it_was_sent(fresh_nats, {"BINANCE": venues["binance_spot"], "KRAKEN": venues["kraken"]})
    await a_resync_over_nats_is_what_the_venue_gets(fresh_nats, venues["kraken"])
    await a_person_changes_symbols_and_fetches_trades_of_the_past(gateway, fresh_nats, venues["binance_spot"])
    await frames_of_a_time_without_nats_are_bounded_and_the_hole_is_in_the_numbers(gateway, fresh_nats, venues)
    await a_stop_is_a_close_frame_and_the_next_process_has_a_greater_epoch(gateway, fresh_nats)
    async with httpx.AsyncClient(trust_env=False) as client:
        assert 'market_venue_frames_total{venue="KRAKEN"}' in (await client.get(gateway.metrics_url)).text


async def venues_away_at_the_start_are_down_and_gateway_is_healthy(gateway: MarketGateway) -> None:
    not_ready = await gateway.until("/ready", lambda answer: "no venue reached" in answer.text)
    assert not_ready.status_code == 503
    await gateway.until("/health", lambda answer: answer.status_code == 200)
    await gateway.until("/venues", lambda answer: {row["state"] for row in answer.json().values()} == {"down"})


async def every_frame_is_in_the_stream_as_it_was_sent(nats: LiveServer, venues: dict[str, VenueSimulator]) -> None:
    kraken = venues["KRAKEN"]
    await until(lambda: kraken.open and len(kraken.open[0].received) == 2)
    for name, simulator in venues.items():
        await until(lambda: simulator.open)  # noqa: B023 - awaited in this turn
        simulator.step(100)
        async with RawReader.on(nats, name) as reader:
            await reader.until(lambda found: len(found.texts()) == len(simulator.connections[-1].sent))  # noqa: B023
            assert reader.texts() == simulator.connections[-1].sent
            assert [n for n, _ in reader.frames()] == list(range(1, len(reader.frames()) + 1))


async def a_resync_over_nats_is_what_the_venue_gets(nats: LiveServer, kraken: VenueSimulator) -> None:
    async with RawReader.on(nats, "KRAKEN") as reader:
        assert await reader.request("market.control.KRAKEN", do="resync", symbol="BTCUSD") == {"ok": True, "detail": "accepted"}
        await until(lambda: len(kraken.open[0].received) == 4)
        unknown = await reader.request("market.control.OKX", do="resync", symbol="BTCUSD")
        assert (unknown["ok"], unknown["code"]) == (False, "venue_not_found")


async def a_person_changes_symbols_and_fetches_trades_of_the_past(
    gateway: MarketGateway, nats: LiveServer, binance: VenueSimulator
) -> None:
    environment = {"TRADE_MARKET_NATS_URL": nats.url, "TRADE_MARKET_GATEWAY_URL": gateway.url}

    async def said(*words: str) -> tuple[int, str]:
        result = await asyncio.to_thread(CliRunner().invoke, app, ["market", *words, "--venue", "BINANCE"], env=environment)
        return result.exit_code, result.output

    assert await said("unsubscribe", "ETHUSDT") == (0, "BINANCE ETHUSDT: accepted\n")
    assert await said("subscribe", "ETHUSDT") == (0, "BINANCE ETHUSDT: accepted\n")
    code, text = await said("subscribe", "DOGEUSDT")
    assert (code, "lists no DOGEUSDT for BINANCE" in text.replace("\n", " ")) == (1, True)
    span = ("--from", rfc3339(START_NS + 10 * 10**9), "--to", rfc3339(START_NS + 60 * 10**9))
    assert await said("backfill", "BTCUSDT", *span) == (0, "BINANCE BTCUSDT: 50 trades, pages: 2\n")
    await until(lambda: '"UNSUBSCRIBE"' in binance.open[0].received[0] and '"SUBSCRIBE"' in binance.open[0].received[1])


async def frames_of_a_time_without_nats_are_bounded_and_the_hole_is_in_the_numbers(
    gateway: MarketGateway, nats: LiveServer, venues: dict[str, VenueSimulator]
) -> None:
    """MARKETDATA 4: NATS away: the venue does not notice; beyond the bound the oldest frames are dropped, which readers see."""
    nats.kill()
    dropped = 0
    while not dropped:
        for simulator in venues.values():
            simulator.step(500)
        rows = (await gateway.until("/venues", lambda answer: answer.status_code == 200)).json().values()
        dropped = min(row["frames_dropped"] for row in rows)
        assert max(row["frames_waiting_bytes"] for row in rows) <= MIB
    nats.start()
    settled = await gateway.until("/venues", lambda answer: not any(row["frames_waiting_bytes"] for row in answer.json().values()))
    shown = settled.json()["KRAKEN"]
    async with RawReader.on(nats, "KRAKEN") as reader:
        await reader.read()
    numbers = {n for n, _ in reader.frames()}
    assert max(numbers) - len(numbers) == shown["frames_dropped"] > 0
    assert reader.epochs == [shown["epoch"]], "the connection to the venue never broke"
    sent = iter(venues["kraken"].connections[-1].sent)
    assert all(text in sent for text in dict.fromkeys(reader.texts())), "what is left is as sent, in order"


async def a_stop_is_a_close_frame_and_the_next_process_has_a_greater_epoch(gateway: MarketGateway, nats: LiveServer) -> None:
    assert gateway.end() == 0
    async with RawReader.on(nats, "KRAKEN") as reader:
        last = (await reader.read()).frames()[-1][1]
        assert (last.kind, last.text) == (FrameKind.CLOSE, "gateway stops")
        gateway.launch()
        await reader.until(lambda found: len(found.epochs) == 2)
        assert reader.epochs[1] > reader.epochs[0]


def test_a_configuration_that_cannot_work_ends_the_process_with_its_reason(make: MakeGateway) -> None:
    gateway = make({"V": {"kind": "kraken", "ws_url": "ws://127.0.0.1:1", "symbols": ["DOGEUSD"]}}).launch()
    assert gateway.process is not None
    assert gateway.process.wait(WAIT_S) == 2
    assert "market_symbols.kraken: has no row for DOGEUSD" in gateway.said()
