"""normalizer on a real server: from the frames of a venue to its book, its quotes for the core, its trades and bars, and its facts."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters import bus
from domain.market.records import Flag
from tests.apps.normalizer_house import VENUE, HeldGateway, LiveNormalizer, trades_published, until
from tests.live import LiveServer

SYMBOL = "BTC/USD"
PATH = "BTC%2FUSD"


@pytest.fixture
async def gateway(fresh_nats: LiveServer) -> AsyncIterator[HeldGateway]:
    client = await bus.connect(fresh_nats.url, "test", closed=lambda: None)
    yield await HeldGateway.open(client)
    await client.close()


async def test_a_hole_ends_the_book_at_once_is_named_and_repaired_and_a_killed_normalizer_loses_and_doubles_nothing(
    fresh_nats: LiveServer, tmp_path: Path, gateway: HeldGateway
) -> None:  # hole in sequence; crash between write and checkpoint
    normalizer = LiveNormalizer(fresh_nats, tmp_path / "normalizer").start()
    await gateway.connect()
    await gateway.put(gateway.trade(), *(gateway.update() for _ in range(5)))
    path = f"/books/{VENUE}/{PATH}?depth=10"
    shown = await normalizer.until(path, lambda found: found.get("valid") and found["bids"] == gateway.truth()["bids"])
    assert (shown["asks"], shown["checked"]) == (gateway.truth()["asks"], True)
    await until(lambda: gateway.ticks and gateway.ticks[-1].bid == gateway.truth()["bids"][0][0])
    assert not gateway.ticks[-1].flags

    before = gateway.n
    gateway.lose(gateway.update())
    await gateway.put(gateway.update())
    await until(lambda: Flag.STALE in gateway.ticks[-1].flags)
    assert ((await normalizer.book(PATH))["valid"], (await normalizer.book(PATH))["bids"]) == (False, [])
    await until(lambda: {"do": "resync", "symbol": SYMBOL, "reason": "frames are missing"} in gateway.asked)
    gaps = [fact for fact in (await normalizer.get(f"/facts?venue={VENUE}"))["facts"] if fact["fact"] == "gap" and fact["symbol"] is None]
    assert [(fact["from"], fact["to"]) for fact in gaps] == [(before + 1, before + 1)]

    await gateway.put(gateway.snapshot())
    repaired = await normalizer.until(path, lambda found: found["valid"])
    assert (repaired["bids"], repaired["asks"]) == (gateway.truth()["bids"], gateway.truth()["asks"])
    await until(lambda: not gateway.ticks[-1].flags)

    normalizer.kill()
    await gateway.put(gateway.trade(), gateway.update())
    normalizer.start()
    await gateway.put(gateway.trade(), gateway.update())
    back = await normalizer.until(path, lambda found: found.get("valid") and found["bids"] == gateway.truth()["bids"])
    assert back["asks"] == gateway.truth()["asks"]
    bars = await normalizer.until(f"/bars/{VENUE}/{PATH}/1d", lambda found: found.get("bars") and found["bars"][-1]["count"] == 3)
    assert sum(bar["count"] for bar in bars["bars"]) == 3
    stored = await gateway.stored("trades")
    assert [trade.trade_id for message in stored for trade in message.records] == ["1", "2", "3"]
    assert len({(message.epoch, message.n) for message in stored}) == len(stored)
    normalizer.stop()


async def test_after_a_power_cut_of_the_streams_the_same_sequences_are_read_again_and_the_hole_is_a_fact(
    fresh_nats: LiveServer, tmp_path: Path, gateway: HeldGateway
) -> None:  # checkpoints are (venue, epoch, n); the hole is a fact; nothing is skipped because a number came again
    normalizer = LiveNormalizer(fresh_nats, tmp_path / "normalizer").start()
    await gateway.connect()
    await gateway.put(gateway.trade(), gateway.update())
    await normalizer.until("/stats", trades_published(1))
    fresh_nats.kill()
    shutil.copytree(fresh_nats.home, tmp_path / "earlier")
    fresh_nats.start()

    await gateway.again(gateway.trade(), gateway.update())
    await normalizer.until("/stats", trades_published(2))
    forgotten = gateway.n
    fresh_nats.kill()
    shutil.rmtree(fresh_nats.home / "nats")
    shutil.copytree(tmp_path / "earlier" / "nats", fresh_nats.home / "nats")
    fresh_nats.start()

    await gateway.again(gateway.trade(), gateway.snapshot())
    path = f"/books/{VENUE}/{PATH}?depth=10"
    await normalizer.until(path, lambda found: found.get("valid") and found["bids"] == gateway.truth()["bids"])
    facts = (await normalizer.get("/facts"))["facts"]
    assert (forgotten - 1, forgotten) in [(fact["from"], fact["to"]) for fact in facts if fact["fact"] == "gap"]
    await normalizer.until("/stats", trades_published(1))
    assert [trade.trade_id for message in await gateway.stored("trades") for trade in message.records] == ["1", "3"]


async def test_what_is_not_known_is_refused_with_a_code(fresh_nats: LiveServer, tmp_path: Path, gateway: HeldGateway) -> None:
    normalizer = LiveNormalizer(fresh_nats, tmp_path / "normalizer").start()
    await gateway.connect()
    await normalizer.until(f"/books/{VENUE}/{PATH}", lambda found: found.get("valid"))
    for path, code in {
        f"/books/NOWHERE/{PATH}": "venue_not_found",
        f"/books/{VENUE}/NOPE": "symbol_not_found",
        f"/books/{VENUE}/{PATH}?depth=0": "malformed",
        f"/books/{VENUE}/{PATH}?depth=many": "malformed",
        f"/bars/{VENUE}/{PATH}/7m": "interval_not_found",
        f"/bars/{VENUE}/NOPE/1m": "symbol_not_found",
        "/facts?since=now": "malformed",
    }.items():
        assert (await normalizer.get(path))["code"] == code
    assert [fact["fact"] for fact in (await normalizer.get("/facts?limit=1"))["facts"]] == ["connected"]
