"""The fence of places of objects: of several processes, the one that claimed last writes."""

from pathlib import Path

import pytest
from obstore.store import LocalStore

from adapters.object_writer import ObjectWriter
from adapters.objects import Objects
from adapters.objectstore import MarketObjects
from domain.ports import Fenced
from tests.archived import objects_in

FOLDER = "writers/stream=ORDERS"


def writer(directory: Path) -> ObjectWriter:
    return ObjectWriter(objects_in(directory), FOLDER, "the archive")


async def test_the_last_claim_writes_and_an_earlier_one_stays_fenced(tmp_path: Path) -> None:
    """A sink claims again after its server was away. That must not take the place back from the sink that replaced it."""
    first, second = writer(tmp_path), writer(tmp_path)
    await first.claim()
    await first.claim()
    await first.check()
    await second.claim()
    for refused in (first.check, first.claim, first.claim):
        with pytest.raises(Fenced, match="another sink claimed the archive: writer 2, this one is 1"):
            await refused()
    await second.check()
    assert await objects_in(tmp_path).names(FOLDER) == [f"{FOLDER}/n=000000002"], "one name is left"


async def test_two_claims_at_the_same_moment(tmp_path: Path) -> None:
    """Both found the same last number; the store lets one of them create the next."""

    class Overtaken(Objects):
        async def put_new(self, name: str, data: bytes) -> bool:
            await writer(tmp_path).claim()
            return await super().put_new(name, data)

    with pytest.raises(Fenced, match="another sink claimed the archive at the same moment"):
        await ObjectWriter(Overtaken(LocalStore(prefix=tmp_path), "file:///"), FOLDER, "the archive").claim()


async def test_the_place_of_ticks_has_the_same_fence_and_makes_its_bucket(tmp_path: Path) -> None:
    made: list[str] = []

    class InBucket(Objects):
        async def make_bucket(self) -> None:
            made.append(self.url)

    def opened() -> MarketObjects:
        return MarketObjects(InBucket(LocalStore(prefix=tmp_path), "s3://ticks"), "MARKET", lambda name: None)

    first, second = opened(), opened()
    await first.claim()
    assert made == ["s3://ticks"], "sink-alt may have another bucket, or may not run"
    await second.claim()
    with pytest.raises(Fenced, match="another sink claimed the place of MARKET in s3://ticks: writer 2, this one is 1"):
        await first.claim()
