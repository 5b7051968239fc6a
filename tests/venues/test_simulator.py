"""The simulator against plain clients: a dict a side, kept by each venue's rules, must end as the true book; and each fault is seen."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.venues import Truth, VenueSimulator
from tests.venues.alpaca import KEY, SECRET

WAIT_S = 60.0
STEPS = 300
Sides = tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]


def exactly(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def put(side: dict[Decimal, Decimal], price: Decimal, size: Decimal) -> None:
    if size:
        side[price] = size
    else:
        side.pop(price, None)


def truth_of(bids: dict[Decimal, Decimal], asks: dict[Decimal, Decimal], depth: int = 10_000) -> Truth:
    return Truth(sorted(bids.items(), reverse=True)[:depth], sorted(asks.items())[:depth])


@asynccontextmanager
async def client(venue: VenueSimulator, path: str = "", **message: object) -> AsyncIterator[ClientConnection]:
    async with connect(venue.ws_url + path, proxy=None, max_queue=None) as socket:
        if message:
            await socket.send(json.dumps(message))
        while not (venue.open and (not message or venue.open[-1].received)):
            await asyncio.sleep(0.001)
        yield socket


async def all_sent(venue: VenueSimulator, socket: ClientConnection) -> list[str]:
    """Every text that the newest connection was sent, as it arrived."""
    async with asyncio.timeout(WAIT_S):
        texts = [str(await socket.recv()) for _ in venue.connections[-1].sent]
    assert texts == venue.connections[-1].sent
    return texts


async def test_binance_differences_join_the_snapshot_and_end_as_the_true_book() -> None:
    async with (
        VenueSimulator("binance_spot", seed=3) as venue,
        client(venue, "/stream?streams=btcusdt@depth@100ms/btcusdt@trade") as socket,
    ):
        venue.step(STEPS)
        async with httpx.AsyncClient(trust_env=False) as http:
            snapshot = exactly((await http.get(venue.rest_url + "/api/v3/depth?symbol=BTCUSDT&limit=1000")).text)
        venue.step(STEPS)
        last, joined = snapshot["lastUpdateId"], False
        bids, asks = ({Decimal(price): Decimal(size) for price, size in snapshot[side]} for side in ("bids", "asks"))
        for text in await all_sent(venue, socket):
            event = exactly(text)["data"]
            if event["e"] != "depthUpdate" or event["u"] <= last:
                continue
            assert event["U"] == last + 1 or (not joined and event["U"] <= last + 1)
            joined, last = True, event["u"]
            for side, levels in ((bids, event["b"]), (asks, event["a"])):
                for price, size in levels:
                    put(side, Decimal(price), Decimal(size))
        assert truth_of(bids, asks) == venue.book("BTCUSDT")


@pytest.mark.parametrize("depth", [10, 25, 100])
async def test_every_kraken_update_has_the_checksum_of_the_book_that_it_makes(depth: int) -> None:
    async with (
        VenueSimulator("kraken", seed=4) as venue,
        client(venue, method="subscribe", params={"channel": "book", "symbol": ["BTC/USD"], "depth": depth}) as socket,
    ):
        venue.step(STEPS)
        bids: dict[str, str] = {}
        asks: dict[str, str] = {}
        seen = 0
        for text in await all_sent(venue, socket):
            message = json.loads(text, parse_float=str, parse_int=str)
            if message.get("channel") != "book":
                continue
            (row,) = message["data"]
            for side, levels in ((bids, row["bids"]), (asks, row["asks"])):
                for level in levels:
                    side[level["price"]] = level["qty"]
                    if not Decimal(level["qty"]):
                        del side[level["price"]]
            for side, highest in ((bids, True), (asks, False)):
                for price in sorted(side, key=Decimal, reverse=highest)[depth:]:
                    del side[price]
            parts = [(price, asks[price]) for price in sorted(asks, key=Decimal)[:10]]
            parts += [(price, bids[price]) for price in sorted(bids, key=Decimal, reverse=True)[:10]]
            digits = "".join(number.replace(".", "").lstrip("0") for pair in parts for number in pair)
            assert zlib.crc32(digits.encode()) == int(row["checksum"])
            seen += 1
        assert seen > STEPS / 2
        exact_bids, exact_asks = ({Decimal(price): Decimal(size) for price, size in side.items()} for side in (bids, asks))
        assert truth_of(exact_bids, exact_asks) == venue.book("BTC/USD", depth)


async def test_coinbase_counts_every_message_of_a_connection() -> None:
    async with (
        VenueSimulator("coinbase", seed=5, heartbeat_s=0.01) as venue,
        client(venue, type="subscribe", channel="heartbeats") as socket,
    ):
        await socket.send(json.dumps({"type": "subscribe", "channel": "level2", "product_ids": ["BTC-USD"]}))
        while len(venue.open[-1].received) < 2:
            await asyncio.sleep(0.001)
        venue.step(STEPS)
        messages = [exactly(text) for text in await all_sent(venue, socket)]
        assert [message["sequence_num"] for message in messages] == list(range(len(messages)))
        sides: dict[str, dict[Decimal, Decimal]] = {"bid": {}, "offer": {}}
        for event in (event for message in messages if message["channel"] == "l2_data" for event in message["events"]):
            for update in event["updates"]:
                put(sides[update["side"]], Decimal(update["price_level"]), Decimal(update["new_quantity"]))
        assert truth_of(sides["bid"], sides["offer"]) == venue.book("BTC-USD")


async def test_alpaca_wants_the_keys_before_a_subscription() -> None:
    async with VenueSimulator("alpaca_crypto", seed=6) as venue:
        async with client(venue, action="subscribe", orderbooks=["BTC/USD"]) as socket:
            assert "not authenticated" in (await all_sent(venue, socket))[-1]
        async with client(venue, action="auth", key=KEY, secret=SECRET) as socket:
            await socket.send(json.dumps({"action": "subscribe", "orderbooks": ["BTC/USD"], "trades": ["BTC/USD"]}))
            while len(venue.open[-1].received) < 2:
                await asyncio.sleep(0.001)
            venue.step(STEPS)
            bids: dict[Decimal, Decimal] = {}
            asks: dict[Decimal, Decimal] = {}
            for row in (row for text in await all_sent(venue, socket) for row in exactly(text) if row["T"] == "o"):
                for side, levels in ((bids, row["b"]), (asks, row["a"])):
                    if row.get("r"):
                        side.clear()
                    for level in levels:
                        put(side, level["p"], level["s"])
            assert truth_of(bids, asks) == venue.book("BTC/USD")


async def test_faults_on_the_way_out_are_what_their_switches_say() -> None:
    async with VenueSimulator("binance_spot", seed=7) as venue, client(venue, "/ws/btcusdt@depth"):
        wire, faults = venue.connections[-1].sent, venue.faults

        def numbers() -> list[int]:
            return [json.loads(text)["U"] for text in wire[-2:]]

        venue.step(2)
        assert len(wire) == 2
        faults.drop_next = 1
        venue.step()
        assert len(wire) == 2
        faults.duplicate_next = 1
        venue.step()
        assert wire[2] == wire[3]
        faults.swap_next = 1
        venue.step(2)
        assert numbers() == sorted(numbers(), reverse=True)
        faults.malformed_next = 1
        venue.step()
        with pytest.raises(ValueError, match=r"delimiter|Unterminated|Expecting"):
            json.loads(wire[-1])
        faults.unknown_next, faults.new_field = 1, True
        venue.step()
        assert (json.loads(wire[-2])["e"], json.loads(wire[-1])["zz"]) == ("weather", "new")
        faults.mute, sent = True, len(wire)
        venue.step(10)
        assert len(wire) == sent
        faults.mute, faults.burst = False, 10
        venue.step()
        assert len(wire) == sent + 10
        venue.cross("BTCUSDT")
        assert venue.book("BTCUSDT").bids[0][0] > venue.book("BTCUSDT").asks[0][0]
        venue.uncross("BTCUSDT")
        assert venue.book("BTCUSDT").bids[0][0] < venue.book("BTCUSDT").asks[0][0]


async def test_rest_is_limited_and_a_snapshot_may_be_old_and_a_connection_refused_or_broken() -> None:
    async with VenueSimulator("binance_spot", seed=8) as venue, httpx.AsyncClient(trust_env=False, base_url=venue.rest_url) as http:
        path = "/api/v3/depth?symbol=BTCUSDT&limit=1000"
        venue.step(10)
        now = (await http.get(path)).json()["lastUpdateId"]
        venue.faults.old_snapshots = 1
        assert (await http.get(path)).json()["lastUpdateId"] < now
        venue.faults.rest_status = [(429, 7)]
        limited = await http.get(path)
        assert (limited.status_code, limited.headers["Retry-After"]) == (429, "7")
        assert (await http.get(path)).status_code == 200
        codes = {(await http.get(path)).status_code for _ in range(6000 // 50)}
        assert codes == {200, 429}
        venue.faults.refuse = True
        with pytest.raises(InvalidStatus):
            await connect(venue.ws_url + "/ws/btcusdt@depth", proxy=None)
        venue.faults.refuse = False
        async with client(venue, "/ws/btcusdt@depth") as socket:
            venue.abort_all()
            with pytest.raises(ConnectionClosed):
                await socket.recv()
