"""The access log: events of accounts and keys, and what services saw of keys, newest first."""

from collections.abc import Mapping, Sequence
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
    seen = sorted(((entry.at, _entry_view(entry, name)) for name, entries in rings.items() for entry in entries), key=_at, reverse=True)
    changed = sorted(map(_event_view, events), key=_at, reverse=True)[: max(limit - len(seen), (limit + 1) // 2)]
    rows = sorted([*changed, *seen[: limit - len(changed)]], key=_at, reverse=True)
    return [view for _, view in rows]


def _at(row: tuple[int, View]) -> int:
    return row[0]


def _event_view(event: AccessChange) -> tuple[int, View]:
    fields = msgspec.to_builtins(event)
    shown = {name: value for name, value in fields.items() if name not in HIDDEN}
    for name in ("expires_at", "old_until"):
        if isinstance(shown.get(name), int):
            shown[name] = rfc3339(shown[name])
    return event.at, {"at": rfc3339(event.at), **shown}


def _entry_view(entry: AuditEntry, service: str) -> View:
    shown = {"key_id": entry.key_id, "code": entry.code, "address": entry.address, "route": entry.route}
    return {"at": rfc3339(entry.at), "type": entry.type, **{name: value for name, value in shown.items() if value}, "service": service}
