"""The newest facts of all venues, in memory, for GET /facts."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence

from domain.market.records import Fact


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
        for fact in sorted(self._facts, key=lambda each: each.at, reverse=True):
            if len(found) == limit or fact.at < since:
                break
            if venue in (None, fact.venue) and symbol in (None, fact.symbol):
                found.append(fact)
        return found
