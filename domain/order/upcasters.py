"""Old facts in today's words: one pure function for each kind of event that a version of the journal's format changed."""

from collections.abc import Callable, Mapping
from typing import Any, Final

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""An event as JSON has it (numbers are int or Decimal), to the same event one version later."""
Upcasters = Mapping[tuple[int, str], Upcaster]
"""By the version that the event is of, and its type. A type without a row means the same in the next version."""

VERSION: Final = 1
"""What is written: the format of the envelope and of the events in it."""
OLDEST: Final = 1
"""What can still be read."""

UPCASTERS: Final[Upcasters] = {}


def upcast(event: dict[str, Any], version: int, upcasters: Upcasters = UPCASTERS) -> dict[str, Any]:
    """The event as today's version would have written it."""
    for older in range(version, VERSION):
        change = upcasters.get((older, str(event.get("type"))))
        event = change(dict(event)) if change else event
    return event
