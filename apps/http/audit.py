"""What a service keeps in memory about the use of keys: refusals, first uses from an address, last uses. None of it is journaled.

An attacker must not be able to fill the journal, so everything here has a bound.
"""

from collections import Counter, deque
from typing import Final

import msgspec
import structlog

from domain.ports import Clock

RING_MAX: Final = 10_000
"""Entries kept; the oldest is dropped first."""
ADDRESSES_OF_A_KEY_MAX: Final = 64
"""Addresses of one key that are remembered. With more, a first use may be reported again."""
KEY_ID_MAX: Final = 64
ROUTE_MAX: Final = 64
"""Characters of a path that are kept. A page of the ring must fit in one message, whatever addresses are asked for."""
LOG_EVERY_NS: Final = 1_000_000_000
"""At most one log line a second for each reason."""

log = structlog.get_logger()


class AuditEntry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A refused request, or the first use of a key from an address. `at`: nanoseconds UTC."""

    at: int
    type: str
    key_id: str = ""
    code: str = ""
    address: str = ""
    route: str = ""


class AccessAudit:
    """The ring of one service."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ring: deque[AuditEntry] = deque(maxlen=RING_MAX)
        self._logged: dict[str, int] = {}
        self._unlogged: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        """Refusals by code."""

    def refusal(self, code: str, key_id: str, address: str, route: str) -> None:
        """Record a refusal. `key_id` is what the caller sent and may be any text."""
        self.refused[code] += 1
        key_id = key_id[:KEY_ID_MAX] if key_id.isascii() and key_id.isalnum() else ""
        self._ring.append(AuditEntry(self._clock.now_ns(), "Refused", key_id, code, address, route[:ROUTE_MAX]))
        now = self._clock.monotonic_ns()
        if now - self._logged.get(code, now - LOG_EVERY_NS) >= LOG_EVERY_NS:
            self._logged[code] = now
            log.warning(
                "request refused", code=code, key_id=key_id, address=address, route=route[:ROUTE_MAX], more=self._unlogged.pop(code, 0)
            )
        else:
            self._unlogged[code] += 1

    def first_use(self, key_id: str, address: str) -> None:
        self._ring.append(AuditEntry(self._clock.now_ns(), "FirstUse", key_id, "", address))

    def newest(self, limit: int, *, key_id: str = "", since: int = 0) -> list[AuditEntry]:
        """Return at most `limit` entries, newest first, of one key or of all, not older than `since` (nanoseconds UTC)."""
        found: list[AuditEntry] = []
        for entry in reversed(self._ring):
            if len(found) == limit or entry.at < since:
                break
            if not key_id or entry.key_id == key_id:
                found.append(entry)
        return found
