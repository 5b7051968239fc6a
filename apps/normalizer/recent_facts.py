"""The newest facts of all venues, in memory, for GET /facts."""

import contextlib
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from nats.aio.client import Client

from adapters import subjects
from adapters.feed import Feed
from adapters.market_lookup import MarketLookup
from domain.market.records import Fact, Records

_FACTS: Final = msgspec.json.Decoder(Records[Fact])


class RecentFacts:
    """The last `kept` facts. `counts` has all that were taken since the start, by kind."""

    def __init__(self, kept: int) -> None:
        self._facts: deque[Fact] = deque(maxlen=kept)
        self.counts: Counter[str] = Counter()

    def refill(self, facts: Iterable[Fact]) -> None:
        """Take facts of before the start, in order."""
        self._facts.extend(facts)

    def take(self, facts: Sequence[Fact]) -> None:
        self._facts.extend(facts)
        self.counts.update(fact.fact.value for fact in facts)

    def newest(self, venue: str | None, symbol: str | None, since: int, limit: int) -> list[Fact]:
        """Return up to `limit` facts of a venue and symbol (None: of any), the newest first. `since`: nanoseconds UTC."""
        found: list[Fact] = []
        in_time = sorted(self._facts, key=lambda each: each.at)
        for fact in in_time[::-1]:  # of equal times the one that came last first
            if len(found) == limit or fact.at < since:
                break
            if venue in (None, fact.venue) and symbol in (None, fact.symbol):
                found.append(fact)
        return found


async def facts_before(client: Client, stream: MarketLookup, messages: int) -> list[Fact]:
    """Return the facts of the last `messages` of the stream, in order. Unavailable."""
    ends = await stream.ends()
    found: list[Fact] = []
    if ends.last < ends.first or not ends.last:
        return found
    feed = Feed(client, subjects.MARKET_FACTS_STREAM, subjects.MARKET_FACTS, max(ends.last - messages, ends.first - 1, 0))
    async with contextlib.aclosing(feed.batches()) as batches:
        async for batch in batches:
            for seq, message in batch:
                with contextlib.suppress(ValueError):  # not written by this program
                    found += _FACTS.decode(message.data).records
                if seq >= ends.last:
                    return found
            if not batch:
                return found
    return found
