"""A filter for the journal: only events, and of those that change nothing only the first of each kind."""

from collections import OrderedDict
from typing import Final

from domain.order.transition import UNMOVING, Events, is_fact, sameness

KEPT_MAX: Final = 10_000
"""Keys of events that changed nothing, kept since the last recovery; an event whose key was dropped is recorded once more."""


class RepetitionFilter:
    """A filter of repetitions: a repeated request or report adds nothing to the journal, however often it comes."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def facts(self, events: Events) -> Events:
        """Return the events to record; none if they change nothing and all are known."""
        if UNMOVING.isdisjoint(map(type, events)):
            return events
        facts = tuple(filter(is_fact, events))
        keys = [sameness(event) for event in facts]
        known = bool(facts) and all(key is not None and key in self._seen for key in keys)
        for key in keys:
            if key is not None:
                self._keep(key)
        return () if known else facts

    def _keep(self, key: tuple[str, ...]) -> None:
        self._seen[key] = None
        self._seen.move_to_end(key)
        if len(self._seen) > KEPT_MAX:
            self._seen.popitem(last=False)
