"""The contract of places on objects: in memory, in a directory, and on a server of S3 where TRADE_TEST_S3_URL names a bucket of one."""

import os
import uuid
from collections import Counter
from collections.abc import Hashable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from obstore.store import MemoryStore

from adapters import tick_parquet
from adapters.objects import Objects
from adapters.objectstore import MarketObjects, objects_of
from domain.archive.market_rows import BOOKS, FACTS, record_rows
from domain.archive.ports import ArchiveRow
from domain.market.records import Fact, FactKind
from domain.ports import Fenced, Unavailable
from tests.contracts import places, ticks
from tests.contracts.places import Fails, Shelf

S3_URL = "TRADE_TEST_S3_URL"
S3_KEYS = ("TRADE_TEST_S3_ACCESS_KEY", "TRADE_TEST_S3_SECRET_KEY")
BUCKET = "TRADE_TEST_S3_BUCKET"
STORES = ("memory", "directory", *(("server",) if os.environ.get(S3_URL) else ()))
HISTORIES = 5
NS = 1_000_000_000


def opened(kind: str, directory: Path) -> Objects:
    if kind == "memory":
        return Objects(MemoryStore(), "memory")
    if kind == "directory":
        return Objects.at(f"file://{directory}")
    keys = os.environ[S3_KEYS[0]], os.environ[S3_KEYS[1]]
    return Objects.at(f"s3://{os.environ.get(BUCKET, 'trade')}/{uuid.uuid4()}", endpoint=os.environ[S3_URL], credentials=keys)


def frozen(value: Any) -> Hashable:
    """A column's value, comparable: levels as pairs."""
    return tuple((level["price"], level["size"]) for level in value) if isinstance(value, list) else value


def identity(row: ArchiveRow) -> Hashable:
    value = msgspec.structs.asdict(row.value) | {"epoch": row.epoch, "n": row.n, "i": row.i, "from": getattr(row.value, "from_", None)}
    value["flags"] = " ".join(value.get("flags", ()))
    for side in ("bids", "asks"):
        value[side] = tuple(value.get(side, ()))
    return row.table, *(value[name] for name in tick_parquet.SCHEMAS[row.table].names)


async def rows_in(objects: Objects) -> Counter[Hashable]:
    """Every row of every object, as often as it is there."""
    found = Counter[Hashable]()
    for name in await objects.names("market"):
        kind = name.split("/")[1]
        table = FACTS if kind == "facts" else kind
        for row in tick_parquet.read(await objects.get(name)):
            found[(table, *map(frozen, row.values()))] += 1
    return found


def shelf(objects: Objects) -> Shelf:
    async def held() -> Counter[Hashable]:
        return await rows_in(objects)

    def place(fails: Fails) -> MarketObjects:
        return MarketObjects(objects, "MARKET", fails)

    return Shelf(place, held, record_rows, identity, ticks.ticks(), ticks.REFUSABLE)


@pytest.mark.parametrize("kind", STORES)
async def test_every_record_is_there_once_whatever_happens(kind: str, tmp_path: Path) -> None:
    for number, failpoint in enumerate(places.FAILPOINTS):
        await places.check_killed(shelf(opened(kind, tmp_path / str(number))), failpoint)
    one = shelf(opened(kind, tmp_path / "more"))
    await places.check_delivered_twice(one)
    await places.check_split(one, sizes=(2, 5))
    await places.check_two_at_once(one)
    await places.check_refused_goes_aside(shelf(opened(kind, tmp_path / "aside")))


@pytest.mark.parametrize("seed", range(HISTORIES))
async def test_any_history_of_lives(seed: int) -> None:
    await places.check_any_history(shelf(Objects(MemoryStore(), "memory")), seed)


async def test_killed_between_two_objects_each_part_ends_at_its_own_last_name() -> None:
    class Dying(Objects):
        left = 3

        async def put_new(self, name: str, data: bytes) -> bool:
            made = await super().put_new(name, data)
            self.left -= name.startswith("market/")
            if not self.left:
                raise places.Killed(name)
            return made

    store = MemoryStore()
    dying, one = shelf(Dying(store, "memory")), shelf(Objects(store, "memory"))
    log = places.ListSource(places.numbered(one.messages))
    with pytest.raises(places.Killed):
        await places.moved(dying, log, flush_rows=50)
    await places.moved(one, log, flush_rows=2)
    await places.check_once_each(one)


