"""The reader of one venue alone: its writing is a part of it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest

from adapters.codec import encode
from adapters.market_lookup import MarketLookup, Stored
from apps.normalizer.venue_reader import MarketPlaces, ReaderBounds, VenueReader
from tests.apps.test_venue_run import Scene
from tests.domain.market.plain_venue import VENUE, raw
from tests.domain.market.test_normalization import BEGIN


class Sent(NamedTuple):
    data: bytes


class Empty:
    """A stream without a message."""

    async def last(self, subject: str) -> Stored | None:
        return None


class OneMessage:
    """A feed of one message of raw frames, then of nothing."""

    def __init__(self, *of: Any) -> None: ...

    async def batches(self) -> AsyncGenerator[Sequence[tuple[int, Sent]]]:
        yield [(1, Sent(encode(raw(1, *BEGIN))))]
        while True:
            await asyncio.sleep(0.01)
            yield ()


async def test_a_failure_of_the_writing_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(subject: str, payload: bytes, message_id: str) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("apps.normalizer.venue_reader.Feed", OneMessage)
    scene, empty = Scene(), cast(MarketLookup, Empty())
    places = MarketPlaces(cast(Any, SimpleNamespace(is_connected=True)), empty, empty, empty, fails)
    reader = VenueReader(VENUE, places, scene.rules, scene.shared, ReaderBounds(0.0, 10, 0, 1000))
    with pytest.raises(ExceptionGroup) as failure:
        await asyncio.wait_for(reader.run(), 60)
    assert failure.value.subgroup(ZeroDivisionError) is not None
