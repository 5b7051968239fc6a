"""Upcasters for old events: one pure function for each kind of event that a version of the journal's format changed."""

from collections.abc import Callable, Mapping
from typing import Any, Final

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""Maps an event as JSON has it (numbers are int or Decimal) to the same event one version later."""
Upcasters = Mapping[tuple[int, str], Upcaster]
"""By the event's version and type. A type without a row has the same meaning in the next version."""

VERSION: Final = 1
"""The version that is written: the format of the envelope and of the events in it."""
OLDEST: Final = 1
"""The oldest version that can still be read."""

UPCASTERS: Final[Upcasters] = {}


def upcast(event: dict[str, Any], version: int, upcasters: Upcasters = UPCASTERS) -> dict[str, Any]:
    """Return the event as the current version would have written it."""
    for older in range(version, VERSION):
        change = upcasters.get((older, str(event.get("type"))))
        event = change(dict(event)) if change else event
    return event
