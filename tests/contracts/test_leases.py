"""What every lease store promises: a write expects a revision, a watch shows all keys and then the changes, an outage is an error."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import NamedTuple

import pytest

from adapters import bus, subjects
from adapters.leases import NatsLeases, ensure_bucket
from adapters.memory_leases import MemoryBucket, MemoryLeases
from domain.leases import CLUSTER, Cluster, Lease, LeaseEntry, LeaseValue, UnitAlive, shard_key, unit_key, venue_key
from domain.ports import Fenced, Leases, Missing, Unavailable
from tests.live import LiveServer

DEADLINE_S = 120
SHARD = shard_key(3)
SHORT_TTL_S = 1


class Place(NamedTuple):
    """A store: two units' ways to it, how it goes away and comes back, and how a key expires."""

    one: Leases
    other: Leases
    stop: Callable[[], None]
    start: Callable[[], object]
    expire: Callable[[str], Awaitable[None]]


@pytest.fixture(params=["memory", "nats"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param == "memory":
        bucket = MemoryBucket()

        async def forget(key: str) -> None:
            bucket.expire(key)

        def switch(down: bool) -> Callable[[], None]:
            return lambda: setattr(bucket, "down", down)

        yield Place(MemoryLeases(bucket), MemoryLeases(bucket), switch(True), switch(False), forget)
        return
    server: LiveServer = request.getfixturevalue("fresh_nats")
    clients = [await bus.connect(server.url, name, closed=lambda: None) for name in ("one", "other")]
    await ensure_bucket(clients[0])
    await ensure_bucket(clients[1])

    async def expire(key: str) -> None:
        short = NatsLeases(clients[0], ttl_s=SHORT_TTL_S)
        entry = await short.read(key)
        assert entry.value is not None
        await short.write(key, entry.value, entry.revision)
        await until(lambda: _gone(short, key))

    yield Place(NatsLeases(clients[0]), NatsLeases(clients[1]), server.kill, server.start, expire)
    for client in clients:
        await client.close()


async def _gone(leases: Leases, key: str) -> bool:
    return not (await leases.read(key)).revision


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await reached():
            await asyncio.sleep(0.02)


async def collected(leases: Leases, count: int) -> list[LeaseEntry]:
    """The first entries of a watch."""
    found: list[LeaseEntry] = []
    async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(leases.watch()) as batches:
        async for entries in batches:
            found += entries
            if len(found) >= count:
                break
    return found


async def shown_to(batches: AsyncIterator[Sequence[LeaseEntry]], revision: int) -> list[LeaseEntry]:
    """The next entries of a watch, to this revision. A slow watch shows only the last of each key."""
    found: list[LeaseEntry] = []
    while not found or found[-1].revision < revision:
        found += await anext(batches)
    return found


async def test_a_key_that_was_never_written_has_revision_0(place: Place) -> None:
    assert await place.one.read(SHARD) == LeaseEntry(SHARD, 0, None)


async def test_what_was_written_is_read_with_its_revision(place: Place) -> None:
    values: dict[str, LeaseValue] = {
        CLUSTER: Cluster(shards=4, writes=1, born=1_700_000_000_000_000_000),
        unit_key("unit-a"): UnitAlive(version="0.3.0", reads=1, shards=(0, 3), door="http://127.0.0.1:8099"),
        SHARD: Lease("unit-a", epoch=812),
        venue_key("PAPER_A"): Lease("unit-b"),
    }
    for key, value in values.items():
        revision = await place.one.write(key, value, 0)
        assert await place.other.read(key) == LeaseEntry(key, revision, value)


async def test_a_write_that_expects_an_old_revision_is_refused_and_changes_nothing(place: Place) -> None:
    first = await place.one.write(SHARD, Lease("unit-a"), 0)
    second = await place.one.write(SHARD, Lease("unit-a", 7), first)
    assert second > first
    for old in (0, first):
        with pytest.raises(Fenced):
            await place.other.write(SHARD, Lease("unit-b"), old)
        with pytest.raises(Fenced):
            await place.other.give_back(SHARD, old)
    assert await place.one.read(SHARD) == LeaseEntry(SHARD, second, Lease("unit-a", 7))


async def test_of_two_heirs_at_once_one_gets_the_lease(place: Place) -> None:
    # SCALE S11
    before = await place.one.write(SHARD, Lease("unit-c", 5), 0)
    tried = await asyncio.gather(
        place.one.write(SHARD, Lease("unit-a"), before), place.other.write(SHARD, Lease("unit-b"), before), return_exceptions=True
    )
    assert [type(outcome) for outcome in tried if isinstance(outcome, BaseException)] == [Fenced]
    holder = (await place.one.read(SHARD)).value
    assert holder == Lease("unit-a" if isinstance(tried[0], int) else "unit-b")


async def test_other_keys_do_not_change_the_revision_of_a_key(place: Place) -> None:
    first = await place.one.write(SHARD, Lease("unit-a"), 0)
    await place.other.write(shard_key(1), Lease("unit-b"), 0)
    assert await place.one.write(SHARD, Lease("unit-a", 2), first) > first


async def test_a_key_that_was_given_back_is_free_at_its_revision(place: Place) -> None:
    revision = await place.one.give_back(SHARD, await place.one.write(SHARD, Lease("unit-a"), 0))
    assert await place.other.read(SHARD) == LeaseEntry(SHARD, revision, None)
    with pytest.raises(Fenced):
        await place.other.write(SHARD, Lease("unit-b"), 0)
    assert await place.other.write(SHARD, Lease("unit-b"), revision) > revision


async def test_a_watch_shows_all_keys_and_then_the_changes(place: Place) -> None:
    a, b = await place.one.write(SHARD, Lease("unit-a"), 0), await place.one.write(shard_key(1), Lease("unit-b"), 0)
    async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(place.other.watch()) as batches:
        shown = await shown_to(batches, b)
        assert shown == [LeaseEntry(SHARD, a, Lease("unit-a")), LeaseEntry(shard_key(1), b, Lease("unit-b"))]
        seen: list[int] = [a]
        for epoch in range(1, 4):
            seen.append(await place.one.write(SHARD, Lease("unit-a", epoch), seen[-1]))
        last = await place.one.give_back(shard_key(1), b)
        found = await shown_to(batches, last)
    assert {entry.revision for entry in found} <= {*seen[1:], last}
    assert [entry.revision for entry in found] == sorted(entry.revision for entry in found)
    assert LeaseEntry(SHARD, seen[-1], Lease("unit-a", 3)) in found
    assert await collected(place.other, 2) == [LeaseEntry(SHARD, seen[-1], Lease("unit-a", 3)), LeaseEntry(shard_key(1), last, None)]


async def test_a_unit_sees_its_own_writes_come_back(place: Place) -> None:
    key, beats = unit_key("unit-a"), 5
    watching = asyncio.create_task(collected(place.one, 1))
    revision = await place.one.write(key, UnitAlive("1", 1), 0)
    assert await watching == [LeaseEntry(key, revision, UnitAlive("1", 1))]
    async with contextlib.aclosing(place.one.watch()) as batches:
        assert await anext(batches) == [LeaseEntry(key, revision, UnitAlive("1", 1))]
        for beat in range(beats):
            revision = await place.one.write(key, UnitAlive("1", 1, (beat,)), revision)
            async with asyncio.timeout(DEADLINE_S):
                assert await anext(batches) == [LeaseEntry(key, revision, UnitAlive("1", 1, (beat,)))]


async def test_an_outage_is_an_error_and_loses_nothing(place: Place) -> None:
    revision = await place.one.write(SHARD, Lease("unit-a", 4), 0)
    async with contextlib.aclosing(place.one.watch()) as batches:
        assert await anext(batches) == [LeaseEntry(SHARD, revision, Lease("unit-a", 4))]
        place.stop()
        with pytest.raises(Unavailable):
            async with asyncio.timeout(DEADLINE_S):
                await anext(batches)
    for attempt in (place.one.read(SHARD), place.one.write(SHARD, Lease("unit-b"), revision), place.other.give_back(SHARD, revision)):
        with pytest.raises(Unavailable):
            await attempt
    place.start()
    await until(lambda: _answers(place.other))
    assert await collected(place.other, 1) == [LeaseEntry(SHARD, revision, Lease("unit-a", 4))]
    await until(lambda: _answers(place.one))
    assert await place.one.write(SHARD, Lease("unit-a", 4), revision) > revision


async def _answers(leases: Leases) -> bool:
    try:
        await leases.read(SHARD)
    except Unavailable:
        return False
    return True


async def test_a_key_that_expired_is_as_if_it_was_never_written(place: Place) -> None:
    await place.one.write(SHARD, Lease("unit-a", 4), 0)
    await place.one.write(CLUSTER, Cluster(4, 1, 1), 0)
    await place.expire(SHARD)
    assert await place.one.read(SHARD) == LeaseEntry(SHARD, 0, None)
    assert await place.other.write(SHARD, Lease("unit-b"), 0)
    assert (await place.one.read(CLUSTER)).value == Cluster(4, 1, 1)


@pytest.mark.parametrize("key", ["", "shard", "shard.x", "shard.100", "shard.1.2", "unit.*", "unit.a b", "unit.>", "limits", "cluster.x"])
async def test_a_name_that_is_no_key_is_never_sent(place: Place, key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        await place.one.write(key, Lease("unit-a"), 0)


async def test_a_value_that_cannot_be_read_leaves_the_key_free(fresh_nats: LiveServer) -> None:
    client = await bus.connect(fresh_nats.url, "contract", closed=lambda: None)
    try:
        with pytest.raises(Missing):
            await NatsLeases(client).read(SHARD)
        await ensure_bucket(client)
        leases = NatsLeases(client)
        await client.request(subjects.lease(SHARD), b"{", timeout=5)
        await client.request(subjects.lease("limits"), b"{}", timeout=5)
        found = await leases.read(SHARD)
        assert (found.revision, found.value) == (1, None)
        revision = await leases.write(SHARD, Lease("unit-a"), found.revision)
        shown: Sequence[LeaseEntry] = await collected(leases, 1)
        assert shown == [LeaseEntry(SHARD, revision, Lease("unit-a"))]
    finally:
        await client.close()
