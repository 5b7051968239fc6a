"""The access log: events of accounts and keys, and what services saw of keys, newest first."""

from collections.abc import Mapping, Sequence
from heapq import nlargest
from typing import Any, Final

import msgspec

from apps.http.audit import AuditEntry
from domain.access.events import AccessChange
from domain.values import rfc3339

HIDDEN: Final = ("digest", "request", "at", "token")
"""Fields of events that are not shown."""

View = dict[str, Any]


def log_view(events: Sequence[AccessChange], rings: Mapping[str, Sequence[AuditEntry]], limit: int) -> list[View]:
    """Return at most `limit` rows, newest first. Events take at least half of them if enough exist, so that refusals cannot hide events."""
    seen = nlargest(limit, ((entry.at, entry, name) for name, entries in rings.items() for entry in entries), key=_at)
    changed = nlargest(max(limit - len(seen), (limit + 1) // 2), ((event.at, event) for event in events), key=_at)
    shown = [(at, _event_view(event)) for at, event in changed]
    shown += [(at, _entry_view(entry, name)) for at, entry, name in seen[: limit - len(changed)]]
    return [view for _, view in sorted(shown, key=_at, reverse=True)]


def _at(row: tuple[int, *tuple[Any, ...]]) -> int:
    return row[0]


def _event_view(event: AccessChange) -> View:
    fields = msgspec.to_builtins(event)
    shown = {name: value for name, value in fields.items() if name not in HIDDEN}
    for name in ("expires_at", "old_until"):
        if isinstance(shown.get(name), int):
            shown[name] = rfc3339(shown[name])
    return {"at": rfc3339(event.at), **shown}


def _entry_view(entry: AuditEntry, service: str) -> View:
    shown = {"key_id": entry.key_id, "code": entry.code, "address": entry.address, "route": entry.route}
    return {"at": rfc3339(entry.at), "type": entry.type, **{name: value for name, value in shown.items() if value}, "service": service}
