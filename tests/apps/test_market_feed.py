"""The feed of a venue against the simulator: what it writes is what the venue sent, and it comes back from whatever breaks."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.venue_rest import VenueRest
from adapters.venue_socket import VenueSocket, dial
from apps.gateway import link, rest_fetch, venue_feed
from apps.gateway.control import VenueControl
from apps.gateway.epochs import Epochs
from apps.gateway.link import NO_CREDENTIALS, Bounds, Credentials
from apps.gateway.raw_writer import LATENCY_BUCKETS_S, RawWriter
from apps.gateway.rest_fetch import HOLD_DEFAULT_S, RestFetcher, retry_after_s
from apps.gateway.routes import feed_view
from apps.gateway.symbols import Listing
from apps.gateway.venue_feed import FeedState, VenueFeed
from apps.runtime.chassis import cancelled
from apps.runtime.metrics import Observations
from domain.execution.token_bucket import SECOND_NS
from domain.market.venues.feed import FrameKind
from domain.market.venues.kinds import script
from tests.apps.market_house import until
from tests.apps.memory_stream import MemoryStream
from tests.venues import VenueSimulator
from tests.venues.alpaca import KEY, SECRET

LONG_NS = 3600 * SECOND_NS
SYMBOLS = {"binance_spot": "BTCUSDT", "kraken": "BTC/USD", "coinbase": "BTC-USD", "alpaca_crypto": "BTC/USD"}
OURS = "BTC"
MORE = {kind: {OURS: name, "ETH": name.replace("BTC", "ETH"), "TWIN": name} for kind, name in SYMBOLS.items()}
"""Our names and those of the venue, as config/instruments.yaml would list them."""
CALM = Bounds(stale_ns=LONG_NS, mute_ns=LONG_NS, age_ns=LONG_NS)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venue_feed, "pause_ns", lambda *_: SECOND_NS // 100)
    monkeypatch.setattr(rest_fetch, "pause_ns", lambda *_: SECOND_NS // 100)


class Scene:
    """A feed, the venue and the stream."""

    def __init__(self, simulator: VenueSimulator, bounds: Bounds, credentials: Credentials) -> None:
        clock, kind = SystemClock(), simulator.kind
        listing = Listing(kind, {OURS: SYMBOLS[kind]}, 10)
        self.simulator = simulator
        self.stream = MemoryStream()
        self.rest = VenueRest(simulator.rest_url)
        latency = Observations(LATENCY_BUCKETS_S)
        self.writer = RawWriter("V", "market.raw.V", self.stream, clock, latency, wait_s=0.005, bytes_max=2**26)
        self.feed = VenueFeed(
            "V",
            listing,
            lambda wanted: script(kind, simulator.ws_url, wanted.symbols, wanted.depth),
            dial,
            RestFetcher("V", kind, self.rest.get, clock),
            self.writer,
            Epochs(clock, 0),
            clock,
            bounds,
            credentials,
        )
        self.control = VenueControl({"V": self.feed}, lambda _, symbol: MORE[kind].get(symbol), clock)

    async def live(self) -> None:
        await until(lambda: self.feed.state is FeedState.LIVE)

    def ask(self, **fields: Any) -> tuple[bool, str, str]:
        reply = self.control.answer("V", json.dumps(fields).encode())
        return reply.ok, reply.code, reply.detail


@asynccontextmanager
async def scene(
    kind: str, *, bounds: Bounds = CALM, credentials: Credentials = NO_CREDENTIALS, up: bool = True, both: bool = False
) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as opened:
        simulator = VenueSimulator(kind, seed=11, symbols=[SYMBOLS[kind], MORE[kind]["ETH"]] if both else [SYMBOLS[kind]])
        await opened.enter_async_context(simulator)
        if not up:
            await simulator.stop()
        found = Scene(simulator, bounds, credentials)
        opened.push_async_callback(found.rest.close)
        for work in (found.writer.run, found.feed.run):
            opened.push_async_callback(cancelled, asyncio.create_task(work()))
        yield found


async def all_written(found: Scene) -> None:
    """Everything that the newest connection was sent is in the stream."""
    await until(lambda: len(found.stream.texts(epoch=found.feed.epoch)) == len(found.simulator.connections[-1].sent))


@pytest.mark.parametrize(("kind", "asked"), [("binance_spot", 0), ("kraken", 2), ("coinbase", 3), ("alpaca_crypto", 2)])
async def test_the_stream_has_what_the_venue_sent_byte_by_byte_in_order_and_without_a_hole(kind: str, asked: int) -> None:
    async with scene(kind, credentials=Credentials(KEY, SECRET)) as found:
        await until(lambda: found.simulator.open and len(found.simulator.open[0].received) == asked)
        found.simulator.step(200)
        await all_written(found)
        stream, epoch = found.stream, found.feed.epoch
        assert stream.texts() == found.simulator.connections[0].sent
        assert stream.numbers() == list(range(1, len(stream.numbers()) + 1))
        assert [earlier.received <= later.received for (_, earlier), (_, later) in pairwise(stream.numbered())].count(False) == 0
        opening = json.loads(stream.texts(FrameKind.OPEN)[0])
        assert (opening["kind"], opening["symbols"], stream.epochs) == (kind, {SYMBOLS[kind]: OURS}, [epoch])
        assert stream.numbered()[0][1].kind == FrameKind.OPEN
        assert len(stream.texts(FrameKind.SENT)) == asked
        await until(lambda: not found.writer.bytes)
        assert feed_view(found.feed) | {"last_frame_at": None} == {
            "state": "live",
            "kind": kind,
            "epoch": epoch,
            "frames": len(stream.texts()),
            "last_frame_at": None,
            "symbols": [OURS],
            "reconnects": 0,
            "last_error": None,
            "frames_waiting_bytes": 0,
            "frames_dropped": 0,
            "not_listed": [],
            "instruments": {},
            "backfill": None,
        }


async def test_a_broken_connection_is_made_again_with_a_greater_epoch() -> None:
    async with scene("kraken") as found:
        await found.live()
        first = found.feed.epoch
        found.simulator.abort_all()
        await until(lambda: found.feed.reconnects == 1)
        await found.live()
        assert found.feed.epoch > first
        await until(lambda: found.stream.epochs == [first, found.feed.epoch])
        assert len(found.stream.texts(FrameKind.CLOSE, first)) == 1
        assert found.stream.numbered(first)[-1][1].kind == FrameKind.CLOSE
        assert found.stream.numbers(found.feed.epoch)[0] == 1
        assert found.feed.last_error.startswith("connection ended: ")


async def test_a_venue_that_is_away_or_refuses_is_down_until_it_is_back() -> None:
    async with scene("kraken", up=False) as found:
        await until(lambda: found.feed.failures > 2)
        assert (found.feed.state, found.feed.epoch) == (FeedState.DOWN, 0)
        assert found.feed.last_error.startswith("cannot connect: ")
        assert found.ask(do="resync", symbol=OURS)[:2] == (False, "not_connected")
        found.simulator.faults.refuse = True
        await found.simulator.start()
        await until(lambda: "HTTP 503" in found.feed.last_error)
        found.simulator.faults.refuse = False
        await found.live()
        await until(lambda: found.stream.messages)
        assert found.stream.messages[0].n == 1


async def test_an_open_connection_without_any_message_is_stale_and_then_made_again() -> None:
    """MARKETDATA 4: open but mute; never by hand."""
    bounds = Bounds(stale_ns=SECOND_NS, mute_ns=2 * SECOND_NS, age_ns=LONG_NS)
    async with scene("binance_spot", bounds=bounds) as found:
        await until(lambda: found.simulator.open)
        found.simulator.step()
        await found.live()
        first = found.feed.epoch
        await until(lambda: found.feed.state is FeedState.STALE)
        await until(lambda: found.feed.epoch > first)
        await until(lambda: found.stream.texts(FrameKind.CLOSE, first))
        assert found.stream.texts(FrameKind.CLOSE, first)[0].startswith("mute: nothing received for 2 s")


async def test_a_quiet_connection_is_kept_alive_in_the_venues_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "KEEPALIVE_AFTER_NS", SECOND_NS // 10)
    async with scene("kraken") as found:
        found.simulator.faults.mute = True
        await until(lambda: any("pong" in text for text in found.stream.texts()))
        assert any("ping" in text for text in found.stream.texts(FrameKind.SENT))


async def test_an_old_connection_is_replaced_by_one_that_is_open_before_the_old_one_ends() -> None:
    bounds = Bounds(stale_ns=LONG_NS, mute_ns=LONG_NS, age_ns=SECOND_NS)
    async with scene("kraken", bounds=bounds) as found:
        await found.live()
        first = found.feed.epoch
        await until(lambda: found.stream.texts(FrameKind.CLOSE, first))
        assert found.stream.texts(FrameKind.CLOSE, first) == ["replaced: the connection is old"]
        assert (found.simulator.most_open, found.feed.last_error, found.feed.failures) == (2, "", 0)


async def test_a_limited_snapshot_is_fetched_again_when_the_venue_says_and_each_reply_is_a_frame() -> None:
    """MARKETDATA 4: 429 or ban: back off as long as the venue asks."""
    async with scene("binance_spot", up=False) as found:
        found.simulator.faults.rest_status = [(429, 1), (418, 0), (503, 0)]
        await found.simulator.start()
        await until(lambda: len(found.stream.texts(FrameKind.REST)) == 4)
        replies = [text.partition("\n") for text in found.stream.texts(FrameKind.REST)]
        path = "/api/v3/depth?symbol=BTCUSDT&limit=1000"
        assert [head for head, _, _ in replies] == [f"BTCUSDT {status} {path}" for status in (429, 418, 503, 200)]
        assert json.loads(replies[-1][2])["lastUpdateId"] == found.simulator.books["BTCUSDT"].update_number
        times = [frame.received for _, frame in found.stream.numbered() if frame.kind == FrameKind.REST]
        assert times[1] - times[0] >= SECOND_NS, "held off as long as the venue asked"
        assert found.feed.fetcher.statuses == {"429": 1, "418": 1, "503": 1, "200": 1}


def test_a_retry_after_may_be_seconds_or_a_date_and_is_bounded() -> None:
    now = 1_800_000_000 * SECOND_NS  # 2027-01-15 08:00:00
    assert [retry_after_s(text, now) for text in ("7", "Fri, 15 Jan 2027 08:00:09 GMT", "", "soon", "-1")] == [
        7,
        10,
        HOLD_DEFAULT_S,
        HOLD_DEFAULT_S,
        HOLD_DEFAULT_S,
    ]
    assert retry_after_s("9" * 400, now) == rest_fetch.HOLD_MAX_S


async def test_credentials_are_sent_and_are_in_no_frame() -> None:
    async with scene("alpaca_crypto", credentials=Credentials(KEY, SECRET)) as found:
        await until(lambda: any('"subscription"' in text for text in found.stream.texts()))
        assert json.loads(found.simulator.connections[0].received[0]) == {"action": "auth", "key": KEY, "secret": SECRET}
        assert json.loads(found.stream.texts(FrameKind.SENT)[0]) == {"action": "auth", "key": "{{key}}", "secret": "{{secret}}"}
        assert not [frame for _, frame in found.stream.numbered() if KEY in frame.text or SECRET in frame.text]


async def test_one_resync_of_a_symbol_is_in_flight_and_the_next_keeps_its_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "RESYNC_DISTANCE_NS", SECOND_NS)
    async with scene("kraken") as found:
        await found.live()
        await until(lambda: len(found.simulator.open[0].received) == 2)
        assert found.ask(do="resync", symbol=OURS) == (True, "", "accepted")
        assert found.ask(do="resync", symbol=OURS) == (True, "", "a resync waits already")
        sent = found.simulator.open[0].received
        await until(lambda: len(sent) == 4)
        assert [json.loads(text)["method"] for text in sent[2:]] == ["unsubscribe", "subscribe"]
        assert found.ask(do="resync", symbol=OURS) == (True, "", "accepted")
        await until(lambda: len(sent) == 6)
        await until(lambda: len(found.stream.texts(FrameKind.SENT)) == 6)
        times = [frame.received for _, frame in found.stream.numbered() if frame.kind == FrameKind.SENT]
        assert times[4] - times[2] >= SECOND_NS * 9 // 10, "the first of each pair"


async def test_requests_that_cannot_be_met_are_refused_with_a_code() -> None:
    async with scene("kraken") as found:
        await found.live()
        assert found.ask(do="resync", symbol="DOGE")[:2] == (False, "symbol_unknown")
        for verb in ("backfill", "subscribe", "unsubscribe"):
            assert found.ask(do=verb, symbol="DOGE")[:2] == (False, "symbol_unknown")
        assert found.ask(do="dance")[:2] == (False, "malformed")
        assert found.control.answer("V", b"{").code == "malformed"
        assert found.control.answer("X", b"{}").code == "venue_not_found"
        assert (found.control.accepted, found.control.refused) == (0, 7)


async def test_a_connection_is_made_again_on_request_once_it_is_not_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venue_feed, "RECONNECT_DISTANCE_NS", SECOND_NS // 2)
    async with scene("kraken") as found:
        await found.live()
        first = found.feed.epoch
        assert found.ask(do="reconnect", reason="a book that stays invalid") == (True, "", "accepted")
        assert found.ask(do="reconnect") == (True, "", "the connection ends soon already")
        await until(lambda: found.stream.texts(FrameKind.CLOSE, first))
        assert found.stream.texts(FrameKind.CLOSE, first) == ["asked to: a book that stays invalid"]
        await until(lambda: found.feed.epoch > first)


async def test_a_connection_that_opens_while_gateway_stops_is_closed_without_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, opened = asyncio.Event(), asyncio.Event()

    async def slow(url: str) -> VenueSocket:
        asked.set()
        await opened.wait()
        return await dial(url)

    async with scene("kraken", up=False) as found:
        monkeypatch.setattr(found.feed, "_dial", slow)
        await found.simulator.start()
        await asked.wait()
        await found.feed.stop()
        opened.set()
        await until(lambda: found.simulator.connections and not found.simulator.open)
        assert (found.feed.connections, found.feed.epoch, found.stream.messages) == (0, 0, [])