async def test_a_number_that_another_sink_took_during_a_failed_claim_is_not_ours() -> None:
    """MARKETDATA 4: two sinks at once. The second one is fenced by the checkpoint's owner."""
    store = MemoryStore()
    other = MarketObjects(Objects(store, "memory"), "MARKET", places.never)

    class Failing(Objects):
        fails = True

        async def put_new(self, name: str, data: bytes) -> bool:
            if self.fails:
                self.fails = False
                await other.claim()
                raise Unavailable("no answer", unknown=True)
            return await super().put_new(name, data)

    first = MarketObjects(Failing(store, "memory"), "MARKET", places.never)
    with pytest.raises(Unavailable):
        await first.claim()
    reached = await first.claim()
    with pytest.raises(Fenced):
        await other.write([], reached)
    await first.write([], reached)


def test_the_same_range_is_the_same_bytes() -> None:
    rows = [row for message in ticks.ticks() for row in record_rows(message)]
    first, second = ([(made.name, tick_parquet.written(made.rows[0].table, made.rows)) for made in objects_of(rows)] for _ in range(2))
    assert first == second
    assert [name for name, _ in first if "trades" in name or "books" in name] == [
        "market/trades/venue=ALPHA/day=2026-11-30/epoch=1-n=000000003-000000008.parquet",
        "market/trades/venue=BETA/day=2026-11-30/epoch=1-n=000000003-000000009.parquet",
        "market/books/venue=ALPHA/day=2026-11-30/epoch=1-n=000000005-000000005.parquet",
        "market/trades/venue=ALPHA/day=2026-11-30/epoch=2-n=000000001-000000001.parquet",
    ]


def test_an_object_ends_with_the_day_and_a_message_is_not_cut() -> None:
    midnight = (ticks.AT // (86_400 * NS) + 1) * 86_400 * NS
    before, over, after = (
        ticks.told("trades", "ALPHA", 1, n, *(ticks.trade("ALPHA", n * 10 + each, at=midnight + at) for each, at in enumerate(times)))
        for n, times in ((1, (-9 * NS,)), (2, (-8 * NS, NS)), (3, (2 * NS,)))
    )
    made = list(objects_of([row for message in (before, over, after) for row in record_rows(message)]))
    assert [(each.name.split("/", 3)[3], len(each.rows)) for each in made] == [
        ("day=2026-11-30/epoch=1-n=000000001-000000002.parquet", 3),
        ("day=2026-12-01/epoch=1-n=000000003-000000003.parquet", 1),
    ]


async def test_a_fact_of_no_frame_is_there_once_however_often_it_comes() -> None:
    one = shelf(Objects(MemoryStore(), "memory"))
    silent = Fact(fact=FactKind.STALE, venue="ALPHA", at=ticks.AT, symbol="BTCUSDT")
    one.messages = [ticks.told("facts", "ALPHA", 1, 0, silent), ticks.told("facts", "ALPHA", 1, 4, ticks.fact("ALPHA", 4))]
    log = places.numbered([*one.messages, *one.messages])
    place, rows = one.open(places.never), [row for message in log for row in record_rows(message)]
    for _ in range(2):
        await place.write(rows[:2], await place.claim())
    await places.check_once_each(one)


def test_levels_keep_every_digit() -> None:
    level = (Decimal("9999999999999999999.5"), Decimal("0.000000000001"))
    book = msgspec.structs.replace(ticks.book("ALPHA", 1), bids=[level], asks=[])
    row = record_rows(ticks.told("books", "ALPHA", 1, 1, book))[0]
    found = tick_parquet.read(tick_parquet.written(BOOKS, [row]))[0]
    assert (frozen(found["bids"]), found["asks"], found["checked"]) == ((level,), [], None)
